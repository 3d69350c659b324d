import pytest

from hinged.lab.study.answer import answer
from hinged.lab.study.definition import YesIf
from tests.lab.study.helpers import invent_record, invent_row

ASKED = YesIf()
SURE, UNSURE = 0.001, 0.4
RELU = "ReLU (CNN with 1 block)"


def test_if_curves_are_better_everywhere_the_answer_is_yes():
    record = invent_record([(0.018, SURE), (0.03, SURE), (0.043, SURE)])
    assert answer(record, ASKED).text == (
        "Yes. Curves beat ReLU in all three networks, by 1.8 to 4.3 points of accuracy (10 seeds "
        "each; every difference holds after correction for 3 comparisons)."
    )


def test_if_curves_are_worse_everywhere_the_answer_is_no():
    record = invent_record([(-0.018, SURE), (-0.043, SURE)])
    assert answer(record, ASKED).text == (
        "No. Curves are worse than ReLU in both networks, by 1.8 to 4.3 points of accuracy (10 "
        "seeds each; every difference holds after correction for 2 comparisons)."
    )


def test_gains_and_losses_are_told_together():
    record = invent_record([(0.018, SURE), (-0.043, SURE), (0.002, UNSURE), (-0.001, UNSURE)])
    assert answer(record, ASKED).text == (
        "In part. Curves beat ReLU in 1 of 4 networks (CNN with 1 block), by 1.8 points of "
        "accuracy. They are worse than ReLU in 1 of 4 networks (CNN with 2 blocks), by 4.3 points "
        "of accuracy; in the other two, no difference is significant: -0.1 to +0.2 points (10 "
        "seeds each; significant at the 5 % level after correction for 4 comparisons)."
    )


def test_losses_without_gains_are_a_no():
    said = answer(invent_record([(-0.02, SURE), (0.03, UNSURE)]), ASKED).text
    assert said.startswith("No. Curves are worse than ReLU in 1 of 2 networks (CNN with 1 block)")
    assert "in the other, the difference is not significant: +3.0 points (" in said


@pytest.mark.parametrize(
    ("differences", "where"),
    [
        ([(0.02, UNSURE)], ""),
        ([(0.02, UNSURE), (-0.01, UNSURE)], " in either network"),
        ([(0.02, 0.051), (-0.01, UNSURE), (0.0, UNSURE)], " in any of the three networks"),
    ],
)
def test_without_a_significant_difference_neither_yes_nor_no_is_claimed(differences, where):
    said = answer(invent_record(differences), ASKED).text
    assert said.startswith("Not shown. These 10 seeds show no significant difference between ")
    reference = RELU if len(differences) == 1 else "ReLU"
    assert f"curves and {reference}{where} (5 % level, after correction for " in said


def test_a_single_comparison_is_no_list():
    said = answer(invent_record([(0.02, SURE)]), ASKED).text
    assert said == (
        "Yes. Curves beat ReLU (CNN with 1 block), by 2.0 points of accuracy (10 seeds each; every "
        "difference holds after correction for 1 comparison)."
    )


@pytest.mark.parametrize("seeds", [2, 4])
def test_fewer_than_five_seeds_give_no_verdict(seeds):
    said = answer(invent_record([(0.02, SURE), (0.3, SURE)], seeds=seeds), ASKED).text
    assert said == (
        f"No verdict. {seeds} seeds are too few; at least five are needed. On average, curves "
        "are better than ReLU in both networks. Mean differences in test "
        "accuracy: +2.0 to +30.0 points."
    )
    assert answer(invent_record([(0.02, SURE)], seeds=5), ASKED).verdict == "Yes"


def test_rows_with_few_seeds_are_left_out_of_the_verdict():
    record = invent_record([(0.02, SURE), (0.3, SURE)])
    few = record.rows[3].versus.model_copy(update={"pairs": 4})
    rows = [*record.rows[:3], record.rows[3].model_copy(update={"versus": few})]
    said = answer(record.model_copy(update={"rows": rows}), ASKED).text
    assert said.startswith(
        "In part. Curves beat ReLU in 1 of 2 networks (CNN with 1 block), by 2.0"
    )
    assert "; one with fewer than 5 seeds left out (10 seeds each;" in said


def test_few_seeds_do_not_show_that_there_is_no_difference():
    record = invent_record([(0.001, UNSURE), (0.002, UNSURE), (0.3, SURE)])
    few = record.rows[5].versus.model_copy(update={"pairs": 2})
    rows = [*record.rows[:5], record.rows[5].model_copy(update={"versus": few})]
    assert answer(record.model_copy(update={"rows": rows}), ASKED).text == (
        "Not shown. These 10 seeds show no significant difference between curves and ReLU in "
        "either network (5 % level, after correction for 3 comparisons; one with fewer than 5 "
        "seeds left out). Mean differences in test accuracy: +0.1 to +0.2 points."
    )


