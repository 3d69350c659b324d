"""The laboratory: experiments that compare trainable activations with fixed activations.

The laboratory needs additional packages: `pip install 'hinged[lab]'`.
"""

from hinged import errors

errors.require_extra(
    "lab",
    (
        "filelock",
        "jinja2",
        "lightning",
        "matplotlib",
        "plotly",
        "pydantic",
        "rich",
        "scipy",
        "sklearn",
        "typer",
    ),
)
