from hinged.lab.study.supplements import (
    best_activation_sentence,
    best_values,
    levels_sentence,
    supplements,
)
from tests.lab.study.helpers import invent_record, invent_row

SURE = 0.001


def with_rates(scores):
    """Return a record with the given scores, by activation and learning rate."""
    record = invent_record([(0.1, SURE)])
    rows = [
        invent_row(
            activation,
            [score] * 5,
            cell="depth-1",
            label=f"lr {rate}",
            point={"training.lr": rate},
        )
        for (activation, rate), score in scores.items()
    ]
    return record.model_copy(update={"rows": rows})


def test_the_best_value_of_each_activation_is_told():
    scores = {("relu", 0.1): 0.8, ("relu", 0.2): 0.7, ("hinged", 0.1): 0.8, ("hinged", 0.2): 0.9}
    assert best_values(with_rates(scores)) == [
        "The learning rate with the best mean, without a test: 0.1 for ReLU, 0.2 for curves."
    ]
    scores["relu", 0.2] = 0.85
    assert best_values(with_rates(scores)) == [
        "The learning rate with the best mean, without a test: 0.2 for ReLU and curves."
    ]
    assert best_values(invent_record([(0.1, SURE)])) == []


def test_a_single_tuned_activation_is_not_named():
    scores = {("hinged", 0.1): 0.8, ("hinged", 0.2): 0.7}
    (said,) = best_values(with_rates(scores))
    assert said == "The learning rate with the best mean, without a test: 0.1."


def test_times_relative_to_another_network_are_left_out():
    record = invent_record([(0.1, SURE), (0.1, SURE)])
    first = record.rows[0].title
    shared = record.rows[3].versus.model_copy(update={"label": first})
    other = record.rows[3].model_copy(update={"versus": shared, "step_ratio": 9.0})
    rows = [*record.rows[:3], other]
    said = supplements(record.model_copy(update={"rows": rows}), has_verdict=True)
    assert "Relative to ReLU, a training step takes 1.10 times as long with curves." in said


def test_costs_name_every_activation_curves_first():
    record = invent_record([(1.5, SURE)], measure="step_ms")
    relu, curves = record.rows
    prelu = curves.model_copy(update={"activation": "prelu", "step_ratio": 1.2})
    record = record.model_copy(update={"rows": [relu, prelu, curves]})
    assert levels_sentence(record) == (
        "Relative to ReLU, a training step takes 1.10 times as long with curves and 1.20 with "
        "PReLU."
    )
    assert levels_sentence(invent_record([(0.1, SURE)])) == ""


def test_a_saving_from_few_seeds_is_no_verdict(monkeypatch):
    monkeypatch.setattr(
        "hinged.lab.study.supplements.width_saving_sentence", lambda record: "Half the filters."
    )
    record = invent_record([(0.1, SURE)], seeds=4)
    assert supplements(record, has_verdict=False)[0] == (
        "Half the filters. This, too, comes from too few seeds for a verdict."
    )
    assert supplements(record, has_verdict=True)[0] == "Half the filters."


def test_the_smallest_error_is_the_best():
    record = invent_record([(-0.3, SURE)], measure="log_error", metric="R2")
    larger = record.rows[0].model_copy(update={"activation": "gelu", "mean": 0.9})
    record = record.model_copy(update={"rows": [*record.rows, larger]})
    assert "the three activations is curves in 1 of 1" in best_activation_sentence(record)
