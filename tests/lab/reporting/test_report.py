import math
import re

import pytest
import torch

from hinged import PiecewiseLinear, errors
from hinged.lab.reporting import plots, report, terminal
from hinged.lab.reporting.comparison_table import diverged, summarise, verdict
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.training.snapshots import read_snapshots, snapshot_tensors
from tests.lab.runs.test_run_folder import result


def make(scores, experiment):
    results = [
        result(activation, seed, score)
        for activation, own in scores.items()
        for seed, score in enumerate(own)
    ]
    return summarise(experiment.model_copy(update={"activations": tuple(scores)}), results)


def test_summary_by_hand(small):
    summary = make({"relu": [0.5, 0.6, 0.7], "hinged": [0.6, 0.7, 0.9]}, small)
    relu, hinged = summary.rows
    assert relu.versus is None and relu.score.mean == pytest.approx(0.6)
    assert hinged.versus.difference.mean == pytest.approx(0.4 / 3)
    # t = 4 with 2 degrees of freedom.
    assert hinged.versus.p == pytest.approx(0.05719, abs=1e-5)
    assert hinged.p_corrected == hinged.versus.p
    assert hinged.step_ratio == 1.0


def test_differences_are_taken_over_shared_seeds(small):
    summary = make({"relu": [0.5, 0.6], "hinged": [0.6, 0.8, 0.0]}, small)
    assert summary.rows[1].seeds == 3
    assert summary.rows[1].versus.difference.mean == pytest.approx(0.15)


def test_verdict_says_what_the_figures_say(small):
    better = verdict(make({"relu": [0.5, 0.6, 0.7], "hinged": [0.61, 0.7, 0.8]}, small))
    assert better.startswith("hinged is 10.33 points above relu")
    assert better.endswith("a difference at the 5 % level.")
    worse = verdict(make({"relu": [0.5, 0.6, 0.7], "hinged": [0.5, 0.5, 0.7]}, small))
    assert worse.startswith("hinged is 3.33 points below relu")
    assert worse.endswith("no difference that these seeds can show at the 5 % level.")


def test_what_diverged_is_named_and_left_out(small):
    summary = make({"relu": [0.5, 0.6, 0.7], "hinged": [0.6, math.nan, 0.9]}, small)
    hinged = summary.rows[1]
    assert hinged.seeds == 3 and hinged.diverged == (1,) and hinged.versus.pairs == 2
    assert hinged.score.mean == pytest.approx(0.75)
    assert hinged.versus.difference.mean == pytest.approx(0.15)
    assert "no number: hinged (seed 1)." in diverged(summary)
    assert diverged(make({"relu": [0.5, 0.6]}, small)) == ""


def test_where_all_diverged_there_is_no_score(small):
    summary = make({"relu": [0.5, 0.6], "hinged": [math.nan, math.nan]}, small)
    assert summary.rows[1].versus is None
    assert terminal.cells(summary.rows[1], summary.metric)[:3] == ("hinged", "-", "")
    assert "has not been compared" in verdict(summary)
    assert "hinged (seed 0, seed 1)" in diverged(summary)


def test_json_has_no_nan(small):
    plain = make({"relu": [0.5], "hinged": [0.6]}, small).as_json()
    assert plain["rows"][1]["score"] == {"mean": 0.6, "low": None, "high": None}
    assert plain["rows"][1]["p_corrected"] is None


def test_cells_of_undefined_figures_are_readable(small):
    summary = make({"relu": [0.5, 0.6], "hinged": [0.75, 0.85]}, small)
    cells = terminal.cells(summary.rows[1], summary.metric)
    assert "+25.00" in cells[2] and "nan" not in " ".join(cells)
    assert math.isnan(make({"relu": [0.5], "hinged": [0.75]}, small).rows[1].score.low)


def test_page_stands_alone_and_holds_the_figures(finished):
    summary = report.build(finished)
    page = (finished.path / "report.html").read_text()
    for row in summary.rows:
        for cell in terminal.cells(row, summary.metric):
            assert cell.strip() in page
    assert verdict(summary).replace("'", "&#39;") in page
    assert finished.results()[0].data_digest in page
    # Plotly is inside; nothing is loaded from elsewhere when the page opens.
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.findall(r"(?:src|href)=", markup)
    assert page.count('class="plotly-graph-div"') == 4
    assert {path.stem for path in (finished.path / "plots").iterdir()} == {
        *("curves", "differences", "histories", "scores"),
    }


def test_a_run_without_finished_trials_is_refused(tmp_path, small):
    folder = RunFolder(tmp_path / "run")
    folder.open(small)
    with pytest.raises(errors.RunFolderError, match="holds no finished trial yet"):
        report.build(folder)


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_learned_curves_are_those_of_the_network(tails):
    layer = PiecewiseLinear(3, tails=tails)
    torch.nn.init.normal_(layer.values)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), layer)
    x = torch.randn(250, 2)
    (site,) = read_snapshots(snapshot_tensors(model, x))
    inputs = model[0](x)
    assert site.name == "1" and torch.equal(site.curve(inputs), layer(inputs))
    inside = (inputs >= site.edges[0]) & (inputs <= site.edges[-1])
    assert site.counts.sum() == inside.sum()
    assert site.outside == pytest.approx((inputs.abs() > 3).float().mean().item())


@torch.no_grad()
def test_layers_used_twice_and_on_tokens_count_all_their_inputs():
    layer = PiecewiseLinear(2)
    tokens = torch.nn.Sequential(torch.nn.Flatten(0, 1), layer, layer)  # Samples become tokens.
    x = 4 * torch.randn(150, 6, 2)
    (site,) = read_snapshots(snapshot_tensors(tokens, x))
    inputs = torch.cat((x.flatten(0, 1), layer(x.flatten(0, 1))))
    assert site.outside == pytest.approx((inputs.abs() > 3).double().mean().item())


def test_sites_are_in_the_order_of_the_network():
    layers = [PiecewiseLinear(1) for _ in range(12)]
    tensors = snapshot_tensors(torch.nn.Sequential(*layers), torch.zeros(1, 1))
    assert [site.name for site in read_snapshots(tensors)] == [str(n) for n in range(12)]


def test_pictures_are_the_same_twice(finished):
    summary = summarise(finished.experiment, finished.results())
    first, second = (plots.png(plots.differences(summary)) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")
