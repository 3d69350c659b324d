import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import fit, uniform_grid
from hinged.curve.compression.recognise_native import distances_to_native, recognise_native

KINKS = {
    "relu": [0.0],
    "abs": [0.0],
    "leaky_relu": [0.0],
    "relu6": [0.0, 6.0],
    "hardtanh": [-1.0, 1.0],
}
NAMES = ("identity", "relu", "relu6", "hardtanh", "abs", "leaky_relu")


def started(name, channels=3, dtype=torch.float32):
    grid = uniform_grid(13, (-8, 8), kinks=KINKS.get(name, []), dtype=dtype)
    return fit(name, grid, channels=channels).curve


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_start_is_recognised(name, dtype):
    found = recognise_native(started(name, dtype=dtype), 0.0, reach=3.0)
    assert found.name == name
    assert found.error.shape == found.slopes.shape == (3,)
    slope = {"identity": 1.0, "relu": 0.0, "abs": -1.0, "leaky_relu": 0.01}.get(name, torch.nan)
    expected = torch.full((3,), slope, dtype=torch.float64)
    torch.testing.assert_close(found.slopes, expected, equal_nan=True, atol=1e-4, rtol=0.01)


@given(st.sampled_from(NAMES), st.floats(0.001, 0.2), st.integers(0, 1000))
def test_the_tolerance_decides(name, size, seed):
    curve = started(name, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    noise = size * (2 * torch.rand(3, 13, generator=generator, dtype=torch.float64) - 1)
    noise[0, 3] = size
    noisy = Curve(curve.hinges, curve.values + noise)
    found = recognise_native(noisy, size * 1.001)
    # It may be something simpler, or nearer, within so much; never further than the bound.
    assert found is not None and (found.error <= size * 1.001).all()
    nearest = torch.stack(list(distances_to_native(noisy).values())).amin(dim=0)
    assert recognise_native(noisy, nearest.max().item() * 0.999) is None


def test_distances_are_those_of_a_dense_grid():
    curve = Curve(uniform_grid(9, (-4, 7)), torch.randn(5, 9, dtype=torch.float64))
    x = torch.linspace(*(end.item() for end in curve.range), 40001, dtype=torch.float64)
    y = curve(x[:, None].expand(-1, 5)).T
    functions = torch.nn.functional
    dense = {"zero": 0 * x, "identity": x, "relu": x.relu(), "relu6": functions.relu6(x)}
    dense |= {"hardtanh": functions.hardtanh(x), "abs": x.abs()}
    found = distances_to_native(curve)
    for name, native in dense.items():
        expected = (y - native).abs().amax(dim=1)
        torch.testing.assert_close(found[name], expected, atol=1e-3, rtol=0)
    slopes = torch.linspace(-3, 3, 1201, dtype=torch.float64)
    points = x[::40]
    leaky = torch.where(points < 0, slopes[:, None] * points, points)
    best = torch.stack([(row[::40] - leaky).abs().amax(dim=1).amin() for row in y])
    assert (found["leaky_relu"] <= best + 1e-9).all()
    torch.testing.assert_close(found["leaky_relu"], best, atol=0.03, rtol=0)


def test_slopes_by_channel_are_a_prelu():
    hinges = torch.tensor([-2.0, -1.0, 0.0, 1.0])
    slopes = torch.tensor([[0.1], [0.3], [-1.0]])
    curve = Curve(hinges, torch.where(hinges < 0, slopes * hinges, hinges))
    found = recognise_native(curve, 1e-6)
    assert found.name == "prelu"
    torch.testing.assert_close(found.slopes.float(), slopes[:, 0])
    x = torch.randn(50, 3) * 5
    torch.testing.assert_close(torch.nn.functional.prelu(x, found.slopes.float()), curve(x))
    assert recognise_native(Curve(hinges, curve.values[:2]), 0.21).name == "leaky_relu"


def test_zero_and_what_is_none_of_them():
    hinges = uniform_grid(5)
    assert recognise_native(Curve(hinges, torch.zeros(2, 5)), 0.0).name == "zero"
    assert recognise_native(Curve(hinges, torch.ones(2, 5)), 0.5) is None
    assert recognise_native(started("relu"), 0.0, reach=100.0).name == "relu"
    gelu = fit("gelu", uniform_grid(17, (-6, 6))).curve
    assert recognise_native(gelu, 0.1) is None and recognise_native(gelu, 0.2).name == "relu"
    # Right of 0 alone there is no telling a ReLU from the identity: the simpler name is given.
    right = Curve(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0, 2.0, 3.0]]))
    assert recognise_native(right, 0.0).name == "identity"


def test_refusals():
    with pytest.raises(
        errors.ArgumentError, match=r"tolerance=\.\.\.\)`: got -1; expected 0 or more"
    ):
        recognise_native(started("relu"), -1)
    with pytest.raises(errors.ArgumentError, match=r"reach=\.\.\.\)`: got -1; expected 0 or more"):
        recognise_native(started("relu"), 0, reach=-1)