def diverge(row):
    """Return the row as if all its trainings had diverged."""
    nothing = dict.fromkeys(row.values)
    seeds = tuple(row.values)
    changes = {"mean": None, "values": nothing, "diverged": seeds, "versus": None}
    return row.model_copy(update=changes)


def test_curves_that_diverge_in_one_network_are_no_yes():
    record = invent_record([(0.018, SURE), (0.03, SURE), (0.043, SURE)])
    rows = [*record.rows[:5], diverge(record.rows[5])]
    said = answer(record.model_copy(update={"rows": rows}), ASKED).text
    assert said.startswith("In part. Curves beat ReLU in 2 of 3 networks (CNN with 1 block; CNN ")
    assert said.endswith("Of 3 comparisons, 1 cannot be made. 10 trainings of curves diverged.")
    few = record.rows[5].model_copy(update={"diverged": (3,)})
    one = answer(record.model_copy(update={"rows": [*record.rows[:5], few]}), ASKED)
    assert one.verdict == "In part" and one.lead.endswith("1 training of curves diverged.")
    none = answer(record.model_copy(update={"rows": [record.rows[0], rows[5]]}), ASKED)
    assert none.text == "Nothing has been compared yet. 10 trainings of curves diverged."


def test_a_network_whose_trainings_failed_still_counts():
    record = invent_record([(0.018, SURE), (0.03, SURE)])
    said = answer(record.model_copy(update={"rows": record.rows[:2]}), ASKED).text
    assert said.startswith("In part. Curves beat ReLU (CNN with 1 block) in 1 of 2 settings (CNN")


def test_an_unfinished_study_says_that_its_answer_can_change():
    record = invent_record([(0.018, SURE)]).model_copy(update={"missing": 1})
    said = answer(record, ASKED)
    assert said.verdict == "In part"
    assert said.lead.endswith("1 training is missing, so this answer can change.")


def test_scores_of_regression_are_no_points():
    record = invent_record([(0.0009, SURE), (0.044, SURE)], metric="R2")
    said = answer(record, ASKED).text
    assert "in both networks, by 0.001 to 0.044 in R2 (" in said
    assert "0.02 in R2" not in said
    tiny = answer(invent_record([(0.00004, SURE)], metric="R2")).text
    assert "by 0.00004 in R2" in tiny


def test_folds_are_not_called_seeds():
    record = invent_record([(0.02, SURE)], metric="R2", experiment={"folds": 10})
    assert "(10 folds each;" in answer(record).text


def test_a_question_without_yes_or_no_gets_the_finding():
    said = answer(invent_record([(0.018, SURE), (0.03, SURE)]))
    assert said.verdict == "" and said.text == said.lead
    assert said.lead.startswith("Curves beat ReLU in both networks, by 1.8 to 3.0 points")


def test_a_yes_may_be_that_curves_are_worse():
    record = invent_record([(0.018, SURE), (0.03, SURE)], measure="gap")
    said = answer(record, YesIf(curves_are="worse")).text
    assert said.startswith(
        "Yes. Curves have a larger gap between training and test scores than ReLU in both "
        "networks, by 1.8 to 3.0 points ("
    )
    smaller = invent_record([(-0.018, SURE), (-0.03, SURE)], measure="gap")
    assert answer(smaller, YesIf(curves_are="worse")).verdict == "No"


def test_a_study_of_costs_says_how_many_times_as_long_a_step_takes():
    record = invent_record([(1.5, SURE), (7.68, SURE)], measure="step_ms")
    assert answer(record).lead == (
        "Relative to ReLU, a training step takes 1.10 times as long with curves. Curves need more "
        "time for a training step than ReLU in both networks, by 1.5 to 7.7 ms (10 seeds each; "
        "every difference holds after correction for 2 comparisons)."
    )


def test_a_study_of_dead_units_says_how_many_there_are():
    record = invent_record([(-0.5045, SURE)], measure="dead")
    rows = [record.rows[0], record.rows[1].model_copy(update={"mean": 0.0})]
    assert answer(record.model_copy(update={"rows": rows})).lead == (
        "Units that are dead at the end of training: 50.4 % with ReLU; none with curves. Curves "
        "have fewer dead units than ReLU (CNN with 1 block), by 50.4 points (10 seeds each; every "
        "difference holds after correction for 1 comparison)."
    )


