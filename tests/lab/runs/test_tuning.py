import pytest

from hinged import errors
from hinged.lab.experiment.schema import Trial
from hinged.lab.runs import pending_trial
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.tuning import (
    TriedSettings,
    Tuning,
    check_untuned,
    read_tuning,
    tune_all,
    tuning_folders,
    tuning_runs,
)
from tests.lab.helpers import RecordingListener, make_result
from tests.processes import start_command, wait_until

RATES = Tuning(
    {
        "relu": [{"training.lr": 0.0001}, {"training.lr": 0.05}],
        "hinged": [{"training.lr": 0.05}, {"training.lr": 0.0001}],
    },
    seeds=2,
    validation=0.25,
)
"""In both lists one rate is so small that nothing is learned."""


@pytest.fixture
def experiment():
    return build_experiment(
        data="digits",
        train_size=60,
        test_size=60,
        network={"kind": "mlp", "width": 2, "depth": 1},
        training={"epochs": 1, "batch_size": 64},
        activations=("relu", "hinged"),
        seeds=(0, 1),
    )


@pytest.fixture
def run(experiment, tmp_path):
    return ExperimentRun(experiment, RunFolder(tmp_path / "run"))


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    """Return a function that gives the tuned activations for invented validation scores."""

    def invent(*scores, seeds=2, planned=None):
        run = ExperimentRun(
            build_experiment(activations=("relu", "hinged"), seeds=(0, 1)),
            RunFolder(tmp_path_factory.mktemp("invented")),
        )
        rates = [{"training.lr": 0.1 * (i + 1)} for i in range(len(scores))]
        tuning = Tuning({"relu": rates, "hinged": rates}, planned or seeds, 0.2)
        for each, by_seed in zip(tuning_runs(run, tuning), scores, strict=True):
            each.folder.open(each.experiment)
            for seed, score in enumerate(by_seed, start=1000):
                result = make_result("relu", seed).model_copy(
                    update={"validation_scores": [score], "test_score": 1 - score}
                )
                each.folder.save_result(Trial(activation="relu", seed=seed), result, {})
        return read_tuning(run.folder)

    return invent


NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        (([0.5, 0.7], [0.8, 0.6], [0.1, 0.9]), 1),
        (([0.5, 0.5], [0.5, 0.5]), 0),
        (([0.9, NAN], [0.1, 0.1]), 1),
        (([NAN, NAN], [NAN, 0.1]), 0),
    ],
    ids=["best mean", "the first of equals", "none that diverged", "all diverged"],
)
def test_the_best_mean_validation_score_chooses(invented, scores, chosen):
    relu, hinged = invented(*scores)
    assert relu.chosen == chosen and relu.metric == "accuracy"
    assert relu.chosen_settings == {"training.lr": pytest.approx(0.1 * (chosen + 1))}
    assert hinged.chosen is None and hinged.chosen_settings == {}


def test_there_is_no_choice_before_all_tunings_are_finished(invented):
    relu, _ = invented([0.5, 0.7], [0.8], planned=2)
    assert relu.chosen is None and relu.tried[1].scores == {1000: 0.8}


def test_a_mean_needs_finite_scores():
    assert TriedSettings(settings={}, scores={1: 0.5, 2: 0.25}).mean == 0.375
    assert TriedSettings(settings={}, scores={1: 0.5, 2: None}).mean is None
    assert TriedSettings(settings={}, scores={}).mean is None


def test_each_activation_gets_its_best_settings_and_all_training_samples(run):
    listener = RecordingListener()
    training = {"epochs": 2, "batch_size": 32}
    learning = run.experiment.model_dump() | {"train_size": 400, "training": training}
    run = run._replace(experiment=build_experiment(**learning))
    (tuned,) = tune_all([run], RATES, listener)
    assert listener.counts[:2] == (8, 0)
    for each in tuning_folders(run.folder):
        assert each.experiment.seeds == (1000, 1001)
        assert {len(result.validation_scores) for result in each.results()} == {2}
    rates = {name: tuned.experiment.for_activation(name).training.lr for name in RATES.combinations}
    assert rates == {"relu": 0.05, "hinged": 0.05}
    results = compare(tuned.experiment, tuned.folder, listener)
    assert [each.seed for each in results] == [0, 0, 1, 1]
    assert {each.experiment["training"]["lr"] for each in results} == {0.05}
    assert all(each.validation_scores == [] for each in results)
    relu, hinged = read_tuning(run.folder)
    assert (relu.chosen, hinged.chosen) == (1, 0)
    assert [each.settings for each in hinged.tried] == RATES.combinations["hinged"]


def test_a_finished_tuning_is_not_done_again(run):
    (tuned,) = tune_all([run], RATES, ProgressListener())
    listener = RecordingListener()
    assert tune_all([run], RATES, listener) == [tuned]
    assert listener.counts[:2] == (8, 8) and listener.trials == []


def test_a_stopped_tuning_does_only_what_is_missing(run):
    class Stopping(RecordingListener):
        def on_result(self, run, result):
            super().on_result(run, result)
            if len(self.results) == 3:
                raise KeyError

    first, second = Stopping(), RecordingListener()
    with pytest.raises(KeyError):
        tune_all([run], RATES, first)
    tune_all([run], RATES, second)
    assert len(first.results) == 3 and len(second.results) == 5
    assert not set(first.results) & set(second.results)


