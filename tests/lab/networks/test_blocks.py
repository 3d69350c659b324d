import pytest

from hinged import errors
from hinged.lab.networks.blocks import check_depth


def test_each_halving_needs_twice_the_pixels():
    check_depth(3, 8, 8)
    check_depth(3, 8, 20)
    with pytest.raises(errors.ArgumentError, match=r"`--depth`: got 3 blocks on images of 20 x 7"):
        check_depth(3, 20, 7)
