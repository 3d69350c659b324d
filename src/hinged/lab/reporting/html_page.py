"""HTML pages from the templates in `hinged/lab/templates`."""

from __future__ import annotations

from typing import Any

import jinja2


def render_page(template: str, **values: Any) -> str:
    """Return the text of an HTML page.

    A template extends `page.html.jinja`, which holds the style of all pages, for light and dark
    screens, and imports the tables of `macros.html.jinja`.

    Args:
        template: file name of the template.
        **values: values for the names in the template. Texts are escaped. A name without a value is
            an error of Jinja.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hinged.lab"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)
