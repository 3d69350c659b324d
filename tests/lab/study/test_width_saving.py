import math

import numpy as np
import pytest

from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.width_saving import width_saving, width_saving_sentence

WIDTHS = (4, 8, 16, 32)


def row(activation, width, values):
    return RecordRow.model_construct(
        label=f"width {width}",
        activation=activation,
        point={"network.width": width},
        values=dict(enumerate(values)),
    )


def record(gain, noise=0.0, seeds=6, widths=WIDTHS):
    """Scores that grow by 0.1 with every doubling; curves are as good as `gain` times the width."""
    draw = np.random.default_rng(1)

    def scores(width):
        return (0.1 * math.log2(width) + noise * draw.standard_normal(seeds)).tolist()

    rows = [row("relu", w, scores(w)) for w in widths]
    rows += [row("hinged", w, scores(gain * w)) for w in widths]
    return StudyRecord.model_construct(baseline="relu", larger_is_better=True, rows=rows)


@pytest.mark.parametrize("gain", [1.0, 1.5, 2.0, 0.8])
def test_the_saving_of_a_known_gain_is_found(gain):
    found = width_saving(record(gain))
    assert found.share.mean == pytest.approx(1 - 1 / gain, abs=1e-12)
    assert found.share.low == pytest.approx(found.share.high)


def test_widths_beyond_the_baselines_scores_are_left_out():
    assert width_saving(record(2.0)).widths == (4, 8)
    assert width_saving(record(64.0)) is None


def test_the_interval_grows_with_the_noise_and_holds_the_truth():
    narrow, wide = (width_saving(record(1.5, noise)).share for noise in (0.005, 0.02))
    assert narrow.low < 1 - 1 / 1.5 < narrow.high
    assert 0 < narrow.high - narrow.low < wide.high - wide.low


def test_scores_that_fall_with_the_width_are_levelled():
    found = record(1.0)
    found.rows[2].values.update(dict.fromkeys(range(6), found.rows[1].values[0] - 0.02))
    assert width_saving(found).share.mean < 1


def test_two_widths_a_missing_seed_or_a_lost_training_give_no_figure_they_cannot_give():
    assert width_saving(record(1.5, widths=(4, 8))) is None
    fewer = record(1.5)
    del fewer.rows[0].values[5]
    assert width_saving(fewer).share.mean == pytest.approx(1 / 3)
    lost = record(1.5)
    lost.rows[0].values[5] = None
    assert width_saving(lost) is None


def test_the_sentence_says_what_is_saved_and_whether_it_may_be_nothing():
    assert "33 % fewer filters than ReLU" in width_saving_sentence(record(1.5))
    assert "25 % more filters" in width_saving_sentence(record(0.8))
    assert "which contains 0" in width_saving_sentence(record(1.0, 0.05))
    assert width_saving_sentence(record(64.0)) is None


def test_records_that_ask_something_else_have_no_saving():
    for change in ({"larger_is_better": False}, {"baseline": "hinged"}):
        assert width_saving(record(1.5).model_copy(update=change)) is None
    double = record(1.5)
    double.rows.append(double.rows[0])
    assert width_saving(double) is None
    elsewhere = record(1.5)
    elsewhere.rows[0].point["data"] = "sine"
    assert width_saving(elsewhere) is None