def test_logarithms_of_errors_become_factors():
    record = invent_record([(-0.30103, SURE), (-1.0, SURE)], measure="log_error", metric="R2")
    said = answer(record).lead
    assert "Curves have smaller test errors than ReLU in both networks, by a factor of 2.0" in said
    assert "by a factor of 2.0 to 10.0 (" in said


def test_insignificant_errors_are_ratios():
    record = invent_record([(-0.30103, SURE), (-1.0, UNSURE)], measure="log_error", metric="R2")
    assert "difference is not significant: errors 0.10 times as large (" in answer(record).lead
    unsure = invent_record([(-0.30103, UNSURE)], measure="log_error", metric="R2")
    assert answer(unsure).lead.endswith("On average, there are errors 0.50 times as large.")


def with_rival(record, activation, values):
    """Return the record with rows of one more activation, with these values in each network."""
    extra = [
        invent_row(activation, each, cell=row.cell, label=row.label, point=row.point)
        for row, each in zip(record.rows[::2], values, strict=True)
    ]
    return record.model_copy(update={"rows": [*record.rows, *extra]})


def test_yes_needs_every_activation_that_the_question_names():
    record = invent_record([(0.018, SURE), (0.03, SURE)])
    ours = [list(row.values.values()) for row in record.rows[1::2]]
    asked = YesIf(than=("relu", "silu"))
    lower = [[v - 0.1 - 0.001 * (s % 3) for s, v in enumerate(each)] for each in ours]
    beaten = answer(with_rival(record, "silu", lower), asked)
    assert beaten.verdict == "Yes" and beaten.lead.endswith(
        "They beat SiLU in 2 of 2 (after correction for 4 comparisons)."
    )
    higher = [[v + 0.1 + 0.001 * (s % 3) for s, v in enumerate(each)] for each in ours]
    lost = answer(with_rival(record, "silu", higher), asked)
    assert lost.verdict == "In part"
    assert "They beat SiLU in 0 of 2; they are worse than SiLU in 2 of 2 (after" in lost.lead
    assert answer(record, asked).verdict == "In part"  # SiLU was not trained.
    half = with_rival(record, "silu", lower)
    half = half.model_copy(update={"rows": [*half.rows[:-1], diverge(half.rows[-1])]})
    assert answer(half, asked).verdict == "In part"
    assert "They beat SiLU in 1 of 2 (after correction for 3" in answer(half, asked).lead


def test_the_best_mean_is_told_whoever_has_it():
    record = invent_record([(0.018, SURE), (0.03, SURE)])
    values = [[0.9] * 10, [0.1] * 10]
    said = answer(with_rival(record, "gelu", values)).more
    assert said[0] == (
        "By the means alone, without a test, the best of the three activations is GELU in 1 and "
        "curves in 1 of 2 networks."
    )
    assert not any("By the means" in each for each in answer(record).more)


def test_activations_with_equal_means_share_the_first_place():
    record = invent_record([(0.018, SURE)])
    said = answer(with_rival(record, "gelu", [list(record.rows[1].values.values())])).more
    assert "the three activations is curves and GELU together in 1 of 1 setting." in said[0]


def test_other_configurations_are_compared_with_curves():
    record = invent_record([(0.0, UNSURE), (-0.1, SURE), (-0.2, SURE)], baseline="hinged")
    said = answer(record).lead
    assert said.startswith("Compared with curves, 2 of 3 configurations are worse, by 10.0 to 20.0")
    assert "(CNN with 2 blocks; CNN with 3 blocks); none is better; for the other, the " in said
    nothing = invent_record([(-0.013, UNSURE), (0.002, UNSURE)], baseline="hinged")
    assert answer(nothing).lead == (
        "These 10 seeds show no significant difference between curves and any of the two other "
        "configurations (5 % level, after correction for 2 comparisons). Mean differences in test "
        "accuracy: -1.3 points (CNN with 1 block) to +0.2 points (CNN with 2 blocks)."
    )


def test_warnings_of_worse_configurations_are_counted():
    record = invent_record([(-0.1, SURE), (-0.2, SURE)], baseline="hinged")
    rows = [row.model_copy(update={"advice": {"steep": 1.0}}) for row in record.rows[:2]]
    said = answer(record.model_copy(update={"rows": [*rows, *record.rows[2:]]})).more
    assert (
        "`hinged.diagnose` finds a sign of a problem in every training of 1 of the 2 "
        "configurations of curves that are worse." in said
    )


def test_nothing_compared_is_no_answer():
    record = invent_record([(0.1, SURE)])
    assert answer(record.model_copy(update={"rows": record.rows[:1]}), ASKED).text == (
        "Nothing has been compared yet."
    )
