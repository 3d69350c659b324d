import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting import interactive_plots, plots
from hinged.lab.reporting.comparison_table import build_comparison_table
from hinged.lab.reporting.picture_data import curve_panel, results_by_activation
from hinged.lab.training.snapshots import read_snapshots


@pytest.fixture
def comparison(finished):
    results = finished.results()
    table = build_comparison_table(finished.experiment, results)
    return table, results_by_activation(table, results)


def test_pictures_are_the_same_twice(comparison):
    first, second = (plots.to_png(plots.draw_differences(*comparison)) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")


def test_file_and_page_show_the_same_scores_and_differences(comparison, finished):
    table, activations = comparison
    for each in activations:
        own = [100 * r.test_score for r in finished.results() if r.activation == each.activation]
        assert each.scores == own
    drawn = plots.draw_scores(*comparison).axes[0]
    page = interactive_plots.draw_scores(*comparison)
    points = [line.get_xdata() for line in drawn.lines if line.get_marker() == "o"]
    assert [list(trace.x) for trace in page.data] == [list(xs) for xs in points]
    assert page.layout.xaxis.title.text == drawn.get_xlabel() == "test accuracy, %"
    drawn = plots.draw_differences(*comparison).axes[0]
    page = interactive_plots.draw_differences(*comparison)
    means = [line.get_xdata()[0] for line in drawn.lines if line.get_marker() == "D"]
    assert [trace.x[0] for trace in page.data] == means
    assert page.layout.xaxis.title.text == drawn.get_xlabel()
    assert means == [100 * row.versus.difference.mean for row in table.rows if row.versus]


def test_a_panel_holds_the_curves_of_a_layer(finished):
    saved = finished.load_curves(Trial(activation="hinged", seed=0))
    for snapshot in read_snapshots(saved):
        panel = curve_panel(snapshot)
        x = panel.x.double().numpy()
        for channel, values in enumerate(snapshot.curve.values.double().numpy()):
            hinges = snapshot.curve.hinges.double().numpy()
            inside = (x >= hinges[0]) & (x <= hinges[-1])
            expected = np.interp(x[inside], hinges, values)
            assert panel.channels[channel].numpy()[inside] == pytest.approx(expected, abs=1e-5)
        assert panel.hinges == snapshot.curve.hinges.reshape(-1).tolist()


def test_the_scores_of_a_single_epoch_are_points(comparison):
    table, activations = comparison
    short = [each._replace(histories=[h[:1] for h in each.histories]) for each in activations]
    assert {trace.mode for trace in interactive_plots.draw_histories(table, short).data} == {
        "markers"
    }
    page = interactive_plots.draw_histories(table, activations)
    assert {trace.mode for trace in page.data} == {"lines"}


def test_titles_of_many_panels_do_not_overlap(finished):
    saved = finished.load_curves(Trial(activation="hinged", seed=0))
    panel = curve_panel(next(read_snapshots(saved)))
    name = "encoder.stages.{}.blocks.1.feed_forward.hinged.gelu_1"
    figure = plots.draw_curves([panel._replace(layer=name.format(n)) for n in range(20)])
    FigureCanvasAgg(figure).draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    assert len(boxes) == 20
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