def test_activations_may_be_added(run, experiment):
    alone = experiment.model_copy(update={"activations": ("relu",)})
    (tuned,) = tune_all([run._replace(experiment=alone)], RATES, ProgressListener())
    compare(tuned.experiment, run.folder, ProgressListener())
    listener = RecordingListener()
    (tuned,) = tune_all([run], RATES, listener)
    assert {activation for activation, _ in listener.trials} == {"hinged"}
    assert len(compare(tuned.experiment, run.folder, ProgressListener())) == 4


def test_settings_of_a_single_activation_stay(run, experiment):
    own = experiment.model_copy(update={"overrides": {"hinged": {"curves": {"hinges": 5}}}})
    (first, _) = tuning_runs(run._replace(experiment=own), RATES)
    assert first.experiment.for_activation("hinged").curves.hinges == 5
    assert first.experiment.for_activation("hinged").training.lr == 0.05


def test_the_validation_samples_of_the_experiment_are_those_of_the_tuning(run, experiment):
    training = experiment.training.model_copy(update={"validation": 0.5, "keep_best": True})
    own = experiment.model_copy(update={"training": training})
    (first, _) = tuning_runs(run._replace(experiment=own), RATES)
    assert first.experiment.training.validation == 0.5 and first.experiment.training.keep_best
    (first, _) = tuning_runs(run, RATES)
    assert first.experiment.training.validation == 0.25


def test_an_activation_whose_tuning_failed_is_left_out(run, monkeypatch):
    train = pending_trial.run_trial

    def fail_with_curves(experiment, trial, *arguments):
        if trial.activation == "hinged":
            raise ValueError("no")
        return train(experiment, trial, *arguments)

    monkeypatch.setattr(pending_trial, "run_trial", fail_with_curves)
    (tuned,) = tune_all([run], RATES, ProgressListener(), continue_on_error=True)
    assert tuned.experiment.activations == ("relu",)
    assert [len(each.failures()) for each in tuning_folders(run.folder)] == [2, 2]
    with pytest.raises(ValueError, match="no"):
        tune_all([run], RATES, ProgressListener())


def test_folders_without_this_tuning_are_refused_before_any_training(run, experiment):
    compare(experiment.model_copy(update={"seeds": (0,)}), run.folder, ProgressListener())
    with pytest.raises(errors.RunFolderError, match="whose settings were not tuned"):
        tune_all([run], RATES, ProgressListener())
    assert not tuning_folders(run.folder)


def test_another_tuning_and_no_tuning_are_refused(run):
    (tuned,) = tune_all([run], RATES, ProgressListener())
    compare(tuned.experiment, run.folder, ProgressListener())
    with pytest.raises(errors.RunFolderError, match="not 2 and 3"):
        tune_all([run], RATES._replace(seeds=3), ProgressListener())
    fewer = {name: each[:1] for name, each in RATES.combinations.items()}
    with pytest.raises(errors.RunFolderError, match="not 1 and 2"):
        tune_all([run], RATES._replace(combinations=fewer), ProgressListener())
    other = {name: each[::-1] for name, each in RATES.combinations.items()}
    with pytest.raises(errors.RunFolderError, match=r"training.lr of relu is 0.0001, not 0.05"):
        tune_all([run], RATES._replace(combinations=other), ProgressListener())
    with pytest.raises(errors.RunFolderError, match="with the same --tune options"):
        check_untuned(run.folder)


def test_files_of_others_are_refused(run):
    run.folder.path.mkdir()
    (run.folder.path / "thesis.tex").write_text("precious")
    with pytest.raises(errors.RunFolderError, match="holds files but no experiment"):
        tune_all([run], RATES, ProgressListener())


def test_seeds_of_the_tuning_are_refused(run, experiment):
    taken = experiment.model_copy(update={"seeds": (0, 1001)})
    with pytest.raises(errors.ArgumentError, match="got 1001; the seeds from 1000 on are for tun"):
        tune_all([run._replace(experiment=taken)], RATES, ProgressListener())


def test_values_that_a_setting_does_not_allow_are_refused(run):
    wrong = {name: [{"training.lr": -1.0}] for name in RATES.combinations}
    with pytest.raises(errors.ArgumentError, match=r"training\.lr`: got -1\.0; expected more"):
        tuning_runs(run, RATES._replace(combinations=wrong))


COMMAND = (
    *("compare", "--activations", "relu,hinged", "--seeds", "2", "--epochs", "3"),
    *("--width", "2", "--depth", "1", "--jobs", "1", "--tune", "training.lr=0.001,0.02"),
)


def trained(log):
    """The trials that a process said it finished."""
    lines = [line.partition("  ")[2].split() for line in log.read_text().splitlines()]
    return [" ".join(words[:6]) for words in lines if "seed" in words]


@pytest.mark.slow
def test_a_killed_tuning_continues_and_two_processes_share_it(tmp_path):
    out, logs = tmp_path / "run", [tmp_path / name for name in ("killed", "first", "second")]
    killed = start_command(logs[0], *COMMAND, "--out", out)
    wait_until(lambda: len(list(out.rglob("trials/*.json"))) >= 2, killed, logs[0])
    killed.kill()
    killed.join()
    kept = {path: path.read_bytes() for path in out.rglob("trials/*.json")}
    both = [start_command(log, *COMMAND, "--out", out) for log in logs[1:]]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0], [log.read_text() for log in logs]
    assert all(path.read_bytes() == text for path, text in kept.items()), "trained again"
    assert len(list(out.rglob("trials/*.json"))) == 12
    done = trained(logs[1]) + trained(logs[2])
    assert len(done) == len(set(done)) == 12 - len(kept), "each trial was done once"