def test_every_kink_of_a_native_activation_is_compared():
    """The curve has no hinge at -1, and equals hardtanh at each of its hinges."""
    curve = Curve(torch.tensor([-2.0, 0.0, 1.0, 3.0]), torch.tensor([[-1.0, 0.0, 1.0, 1.0]]))
    assert distances_to_native(curve)["hardtanh"].item() == 0.5
    assert recognise_native(curve, 0.4) is None


def test_a_curve_is_compared_with_leaky_relus_left_of_zero():
    curve = Curve(torch.tensor([-2.0, -1.0, 0.0, 1.0]), torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
    # A line of slope a has the errors |1 + a| at -1 and |2 a| at -2. They are equal for a = -1/3.
    assert distances_to_native(curve)["leaky_relu"].item() == pytest.approx(2 / 3)


@given(st.integers(0, 1000))
def test_with_a_distribution_of_inputs_the_mean_is_compared(seed):
    generator = torch.Generator().manual_seed(seed)
    random = {"generator": generator, "dtype": torch.float64}
    curve = Curve(uniform_grid(9, (-4, 4), dtype=torch.float64), torch.randn(3, 9, **random))
    x, shares = 6 * torch.rand(3, 50, **random) - 3, torch.rand(3, 50, **random)
    y, weights = curve(x.T).T, shares / shares.sum(dim=1, keepdim=True)

    def distance_of(slopes):
        leaky = torch.where(x < 0, slopes * x, x)
        return (weights * (y - leaky).square()).sum(dim=1).sqrt()

    best = torch.stack([distance_of(a) for a in torch.linspace(-4, 4, 4001)]).amin(dim=0)
    found = distances_to_native(curve, positions=x, shares=shares)["leaky_relu"]
    torch.testing.assert_close(found, best, atol=1e-4, rtol=0)

    within = recognise_native(curve, 1.01 * found.max(), positions=x, shares=shares)
    if within.name in ("leaky_relu", "prelu"):
        torch.testing.assert_close(within.error, distance_of(within.slopes[:, None]))
    assert (within.error <= 1.01 * found.max()).all()
    nearest = torch.stack(
        list(distances_to_native(curve, positions=x, shares=shares).values())
    ).amin(dim=0)
    assert recognise_native(curve, 0.99 * nearest.max(), positions=x, shares=shares) is None


def test_slopes_within_the_tolerance_of_the_mean():
    """The slopes of the channels are 0.1 and 0.3; with the tolerance, they may be 0.1 higher or
    lower."""
    hinges = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    curve = Curve(hinges, torch.where(hinges < 0, torch.tensor([[0.1], [0.3]]) * hinges, hinges))
    x, shares = torch.tensor([-1.0, 1.0]), torch.ones(2)
    tolerance = 0.1 * 0.5**0.5  # Half of the inputs are right of 0, without a difference.
    common = recognise_native(curve, 1.01 * tolerance, positions=x, shares=shares)
    assert common.name == "leaky_relu"
    torch.testing.assert_close(common.slopes, torch.full((2,), 0.2, dtype=torch.float64))
    apart = recognise_native(curve, 0.99 * tolerance, positions=x, shares=shares)
    assert apart.name == "prelu"
    torch.testing.assert_close(apart.slopes, torch.tensor([0.1, 0.3], dtype=torch.float64))


def test_channels_without_inputs_left_of_zero_take_the_slope_of_the_others():
    hinges = torch.tensor([-2.0, 0.0, 2.0])
    curve = Curve(hinges, torch.tensor([[5.0, 0.0, 2.0], [-0.5, 0.0, 2.0]]))
    x = torch.tensor([[0.5, 1.0], [-1.0, 1.0]])
    distances = distances_to_native(curve, positions=x, shares=torch.ones(2))
    torch.testing.assert_close(distances["leaky_relu"], torch.zeros(2, dtype=torch.float64))
    found = recognise_native(curve, 1e-6, positions=x, shares=torch.ones(2))
    assert found.name == "leaky_relu"
    torch.testing.assert_close(found.slopes, torch.full((2,), 0.25, dtype=torch.float64))


def test_a_leaky_relu_is_recognised_without_tolerance():
    hinges = torch.tensor([-2.0, -1.0, 0.0, 1.0])
    curve = Curve(hinges, torch.where(hinges < 0, 0.5 * hinges, hinges)[None])
    found = recognise_native(curve, 0.0)
    assert found.name == "leaky_relu" and found.slopes.item() == 0.5


def test_hinges_between_0_and_1_are_right_of_zero():
    hinges = torch.tensor([-2.0, -1.0, 0.0, 0.5, 2.0])
    curve = Curve(hinges, torch.tensor([[-0.2, -0.1, 0.0, 0.8, 2.0]]))
    assert distances_to_native(curve)["leaky_relu"].item() == pytest.approx(0.3)


def test_a_curve_of_zeros_is_a_prelu_without_tolerance():
    curve = Curve(torch.tensor([-2.0, -1.0, 0.0]), torch.tensor([[0.0] * 3, [-1.0, -0.5, 0.0]]))
    assert recognise_native(curve, 0.0).name == "prelu"
