from dataclasses import FrozenInstanceError

import pytest
import torch

from hinged import Curve, errors
from hinged.curve import TAILS
from hinged.curve.curve import shapes_match
from tests import oracles

HINGES = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)


def curve(tails="linear", channels=3, hinges=HINGES):
    values = torch.randn(channels, hinges.shape[-1], dtype=torch.float64)
    slopes = torch.randn(channels, 2, dtype=torch.float64) if tails == "free" else None
    return Curve(hinges, values, tails, slopes)


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("rows", [1, 3])
def test_a_curve_is_the_function_of_its_hinges_values_and_tails(tails, rows):
    made = curve(tails, hinges=HINGES.expand(rows, 3) * torch.arange(1, rows + 1).unsqueeze(-1))
    for shape, dim in (((40, 3), 1), ((3, 7, 3), -1), ((3, 20), 0)):
        x = 4 * torch.randn(shape, dtype=torch.float64)
        expected = oracles.per_channel(x, made.hinges, made.values, dim, tails, made.tail_slopes)
        torch.testing.assert_close(made(x, dim=dim), expected, rtol=0, atol=1e-12)


def test_one_curve_serves_tensors_of_any_shape():
    made = curve(channels=1)
    for shape in ((), (5,), (2, 3, 4)):
        x = torch.randn(shape, dtype=torch.float64)
        assert torch.equal(made(x), made(x.reshape(-1)).reshape(shape))


def test_a_curve_passes_through_its_values():
    made = curve()
    torch.testing.assert_close(made(HINGES.expand(3, 3).T).T, made.values, rtol=0, atol=1e-15)


def test_channels_and_range():
    assert curve(channels=5).channels == 5
    assert [end.item() for end in curve().range] == [-1.0, 2.0]
    low, high = curve(hinges=HINGES * torch.tensor([[1.0], [2.0], [3.0]])).range
    assert low.tolist() == [-1.0, -2.0, -3.0]
    assert high.tolist() == [2.0, 4.0, 6.0]


def test_gradients_reach_values_and_tail_slopes():
    made = curve("free")
    for tensor in (made.values, made.tail_slopes):
        tensor.requires_grad_()
    made(torch.linspace(-5, 5, 30, dtype=torch.float64).unsqueeze(1).expand(30, 3)).sum().backward()
    assert (made.values.grad.sum(dim=-1) == 30).all()
    # The sums of all distances left of the first and right of the last hinge.
    x = torch.linspace(-5, 5, 30, dtype=torch.float64)
    expected = torch.stack([(x + 1).clamp(max=0).sum(), (x - 2).clamp(min=0).sum()])
    torch.testing.assert_close(made.tail_slopes.grad, expected.expand(3, 2))


BAD_HINGES = (
    (torch.tensor(1.0), r"got positions of shape \(\); give them as \(K,\) or \(C, K\)"),
    (torch.zeros(1, 1, 3), r"got positions of shape \(1, 1, 3\); give them as"),
    (torch.tensor([]), "got 0 hinges; a curve needs at least 2"),
    (torch.tensor([[1.0]]), "got 1 hinge; a curve needs at least 2"),
    (torch.tensor([0.0, torch.nan, 1.0]), "got positions with NaN or infinity; every position"),
    (torch.tensor([0.0, torch.inf]), "got positions with NaN or infinity; every position must be"),
    (torch.tensor([0.0, 2.0, 1.0]), r"hinges that are not sorted \(2 followed by 1 at index 1\)"),
    (torch.tensor([[0.0, 1.0], [3.0, 3.0]]), r"a repeated hinge \(3 followed by 3 at index 0\)"),
    (torch.tensor([0.0, -0.0]), "a repeated hinge"),
)


@pytest.mark.parametrize(("hinges", "message"), BAD_HINGES)
def test_hinges_that_are_no_hinges_get_a_sentence(hinges, message):
    values = torch.zeros(1, hinges.shape[-1] if hinges.dim() else 1)
    message = rf"`hinged\.Curve\(hinges=\.\.\.\)`: .*{message}"
    with pytest.raises(errors.ArgumentError, match=message):
        Curve(hinges, values)


