from hinged.lab.study.doubts import remaining_doubts, trouble
from tests.lab.study.helpers import invent_record


def test_what_is_unsure_says_how_many_seeds_it_takes():
    record = invent_record([(0.05, 0.001)], unsure="Two blocks are not tried.")
    assert remaining_doubts(record) == (
        "To find a difference of 0.2 points with a probability of 80 %, 7 seeds would be needed, "
        "by the spread of these results; this record has 10. Two blocks are not tried."
    )
    assert remaining_doubts(invent_record([(0.05, 0.001)], measure="dead")) == ""


def test_what_diverged_is_named():
    record = invent_record([(0.05, 0.001)])
    rows = [record.rows[0], record.rows[1].model_copy(update={"diverged": (1, 3)})]
    assert trouble(record.model_copy(update={"rows": rows})) == [
        "2 trainings diverged (loss or score infinite or NaN): curves (CNN with 1 block), "
        "seeds 1, 3."
    ]
    assert trouble(record) == []


def test_missing_trainings_and_the_smallest_scale_are_troubles():
    record = invent_record([(0.05, 0.001)], missing=2, scale="smoke")
    assert trouble(record) == [
        "Missing trainings: 2.",
        "The scale `smoke` only checks that the study runs; it answers no question.",
    ]
