import json

from hinged.lab.study.build_record import build_record
from hinged.lab.study.cells import read_study
from hinged.lab.study.definition import find_study
from hinged.lab.study.sizes import TIMES, expected_time, measured_time, scale_size


def test_the_size_counts_what_is_trained(tiny):
    size = scale_size(read_study(tiny), "smoke")
    assert (size.cells, size.seeds, size.trainings) == (2, 3, 3 * 3)
    assert (size.epochs, size.learning_rates, size.train_samples) == ((1,), (0.006,), (100,))


def test_the_size_is_told_in_words():
    assert scale_size(read_study(find_study("tables")), "small").as_words() == {
        "trainings": "540 trainings: 9 combinations of settings, 10 folds",
        "epochs": "25",
        "learning rate": "0.006",
        "training samples": "9 of 10 folds",
    }
    rates = scale_size(read_study(find_study("rates")), "full").as_words()
    assert rates["learning rate"] == "0.002, 0.006, 0.018" and rates["training samples"] == "all"


def test_the_expected_time_is_that_of_the_recorded_trainings(monkeypatch, tmp_path):
    times = {"hinges": {"small": {"seconds": 406, "trainings": 72, "machine": "a Xeon, 2 cores"}}}
    (tmp_path / "times.json").write_text(json.dumps(times))
    monkeypatch.setattr("hinged.lab.study.sizes.TIMES", tmp_path / "times.json")
    study = read_study(find_study("hinges"))
    assert expected_time("hinges", study, "small") == (
        "about 15 min of training in all, by the times of 72 recorded trainings on a Xeon, 2 cores"
    )
    assert expected_time("hinges", study, "full").startswith("unknown (")


def test_the_time_of_a_changed_study_is_unknown():
    study = read_study(find_study("hinges"))
    changed = study.model_copy(update={"alone": True})
    assert not expected_time("hinges", study, "small").startswith("unknown")
    assert expected_time("hinges", changed, "small").startswith("unknown (")
    assert expected_time("mine", study, "small").startswith("unknown (")


def test_the_measured_time_is_that_of_the_record(finished):
    record = build_record(finished)
    measured = measured_time(record)
    assert measured.trainings == 9 and measured.seconds == round(record.seconds, 1)
    assert measured.machine.startswith(record.environments[0]["processor"])
    assert json.loads(TIMES.read_text()).keys() > {"mnist", "transfer"}
