from pathlib import Path

import pytest

from hinged import errors
from hinged.lab.experiment.settings import TableSettings
from hinged.lab.runs.compare import compare_all
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.run_checks import CheckedExperiment, report_findings
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import RecordingListener


def warned(*warnings):
    """The warnings of experiments with these warnings (or none), whose labels are a, b, c ..."""
    listener, runs = RecordingListener(), []
    for number, _ in enumerate(warnings):
        label = "abcdef"[number]
        runs.append(ExperimentRun(None, RunFolder(Path(label)), label))
    checked = [CheckedExperiment("", "", ("Rows.",), (each,) if each else ()) for each in warnings]
    report_findings(runs, checked, listener)
    assert listener.notes == ["Rows."]
    return listener.warnings


def test_a_warning_is_said_once_with_the_experiments_that_have_it():
    assert warned(None, None) == []
    assert warned("Slow.", "Slow.") == ["Slow."]
    assert warned("Slow.", None, "Slow.", "Still.") == ["a, c: Slow.", "d: Still."]


def test_curves_that_cannot_move_are_said_before_the_first_training(small, tmp_path):
    training = small.training.model_copy(update={"epochs": 1, "curve_lr_factor": 0.05})
    still = small.model_copy(
        update={"training": training, "activations": ("relu", "hinged"), "seeds": (0,)}
    )
    run, heard = ExperimentRun(still, RunFolder(tmp_path)), []

    class Listener(RecordingListener):
        def on_warning(self, sentence):
            heard.append((sentence, len(self.started)))

    compare_all([run], Listener())
    [(sentence, started)] = heard
    assert sentence.startswith("Curves can travel at most 0.00") and started == 0
    compare_all([run], Listener())  # Nothing is left to train.
    assert len(heard) == 1
    travelled = {each.activation: each.travel for each in RunFolder(tmp_path).results()}
    assert travelled["relu"] == {} and len(travelled["hinged"]) == 2
    assert all(0 < each < 0.02 for each in travelled["hinged"].values())


def test_folds_of_later_seeds_are_checked_before_the_first_training(small, tmp_path):
    pytest.importorskip("pyarrow")
    rows = [f"{i},{i * i},{min(i, 45)}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["day,a,y", *rows]))
    data = {"data": f"{tmp_path / 't.csv'}:y", "table": TableSettings(split="time:day")}
    network = small.network.model_copy(update={"kind": "mlp"})
    folds = small.model_copy(update={**data, "network": network, "folds": 3, "seeds": (0, 1, 2)})
    listener = RecordingListener()
    with pytest.raises(errors.DataError, match="`fold 3`: got a test split with equal targets"):
        compare_all([ExperimentRun(folds, RunFolder(tmp_path / "run"))], listener)
    assert not listener.started
    first = folds.model_copy(update={"seeds": (0,)})
    compare_all([ExperimentRun(first, RunFolder(tmp_path / "first"))], listener)
    assert listener.notes[0].endswith("; fold 1 of 3 to test on.")
