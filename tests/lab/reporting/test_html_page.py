import re

import jinja2
import pytest

from hinged.lab.reporting.html_page import render_page

VALUES = {
    "experiment": {
        "network": {"kind": "cnn"},
        "training": {"keep_best": False},
        **{"data": "<data>", "seeds": [0], "activations": []},
    },
    **dict.fromkeys(("about", "verdict", "data_digest", "settings"), ""),
    "data_notes": ["age: <5 missing"],
    **{"tuning": [], "tuning_headings": (), "tuning_title": "", "tuning_about": ""},
    "table": {"finished": 1, "planned": 1, "baseline": "relu", "warnings": ["<few>"]},
    "headings": ("activation", "time"),
    "rows": [("relu", "1 ms"), ("hinged", "2 ms")],
    "figures": [],
    "class_tables": [],
    "more_scores": {"rows": []},
    "environment": {},
    "seconds": 1.0,
}


def test_texts_are_escaped_and_our_row_stands_out():
    page = render_page("report.html.jinja", **VALUES)
    assert "cnn on &lt;data&gt;" in page and "<data>" not in page
    assert page.count('class="ours"') == 1
    assert page.index("&lt;few&gt;") < page.index("<table>")
    assert "<li>age: &lt;5 missing</li>" in page
    assert re.search(r'<tr class="ours"><td data-heading="activation">hinged</td>', page)


def test_the_page_has_colours_for_dark_screens_and_fits_narrow_ones():
    page = render_page("report.html.jinja", **VALUES)
    assert "prefers-color-scheme: dark" in page and "max-width: 760px" in page
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="figures"):
        render_page("report.html.jinja", **{k: v for k, v in VALUES.items() if k != "figures"})


def test_the_page_says_which_epoch_was_scored():
    best = VALUES["experiment"] | {"training": {"keep_best": True}}
    for experiment, said in ((VALUES["experiment"], "last epoch"), (best, "epoch with the best")):
        page = render_page("report.html.jinja", **VALUES | {"experiment": experiment})
        assert f"Scores are those on the test split after the {said}" in page


def test_long_texts_of_a_table_have_several_lines():
    tuning = {
        "tuning": [("relu", "lr 0.1: 50; " * 9, "lr 0.1")],
        "tuning_headings": ("a", "b", "c"),
    }
    page = render_page("report.html.jinja", **VALUES | tuning)
    assert page.count('class="long"') == 1 and "td.long { white-space: normal; }" in page
