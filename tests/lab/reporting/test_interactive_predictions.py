import numpy as np

from hinged.lab.reporting import interactive_predictions, prediction_plots
from hinged.lab.reporting.plots import to_png
from hinged.lab.reporting.report_data import read_report_data
from tests.lab.reporting.invented import classes_run, numbers_run


def test_page_and_file_show_the_same_shares_of_classes(tmp_path):
    confusions = read_report_data(classes_run(tmp_path / "run")).predictions.confusions
    page = interactive_predictions.draw_confusions(confusions)
    file = prediction_plots.draw_confusions(confusions)
    for trace, axes, matrix in zip(page.data, file.axes, confusions.values(), strict=True):
        counts = matrix.counts.numpy()
        shares = 100 * counts[:3] / counts[:3].sum(axis=1, keepdims=True)
        np.testing.assert_allclose(trace.z[:3], shares)
        np.testing.assert_allclose(axes.images[0].get_array()[:3], shares)
        assert list(trace.x) == [text.get_text() for text in axes.get_xticklabels()]
        assert trace.text[0][1] == f"{shares[0, 1]:.0f}"
        assert f"{shares[0, 1]:.0f}" in {text.get_text() for text in axes.texts}
    assert to_png(file).startswith(b"\x89PNG")


def test_the_menu_shows_one_activation_at_a_time(tmp_path):
    confusions = read_report_data(classes_run(tmp_path / "run")).predictions.confusions
    page = interactive_predictions.draw_confusions(confusions)
    buttons = page.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == ["relu", "hinged"]
    assert [button.args[0]["visible"] for button in buttons] == [[True, False], [False, True]]
    assert [trace.visible for trace in page.data] == [True, False]


def test_page_and_file_show_the_same_numbers(tmp_path):
    numbers = read_report_data(numbers_run(tmp_path / "run", ("price", "area"))).predictions.numbers
    page = interactive_predictions.draw_numbers(numbers)
    file = prediction_plots.draw_numbers(numbers)
    labels = [button.label for button in page.layout.updatemenus[0].buttons]
    assert labels == ["relu, price", "relu, area", "hinged, price", "hinged, area"]
    assert (
        page.layout.updatemenus[0].buttons[1].args[0]["visible"]
        == [*2 * [False], *2 * [True]] + [False] * 4
    )
    points = [trace for trace in page.data if trace.mode == "markers"]
    panels = [axes for axes in file.axes if axes.get_visible()]
    for place, (trace, axes) in enumerate(zip(points, panels, strict=True)):
        each, column = list(numbers.values())[place // 2], place % 2
        np.testing.assert_array_equal(trace.x, each.targets[:, column])
        np.testing.assert_array_equal(trace.y, each.outputs[:, column])
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), each.outputs[:, column])
    to_png(file)
