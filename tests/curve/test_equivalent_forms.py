import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import errors
from hinged.curve import Curve, Lines, ReluSum, from_lines, from_relus, to_lines, to_relus
from tests import oracles
from tests.curve.strategies import curve_arguments


@st.composite
def mild_curves(draw):
    """Curves with few hinges that are not close together, because the forms are ill-conditioned."""
    hinges, values, tails, slopes, _ = draw(
        curve_arguments().filter(lambda arguments: arguments[1].shape[1] <= 12)
    )
    spread = hinges.diff(dim=-1).min(dim=-1, keepdim=True).values
    return Curve(hinges / spread, values, tails, slopes)


def inputs_around(curve):
    low, high = curve.hinges.min(), curve.hinges.max()
    return torch.linspace(2 * low - high, 2 * high - low, 400, dtype=torch.float64).unsqueeze(1)


def oracle(curve, x):
    x = x.expand(len(x), curve.channels)
    return oracles.per_channel(x, curve.hinges, curve.values, 1, curve.tails, curve.tail_slopes)


def assert_close(found, expected, curve):
    """To 1e-12 of the size of the numbers that the forms add up."""
    size = float(1 + curve.hinges.abs().max()) * float(1 + to_lines(curve).slopes.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * size)


@given(mild_curves())
def test_lines_are_the_curve_on_their_stretch(curve):
    form, x = to_lines(curve), inputs_around(curve)
    rows = curve.hinges.expand(curve.channels, -1).contiguous()
    line = torch.searchsorted(rows, x.T.expand(curve.channels, -1).contiguous(), right=True)
    y = form.slopes.gather(1, line) * x.T + form.intercepts.gather(1, line)
    assert_close(y.T, oracle(curve, x), curve)


@given(mild_curves())
def test_lines_and_back_is_the_same_function(curve):
    back, x = from_lines(to_lines(curve)), inputs_around(curve)
    assert back.tails == "free"
    assert torch.equal(back.hinges, curve.hinges)
    assert_close(back.values, curve.values, curve)
    assert_close(oracle(back, x), oracle(curve, x), curve)


@given(mild_curves())
def test_relus_sum_up_to_the_curve(curve):
    x = inputs_around(curve).expand(400, curve.channels)
    assert_close(to_relus(curve)(x), oracle(curve, x), curve)


@given(mild_curves())
def test_relus_and_back_is_the_same_function(curve):
    back, x = from_relus(to_relus(curve)), inputs_around(curve)
    assert back.tails == "free"
    assert torch.equal(back.hinges, curve.hinges)
    assert_close(oracle(back, x), oracle(curve, x), curve)


@given(mild_curves())
def test_relus_of_a_curve_from_relus_are_those_given(curve):
    first = to_relus(curve)
    for one, other in zip(first, to_relus(from_relus(first)), strict=True):
        assert_close(other, one, curve)


def test_shapes_of_the_forms():
    hinges = torch.tensor([-1.0, 0.0, 1.0])
    for rows in (hinges, hinges.expand(4, 3)):
        curve = Curve(rows, torch.randn(4, 3))
        assert [tuple(part.shape)[-1] for part in to_lines(curve)] == [3, 4, 4]
        assert [tuple(part.shape) for part in to_relus(curve)[1:]] == [(4, 1), (4, 1), (4, 3)]
        assert to_relus(curve).hinges is rows


@pytest.mark.parametrize(
    ("tails", "slopes", "expected"),
    [
        ("linear", None, [2.0, 2.0, -1.0, -1.0]),
        ("constant", None, [0.0, 2.0, -1.0, 0.0]),
        ("free", torch.tensor([[5.0, 7.0]]), [5.0, 2.0, -1.0, 7.0]),
    ],
)
def test_lines_worked_out_by_hand(tails, slopes, expected):
    curve = Curve(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([[1.0, 3.0, 1.0]]), tails, slopes)
    form = to_lines(curve)
    assert form.slopes.tolist() == [expected]
    ends = {"linear": [3.0, 3.0], "constant": [1.0, 1.0], "free": [6.0, -13.0]}[tails]
    assert form.intercepts.tolist() == [[ends[0], 3.0, 3.0, ends[1]]]
    weights = torch.tensor(expected).diff().tolist()
    assert to_relus(curve).weights.tolist() == [weights]
    assert to_relus(curve).slope.tolist() == [expected[:1]]


def test_a_sum_of_relus_worked_out_by_hand():
    form = ReluSum(
        torch.tensor([0.0, 1.0]), torch.tensor([[2.0]]), torch.tensor([[-1.0]]),
        torch.tensor([[3.0, -4.0]]),
    )  # fmt: skip
    assert form(torch.tensor([[-1.0], [0.5], [2.0]])).tolist() == [[3.0], [3.0], [2.0]]
    curve = from_relus(form)
    assert curve.values.tolist() == [[2.0, 4.0]]
    assert curve.tail_slopes.tolist() == [[-1.0, -2.0]]


def test_lines_that_do_not_meet_are_refused():
    form = Lines(torch.tensor([0.0]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.25]]))
    message = r"from_lines`: got neighbouring lines that differ by 0\.25 at a hinge; a curve"
    with pytest.raises(errors.ArgumentError, match=message):
        from_lines(form)


def test_gradients_go_through_the_forms():
    hinges = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    values = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def there_and_back(values):
        curve = Curve(hinges, values)
        return from_lines(to_lines(curve)).values, from_relus(to_relus(curve)).values

    assert torch.autograd.gradcheck(there_and_back, (values,))
