import pytest

from hinged.lab.study.answer import answer_sentence, remaining_doubts, rows_in_question
from hinged.lab.study.build_record import build_record
from hinged.lab.study.cells import read_study
from tests.lab.study.helpers import SCORES, fill_folder


@pytest.fixture
def made(tiny, tmp_path):
    def make(shift_3, shift_9, **changes):
        """A record in which 3 and 9 hinges differ from ReLU by so much, with little spread."""
        base = SCORES["hinges-3", "relu"]
        scores = {
            ("hinges-3", "relu"): base,
            ("hinges-3", "hinged"): [b + shift_3 + 0.001 * (s % 2) for s, b in enumerate(base)],
            ("hinges-9", "hinged"): [b + shift_9 - 0.001 * (s % 2) for s, b in enumerate(base)],
        }
        found = build_record(fill_folder(tmp_path / "run", read_study(tiny), scores))
        return found.model_copy(update=changes)

    return make


def test_better_and_worse_are_named(made):
    said = answer_sentence(made(0.05, -0.05))
    assert said.startswith(
        "Of 2 comparisons of hinged with relu, 1 is better (hinged (hinges 3)), "
    )
    assert "1 is worse (hinged (hinges 9)), and 0 show no difference" in said
    assert "from -5.04 points (hinged (hinges 9)) to +5.04 points (hinged (hinges 3))" in said


def test_what_is_small_shows_no_difference(made):
    said = answer_sentence(made(0.0, 0.0))
    assert "0 are better, 0 are worse, and 2 show no difference at the 5 % level" in said


def test_where_less_is_better_less_is_better(made):
    said = answer_sentence(made(0.05, -0.05, larger_is_better=False))
    assert "1 is better (hinged (hinges 9))" in said and "1 is worse (hinged (hinges 3))" in said


def test_where_hinged_is_the_baseline_all_others_are_asked_about(made):
    found = made(0.05, -0.05, baseline="hinged")
    assert rows_in_question(found) == [row for row in found.rows if row.versus is not None]


def test_what_is_unsure_says_how_many_seeds_it_takes(made):
    found = made(0.05, -0.05)
    (needed,) = {row.versus.seeds_needed for row in rows_in_question(found)}
    said = remaining_doubts(found)
    assert f"{needed} seeds are needed to find a difference of 0.2 points" in said
    assert "compares 5 seeds." in said and said.endswith("Two blocks are not tried.")
    assert "only checks that the study runs" in remaining_doubts(made(0, 0, scale="smoke"))


def test_what_diverged_is_named(made):
    found = made(0.05, -0.05)
    rows = [row.model_copy(update={"diverged": (1, 3)}) for row in found.rows[1:2]]
    said = remaining_doubts(found.model_copy(update={"rows": [found.rows[0], *rows]}))
    assert (
        "2 trainings diverged (loss or score infinite or NaN): "
        "hinged (hinges 3), seeds 1, 3." in said
    )
    assert "diverged" not in remaining_doubts(found)
