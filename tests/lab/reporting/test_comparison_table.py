import math

import pytest

from hinged.lab.reporting import terminal
from hinged.lab.reporting.comparison_table import build_comparison_table, verdict
from tests.lab.helpers import make_result


def make_table(scores, experiment):
    results = [
        make_result(activation, seed, score)
        for activation, values in scores.items()
        for seed, score in enumerate(values)
    ]
    return build_comparison_table(
        experiment.model_copy(update={"activations": tuple(scores)}), results
    )


def test_table_by_hand(small):
    table = make_table({"relu": [0.5, 0.6, 0.7], "hinged": [0.6, 0.7, 0.9]}, small)
    relu, hinged = table.rows
    assert relu.versus is None and relu.score.mean == pytest.approx(0.6)
    assert hinged.versus.difference.mean == pytest.approx(0.4 / 3)
    # t = 4 with 2 degrees of freedom.
    assert hinged.versus.p == pytest.approx(0.05719, abs=1e-5)
    assert hinged.p_corrected == hinged.versus.p
    assert hinged.step_ratio == 1.0


def test_differences_are_taken_over_shared_seeds(small):
    table = make_table({"relu": [0.5, 0.6], "hinged": [0.6, 0.8, 0.0]}, small)
    assert table.rows[1].seeds == 3
    assert table.rows[1].versus.difference.mean == pytest.approx(0.15)


def test_verdict_says_what_the_figures_say(small):
    relu = [0.5, 0.6, 0.7, 0.5, 0.6]
    better = verdict(make_table({"relu": relu, "hinged": [0.61, 0.7, 0.8, 0.6, 0.7]}, small))
    assert better.startswith("Better: on average, hinged is 10.20 points above relu (95 % interval")
    worse = verdict(make_table({"relu": relu, "hinged": [0.4, 0.51, 0.6, 0.4, 0.5]}, small))
    assert worse.startswith("Worse: on average, hinged is 9.80 points below relu (95 % interval")
    alike = verdict(make_table({"relu": relu, "hinged": [0.5, 0.5, 0.7, 0.5, 0.6]}, small))
    assert alike.startswith(
        "No difference that these seeds can show: on average, hinged is 2.00 points"
    )
    assert alike.endswith("p = 0.37; 5 seeds).")


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_fewer_than_five_seeds_give_no_verdict(seeds, small):
    # The differences hardly vary: with 2 seeds, p is 0.003.
    hinged = [0.6 + 0.001 * seed for seed in range(seeds)]
    table = make_table(
        {"relu": [0.5 + 0.0005 * seed for seed in range(seeds)], "hinged": hinged}, small
    )
    assert table.rows[1].versus.p < 0.05
    text = verdict(table)
    assert text.endswith(f"points above relu over {seeds} seeds: too few for a verdict.")
    assert "interval" not in text and "level" not in text
    assert f"Too few seeds for a verdict: {seeds}; give at least 5." in table.warnings
    assert f"Too few seeds for a verdict: {seeds}; give at least 5." in table.as_json()["warnings"]


def test_seeds_that_diverged_do_not_count_for_a_verdict(small):
    hinged = [0.6, 0.7, 0.8, 0.6, math.nan]
    table = make_table({"relu": [0.5, 0.6, 0.7, 0.51, 0.6], "hinged": hinged}, small)
    assert verdict(table).endswith("over 4 seeds: too few for a verdict.")


def test_differences_of_other_metrics_are_shown_with_four_decimals(small):
    results = [
        make_result(activation, seed, score + 0.01 * seed**2).model_copy(update={"metric": "R2"})
        for activation, score in (("relu", 0.5), ("hinged", 0.5 + 0.0123))
        for seed in range(4)
    ]
    assert "0.0123 above relu" in verdict(build_comparison_table(small, results))


def test_what_diverged_is_named_and_left_out(small):
    table = make_table({"relu": [0.5, 0.6, 0.7], "hinged": [0.6, math.nan, 0.9]}, small)
    hinged = table.rows[1]
    assert hinged.seeds == 3 and hinged.diverged == (1,) and hinged.versus.pairs == 2
    assert hinged.score.mean == pytest.approx(0.75)
    assert hinged.versus.difference.mean == pytest.approx(0.15)
    assert any("infinite or NaN): hinged (seed 1)." in text for text in table.warnings)
    assert make_table({"relu": [0.5, 0.6]}, small).warnings == ()


def test_where_all_diverged_there_is_no_score(small):
    table = make_table({"relu": [0.5, 0.6], "hinged": [math.nan, math.nan]}, small)
    assert table.rows[1].versus is None
    assert terminal.row_texts(table.rows[1], table.metric)[:3] == ("hinged", "-", "")
    assert "has not been compared" in verdict(table)
    assert "hinged (seed 0, seed 1)" in " ".join(table.warnings)


def test_json_has_no_nan(small):
    plain = make_table({"relu": [0.5], "hinged": [0.6]}, small).as_json()
    assert plain["rows"][1]["score"] == {"mean": 0.6, "low": None, "high": None}
    assert plain["rows"][1]["p_corrected"] is None


def test_cells_of_undefined_figures_are_readable(small):
    table = make_table({"relu": [0.5, 0.6], "hinged": [0.75, 0.85]}, small)
    cells = terminal.row_texts(table.rows[1], table.metric)
    assert "+25.00" in cells[2] and "nan" not in " ".join(cells)
    assert math.isnan(make_table({"relu": [0.5], "hinged": [0.75]}, small).rows[1].score.low)