BAD_SHAPES = (
    (
        {"values": torch.zeros(3, 4)},
        r"values of shape \(3, 4\) with hinges of shape \(3,\); expected",
    ),
    (
        {"values": torch.zeros(3)},
        r"values of shape \(3,\) with hinges of shape \(3,\); expected values",
    ),
    (
        {"hinges": HINGES.expand(2, 3)},
        r"with hinges of shape \(2, 3\); expected values \(C, K\) with",
    ),
    (
        {"hinges": HINGES.expand(3, 3), "tails": "free"},
        "got tails='free' without tail_slopes; free tails take tail_slopes of",
    ),
    ({"tails": "fre"}, "got 'fre'; did you mean 'free'"),
    ({"tails": "free"}, "got tails='free' without tail_slopes; free tails take tail_slopes of"),
    ({"tail_slopes": torch.zeros(3, 2)}, "got tails='linear' with tail_slopes; free tails take"),
    (
        {"tails": "free", "tail_slopes": torch.zeros(2, 2)},
        r"got shape \(2, 2\); expected \(3, 2\), the left and right slope of each channel",
    ),
)


GOOD_SHAPES = (
    {},
    {"hinges": HINGES[None]},
    {"hinges": HINGES.expand(3, 3)},
    {"hinges": HINGES[:2], "values": torch.zeros(3, 2)},
    {"tails": "free", "tail_slopes": torch.zeros(3, 2)},
)


@pytest.mark.parametrize("arguments", GOOD_SHAPES)
def test_parts_that_fit_pass_the_fast_check(arguments):
    whole = {"hinges": HINGES, "values": torch.zeros(3, 3), "tails": "linear", "tail_slopes": None}
    assert shapes_match(**(whole | arguments))


def test_parts_that_do_not_fit_fail_the_fast_check():
    assert not shapes_match(torch.zeros(3, 1), torch.zeros(1), "linear", None)
    assert not shapes_match([[0.0, 1.0, 2.0]], HINGES, "linear", None)
    assert not shapes_match(torch.zeros(1, 3), [0.0, 1.0, 2.0], "linear", None)


@pytest.mark.parametrize("arguments", [{"hinges": [0.0, 1.0, 2.0]}, {"values": [[0.0, 1.0, 2.0]]}])
def test_lists_are_refused(arguments):
    with pytest.raises(errors.ArgumentError, match="expected a tensor: convert it with"):
        Curve(**({"hinges": HINGES, "values": torch.zeros(3, 3)} | arguments))


@pytest.mark.parametrize(("arguments", "message"), BAD_SHAPES)
def test_parts_that_do_not_fit_get_a_sentence(arguments, message):
    with pytest.raises(errors.ArgumentError, match=message):
        Curve(**({"hinges": HINGES, "values": torch.zeros(3, 3)} | arguments))


@pytest.mark.parametrize(
    ("hinges", "values"),
    [(torch.arange(3), torch.zeros(1, 3)), (HINGES, torch.zeros(1, 3, dtype=torch.int64))],
)
def test_whole_numbers_are_refused(hinges, values):
    with pytest.raises(errors.DtypeError, match=r"both must be floating point: convert them with"):
        Curve(hinges, values)


def test_a_curve_cannot_be_changed_by_assignment():
    made = curve()
    with pytest.raises(FrozenInstanceError):
        made.tails = "constant"


@pytest.mark.parametrize("tails", TAILS)
def test_a_snapshot_stays_what_it_was(tails):
    first = curve(tails)
    first.values.requires_grad_()
    kept, x = first.snapshot(), torch.randn(20, 3, dtype=torch.float64)
    expected = first(x).detach()
    with torch.no_grad():
        first.values.add_(1.0)
    assert torch.equal(kept(x), expected) and not kept.values.requires_grad
    assert first.snapshot(torch.float32).hinges.dtype == torch.float32
