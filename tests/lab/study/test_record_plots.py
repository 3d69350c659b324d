import pytest

from hinged.lab.reporting.plots import to_svg
from hinged.lab.study import record_plots
from hinged.lab.study.build_record import build_record


def suffixes(found):
    return [picture.suffix for picture in record_plots.pictures_of(found)]


def with_axis(found, values=(3, 9, 33)):
    """Return a record whose curves stand at several values of an axis."""
    relu, hinged = found.rows[0], found.rows[1]
    rows = [
        hinged.model_copy(
            update={"point": {"curves.hinges": v}, "label": f"hinges {v}", "mean": 0.1 * i}
        )
        for i, v in enumerate(values)
    ]
    return found.model_copy(update={"rows": [relu, *rows]})


def test_differences_are_drawn_with_and_without_comparisons(finished):
    found = build_record(finished)
    label = record_plots.draw_differences(found).axes[0].get_xlabel()
    assert label.replace("\n", " ") == "test accuracy, minus that of ReLU, points"
    alone = [row.model_copy(update={"versus": None}) for row in found.rows]
    drawn = to_svg(record_plots.draw_differences(found.model_copy(update={"rows": alone})))
    assert "test accuracy, %" in drawn and "minus" not in drawn


def test_rows_know_their_place_on_the_axes_that_concern_them(finished):
    points = [(row.activation, row.point) for row in build_record(finished).rows]
    assert points == [
        ("relu", {}),
        ("hinged", {"curves.hinges": 3}),
        ("hinged", {"curves.hinges": 9}),
    ]


def test_three_values_make_an_axis_and_two_do_not(finished):
    found = build_record(finished)
    assert record_plots.line_axis(found) is None and suffixes(found) == [""]
    found = with_axis(found)
    assert record_plots.line_axis(found) == "curves.hinges" and suffixes(found) == ["-along", ""]
    with pytest.raises(ValueError, match="no setting takes at least 3 numbers"):
        record_plots.draw_along_axis(build_record(finished))


def test_along_an_axis_each_activation_is_a_line(finished):
    figure = record_plots.draw_along_axis(with_axis(build_record(finished)))
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"ReLU", "curves"}
    assert list(lines["curves"].get_xdata()) == [3, 9, 33]
    level = lines["ReLU"].get_ydata()
    assert len(level) == 3 and len(set(level)) == 1
    assert axes.get_xscale() == "log"


def test_idle_units_are_drawn_after_every_epoch(finished):
    found = build_record(finished).model_copy(update={"measure": "dead units"})
    assert "-epochs" in suffixes(found)
    dead, dormant = record_plots.draw_idle_units(found).axes
    assert len(dead.lines) == len(dormant.lines) == len(found.rows)
    assert list(dead.lines[0].get_xdata()) == [1]
