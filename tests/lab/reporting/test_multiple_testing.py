import math

import pytest

from hinged.lab.reporting.multiple_testing import holm_correction


def test_holm_by_hand():
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.5 x 1, each at least as large as the one before.
    assert holm_correction([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    with_nan = holm_correction([0.01, math.nan, 0.9])
    assert with_nan[0] == pytest.approx(0.02) and math.isnan(with_nan[1])
    assert with_nan[2] == pytest.approx(0.9)
