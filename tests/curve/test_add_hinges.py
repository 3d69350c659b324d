import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import fit, is_uniform, uniform_grid
from hinged.curve.add_hinges import add_hinges, kinks, split_pieces
from tests.curve.strategies import curves

FAR = torch.linspace(-40, 40, 1601, dtype=torch.float64)


@pytest.mark.slow
@given(curves(), st.lists(st.floats(-30, 30), min_size=1, max_size=5, unique=True))
def test_more_hinges_do_not_change_the_function(curve, positions):
    new = torch.tensor(positions, dtype=curve.hinges.dtype)
    hinges = torch.cat((curve.hinges.expand(curve.channels, -1), new.expand(curve.channels, -1)), 1)
    assume((hinges.sort(dim=1).values.diff(dim=1) >= 1e-3).all())
    more = add_hinges(curve, new)
    assert more.hinges.shape[-1] == curve.hinges.shape[-1] + len(positions)
    x = FAR[:, None].expand(-1, curve.channels)
    size = curve.values.abs().max() + curve(x).abs().max()
    # A thousandth apart, values rounded to 1e-16 give slopes to 1e-13, and tails go 80 units out.
    torch.testing.assert_close(more(x), curve(x), atol=1e-10 * (1 + size.item()), rtol=0)


@pytest.mark.parametrize("name", ["relu", "identity", "abs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_relu_stays_one_bit_for_bit(name, dtype):
    curve = fit(name, uniform_grid(5, kinks=[0.0], dtype=dtype), channels=2).curve
    x = (torch.randn(500, 2) * 10).to(dtype)
    new = torch.tensor([-7.3, 0.1, 0.77, 12.0], dtype=dtype)
    for more in (add_hinges(curve, new), split_pieces(curve, 2), split_pieces(curve, 3)):
        assert torch.equal(more(x), curve(x))


def test_positions_may_differ_by_channel():
    curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.randn(2, 3))
    more = add_hinges(curve, torch.tensor([[0.5], [-0.5]]))
    assert more.hinges.tolist() == [[-1, 0, 0.5, 1], [-1, -0.5, 0, 1]]
    assert add_hinges(curve, torch.tensor([0.5])).hinges.shape == (4,)


def test_halved_pieces_stay_uniform():
    curve = fit("gelu", uniform_grid(9, kinks=[0.0])).curve
    assert is_uniform(split_pieces(curve).hinges)
    assert split_pieces(curve, 1).hinges.shape == (9,)


def test_kinks_are_where_slopes_change():
    curve = Curve(
        torch.tensor([-2.0, -1.0, 0.0, 1.0]), torch.tensor([[0, 1.0, 2, 3], [0, 0, 0, 5]])
    )
    assert kinks(curve).tolist() == [0.0]
    assert kinks(fit("identity", uniform_grid(5)).curve).tolist() == []
    constant = Curve(curve.hinges, curve.values, "constant")
    assert kinks(constant).tolist() == [-2.0, 0.0, 1.0]


def test_refusals():
    curve = fit("relu", uniform_grid(3, kinks=[0.0])).curve
    with pytest.raises(errors.ArgumentError, match="got 0, which is already a hinge or is given"):
        add_hinges(curve, torch.tensor([0.0]))
    with pytest.raises(
        errors.ArgumentError, match=r"got shape \(3, 2\); expected \(M,\) or \(1, M\)"
    ):
        add_hinges(curve, torch.zeros(3, 2))
    with pytest.raises(errors.ArgumentError, match="positions with NaN or infinity"):
        add_hinges(curve, torch.tensor([torch.inf]))
    with pytest.raises(errors.ArgumentError, match=r"into=\.\.\.\)`: got 0; expected 1 or more"):
        split_pieces(curve, 0)
