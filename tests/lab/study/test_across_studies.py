import numpy as np
import pytest
import scipy.stats

from hinged.lab.study import across_studies
from hinged.lab.study.build_record import build_record


def changed(found, values):
    """Return a record with other values, a list of seeds for each row."""
    rows = [
        row.model_copy(update={"values": dict(enumerate(v)), "mean": float(np.mean(v))})
        for row, v in zip(found.rows, values, strict=True)
    ]
    return found.model_copy(update={"rows": rows})


RELU, THREE, NINE = [0.50, 0.52, 0.51], [0.53, 0.54, 0.54], [0.50, 0.53, 0.49]


def test_every_place_of_the_curves_is_set_beside_the_one_relu(finished):
    found = across_studies.collect_gains([changed(build_record(finished), [RELU, THREE, NINE])])
    assert [s.name for s in found] == ["tiny: 3 hinges", "tiny: 9 hinges"]
    gain = found[0].gains["relu"]
    assert gain.mean == pytest.approx(np.mean(THREE) - np.mean(RELU)) and gain.pairs == 3
    assert gain.p == pytest.approx(scipy.stats.ttest_rel(THREE, RELU).pvalue)
    assert gain.low < gain.mean < gain.high


def test_settings_of_another_network_are_not_set_side_by_side(finished):
    known = build_record(finished)
    other = {**known.cells, known.rows[0].cell: {**known.cells[known.rows[0].cell], "data": "wine"}}
    rows = [known.rows[0], known.rows[2]]
    assert (
        across_studies.collect_gains([known.model_copy(update={"cells": other, "rows": rows})])
        == []
    )


def test_the_best_of_the_others_is_the_one_least_is_gained_over(finished):
    known = build_record(finished)
    relu, curves = known.rows[:2]
    extra = [
        relu.model_copy(update={"activation": name, "values": dict(enumerate(values))})
        for name, values in (("silu", [0.4, 0.5, 0.6]), ("gelu", [0.5, 0.6, 0.7]))
    ]
    rows = [relu, *extra, curves]
    found = across_studies.collect_gains([known.model_copy(update={"rows": rows})])
    assert found[0].over_best_other.activation == "gelu"


def test_what_did_not_finish_is_no_pair(finished):
    found = changed(build_record(finished), [RELU, THREE, NINE])
    found.rows[0].values[1] = None
    assert across_studies.collect_gains([found])[0].gains["relu"].pairs == 2


FIVE = (
    [0.50, 0.52, 0.51, 0.53, 0.49],
    [0.53, 0.54, 0.54, 0.55, 0.52],
    [0.50, 0.53, 0.49, 0.52, 0.50],
)
"""Scores of ReLU and of curves with 3 and with 9 hinges, from five seeds."""


def test_lines_count_what_holds_after_correction(finished):
    found = across_studies.collect_gains([changed(build_record(finished), FIVE)])
    assert [gain.gains["relu"].p < 0.05 / 2 for gain in found] == [True, False]
    against, cost = across_studies.summary_lines(found)
    assert against == (
        "**Against ReLU**: curves are better in 1 of 2 settings, by 2.6 points, worse in 0, and "
        "not significantly different in 1."
    )
    assert cost.startswith("**Cost**: a training step takes ")
    assert "for all 2 tests" in across_studies.how_gains_are_counted(found)


def test_fewer_than_five_seeds_count_for_nothing(finished):
    found = across_studies.collect_gains([changed(build_record(finished), [RELU, THREE, NINE])])
    assert found[0].gains["relu"].p < 0.05 / 2
    assert "better in 0 of 2 settings, worse in 0" in across_studies.summary_lines(found)[0]


def test_the_table_shows_each_gain_with_its_test(finished):
    found = across_studies.collect_gains([changed(build_record(finished), [RELU, THREE, NINE])])
    table = across_studies.gains_table(found).replace("\N{NO-BREAK SPACE}", " ")
    assert "| tiny: 3 hinges | 53.67 | +2.67 (p " in table and table.count("| - |") == 2


def test_what_each_test_shows_is_not_what_the_correction_leaves(finished):
    weak = [FIVE[0], [0.50, 0.53, 0.52, 0.54, 0.51], FIVE[2]]
    thrice = [changed(build_record(finished), weak)] * 3
    found = across_studies.collect_gains(thrice)
    assert found[0].gains["relu"].p < 0.05 < 6 * found[0].gains["relu"].p
    assert "better in 0 of 6 settings, worse in 0" in across_studies.summary_lines(found)[0]


def test_a_loss_is_named(finished):
    worse = [[0.10, 0.12, 0.115, 0.13, 0.10]] * 2
    found = across_studies.collect_gains([changed(build_record(finished), [FIVE[0], *worse])])
    said = across_studies.summary_lines(found)[0]
    assert "better in 0 of 2 settings, worse in 2 (tiny: 3 hinges, by 39.7, tiny: 9 hinges" in said


def test_the_size_of_the_trainings_is_that_of_the_cells(finished):
    said = across_studies.describe_trainings([build_record(finished)])
    assert said == "1 to 1 epochs on at most 100 training samples"
