import pytest

from hinged.lab.reporting.time_estimate import TimeEstimate, in_words


def test_one_training_after_the_other():
    estimate = TimeEstimate(epochs=10, jobs=1)
    assert not estimate.is_possible
    estimate.start_training("a", 100)
    estimate.end_epoch("a", 104)
    assert estimate.is_possible and estimate.seconds_left(1) == 9 * 4
    estimate.end_epoch("a", 106)
    assert estimate.seconds_left(2) == 8 * 3  # The mean of 4 and 2 seconds.


def test_trainings_at_the_same_time_share_the_remaining_epochs():
    estimate = TimeEstimate(epochs=12, jobs=3)
    for training in "abc":
        estimate.start_training(training, 0)
    estimate.end_epoch("b", 6)
    # 12 epochs of 6 seconds each, three at a time.
    assert estimate.seconds_left(0) == 24


def test_without_the_number_of_trainings_at_once_nothing_is_estimated():
    estimate = TimeEstimate(epochs=12, jobs=None)
    estimate.start_training("a", 0)
    estimate.end_epoch("a", 6)
    assert not estimate.is_possible


def test_a_training_without_a_known_start_counts_from_its_first_epoch():
    estimate = TimeEstimate(epochs=4, jobs=1)
    estimate.end_epoch("a", 50)
    assert not estimate.is_possible
    estimate.end_epoch("a", 57)
    assert estimate.seconds_left(2) == 14


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (3570, "1 h 0 min"),
        (3600 * 23.98, "23 h 59 min"),
        (3600 * 23.999, "1 d 0 h"),
    ],
)
def test_durations_in_words(seconds, text):
    assert in_words(seconds) == text
