"""The smallest scale of every study that is shipped; `make studies-smoke` runs this file."""

import json

import pytest

from hinged.lab.reporting.report import write_report
from hinged.lab.study import study_report
from hinged.lab.study.cells import read_study, study_cells
from hinged.lab.study.definition import find_study, shipped_studies
from tests.cli.run_command import run


@pytest.fixture
def one_page_of_a_cell(monkeypatch):
    """Only the first cell of a study gets a page. A page takes longer than the trainings."""
    runs = []

    def write_first(run, **options):
        runs.append(run)
        if len(runs) == 1:
            write_report(run, **options)

    monkeypatch.setattr(study_report, "write_report", write_first)


@pytest.mark.slow
@pytest.mark.usefixtures("one_page_of_a_cell")
@pytest.mark.parametrize("name", shipped_studies())
def test_the_smallest_scale_runs(name, tmp_path):
    options = ["--scale", "smoke", "--jobs", "1", "--out", str(tmp_path / "run"), "--json"]
    done = run("study", "run", name, *options)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert set(found["pretrainings"]) == ({"resnet18"} if name == "transfer" else set())
    assert {row["n"] for row in found["rows"]} == {read_study(find_study(name)).smoke.seeds}
    assert any(row["versus"] for row in found["rows"])
    if name == "ablation":
        by_label = {(row["activation"], row["label"]): row["values"] for row in found["rows"]}
        assert by_label["hinged", "frozen"] == by_label["relu", ""]


@pytest.mark.parametrize("name", shipped_studies())
def test_every_scale_asks_its_question_of_more_than_hinged_alone(name):
    study = read_study(find_study(name))
    for scale in ("smoke", "small", "full"):
        activations = {a for c in study_cells(study, scale) for a in c.experiment.activations}
        assert {"hinged"} < activations and activations & {"relu", "original"}
        # The trainings of "larger" are long.
        least = 2 if scale == "smoke" else 3 if name == "larger" else 5
        assert study.scale(scale).seeds >= least
