import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from hinged import Curve, PiecewiseLinear, errors, piecewise_linear
from hinged.curve import START_FUNCTIONS, TAILS, is_uniform
from tests import oracles
from tests.curve.strategies import inputs

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
# Around 0, touching it from either side, lopsided, tiny, large, and away from it.
RANGES = (
    (-3.0, 3.0),
    (0.0, 2.9),
    (-2.5, 0.0),
    (-9.7, 0.01),
    (-1 / 3, 2 / 7),
    (-1e-3, 2e-3),
    (-1e4, 3e4),
    (1.0, 5.0),
)
# All small counts, and larger ones around powers of two.
COUNTS = (*range(3, 18), 31, 32, 33, 45, 61, 62, 63, 64, 65)
EXACT = {"relu": torch.relu, "identity": lambda x: x, "abs": torch.abs}


@pytest.fixture(autouse=True)
def one_thread():
    """Thousands of small tensors: handing them to threads takes longer than the arithmetic."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs_of_every_size(dtype):
    """Both signs from 1e-12 to 1e6, subnormal numbers, zeros and infinities."""
    sizes = torch.logspace(-12, 6, 200, dtype=torch.float64)
    sizes = sizes * (1 - 0.1 * torch.rand(200, dtype=torch.float64))
    info = torch.finfo(dtype)
    smallest = info.smallest_normal * info.eps
    rare = [smallest, 3 * smallest, info.smallest_normal / 2, info.smallest_normal, 0, torch.inf]
    x = torch.cat([sizes, torch.tensor(rare, dtype=torch.float64)]).to(dtype)
    return torch.cat([x, -x])


def exact_layers(name, dtype, ranges):
    for ends in ranges:
        for count in range(3, 66):
            yield PiecewiseLinear(1, hinges=count, range=ends, init=name, dtype=dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_a_float32_layer_starts_bitwise_exact_on_every_dtype(name):
    tests = [(x, EXACT[name](x)) for x in map(inputs_of_every_size, DTYPES)]
    for layer in exact_layers(name, torch.float32, RANGES if name == "relu" else RANGES[:4]):
        assert layer.start_error == 0
        for x, expected in tests:
            assert torch.equal(layer(x), expected), (layer, x.dtype)
        layer.to(torch.bfloat16)
        for x, expected in tests[1:3]:
            assert torch.equal(layer(x), expected), (layer, x.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", EXACT)
def test_a_layer_of_every_dtype_starts_bitwise_exact(name, dtype):
    x = inputs_of_every_size(dtype)
    expected = EXACT[name](x)
    # Neither 65 hinges within 3e-3 nor numbers beyond 65504 exist in float16.
    ranges = RANGES[:4] if name == "relu" or dtype == torch.bfloat16 else RANGES[2:4]
    for layer in exact_layers(name, dtype, ranges):
        assert torch.equal(layer(x), expected), layer
        assert layer.start_error == 0
        assert layer.values.dtype == dtype


@pytest.mark.parametrize("tails", ["constant", "free"])
@pytest.mark.parametrize("name", EXACT)
def test_other_tails_start_bitwise_exact_too(name, tails):
    x = inputs_of_every_size(torch.float32)
    for ends in RANGES[:4]:
        for count in (3, 4, 9, 32, 65):
            layer = PiecewiseLinear(1, hinges=count, range=ends, init=name, tails=tails)
            low, high = layer.hinges[0], layer.hinges[-1]
            inside = x.clamp(low, high) if tails == "constant" else x
            assert torch.equal(layer(inside), EXACT[name](inside)), layer
            assert layer.start_error == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "moved", "bound"),
    [
        (torch.float32, None, 2.0),
        (torch.float64, None, 2.0),
        (torch.bfloat16, None, 1.0),
        (torch.float16, None, 1.0),
        # Hinges and values were each rounded a second time.
        (torch.float32, torch.bfloat16, 1.5),
        (torch.float32, torch.float16, 1.5),
    ],
)
def test_leaky_relu_within_units_in_the_last_place_of_its_products(dtype, moved, bound):
    ranges = RANGES[:4] if torch.float16 in (dtype, moved) else (*RANGES[:4], *RANGES[6:])
    x = inputs_of_every_size(moved or dtype)
    x = x[x.isfinite() & (x != 0)]
    for ends in ranges:
        for count in COUNTS:
            layer = PiecewiseLinear(1, hinges=count, range=ends, init="leaky_relu", dtype=dtype)
            layer = layer.to(moved or dtype)
            error = (layer(x).double() - F.leaky_relu(x).double()).abs()
            info = torch.finfo(x.dtype)
            # Where a result is subnormal its last place is no longer relative to its size.
            allowed = bound * info.eps * products(layer, x) + 2 * info.smallest_normal * info.eps
            assert (error <= allowed).all(), (layer, x[error > allowed][:4])


def products(layer, x):
    """`|1 - t| |v[k]| + |t| |v[k+1]|` in float64, `1 - t` without cancellation."""
    hinges, values, x = layer.hinges.double(), layer.values.detach().double()[0], x.double()
    left = (torch.searchsorted(hinges, x, right=True) - 1).clamp(0, hinges.numel() - 2)
    weights = torch.stack([hinges[left + 1] - x, x - hinges[left]]) / hinges.diff()[left]
    return (weights * torch.stack([values[left], values[left + 1]])).abs().sum(dim=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu6", "hardtanh"])
def test_functions_with_two_kinks_start_bitwise_exact(name):
    x = torch.cat([inputs_of_every_size(torch.float32), torch.linspace(-9, 9, 1801)])
    for count in range(4, 66):
        layer = PiecewiseLinear(1, hinges=count, init=name)
        assert torch.equal(layer(x), START_FUNCTIONS[name].call(x)), layer


def _strides(x):
    """Return the strides of the axes with several entries; torch does not define the others."""
    return [step for step, entries in zip(x.stride(), x.shape, strict=True) if entries > 1]


@pytest.mark.slow
@given(st.data())
def test_agrees_with_numpy_interp(data):
    channels = data.draw(st.sampled_from([1, 2, 3, 5]))
    x, dim = data.draw(inputs(channels))
    low, width = data.draw(st.floats(-20, 19)), data.draw(st.floats(0.5, 40))
    tails, count = data.draw(st.sampled_from(TAILS)), data.draw(st.integers(3, 65))
    kwargs = {"range": (low, low + width), "tails": tails, "dim": dim, "dtype": torch.float64}
    layer = randomised(PiecewiseLinear(channels, count, **kwargs))
    y = layer(x)
    expected = oracles.per_channel(x, layer.hinges, layer.values, dim, tails, layer.tail_slopes)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.device == x.device
    assert _strides(y) == _strides(x.relu())
    # On a steep tail far outside, 1e-12 of the size of slope times distance.
    steepest = layer.values.detach().diff(dim=-1).abs().max() / layer.hinges.diff().min()
    reach = x.abs().max() if x.numel() else 0.0
    atol = 1e-12 * max(1.0, 1e-2 * float(steepest * reach))
    np.testing.assert_allclose(y.detach().numpy(), expected.numpy(), rtol=0, atol=atol)


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 7), (7, 7, 7, 7), (2, 7, 3, 7, 2)])
def test_error_below_1e12_where_other_axes_have_as_many_entries(tails, shape):
    layer = randomised(PiecewiseLinear(7, tails=tails, dtype=torch.float64))
    x = 3 * torch.randn(shape, dtype=torch.float64)
    expected = oracles.per_channel(x, layer.hinges, layer.values, 1, tails, layer.tail_slopes)
    assert (layer(x) - expected).abs().max() < 1e-12


def test_memory_format_is_that_of_relu():
    images = torch.randn(2, 3, 4, 5)
    volumes = torch.randn(2, 3, 4, 5, 2)
    layouts = (
        images,
        images.contiguous(memory_format=torch.channels_last),
        volumes.contiguous(memory_format=torch.channels_last_3d),
        images[:, :1].expand(2, 3, 4, 5),
        images[..., ::2],
        images.transpose(0, 2).contiguous().transpose(0, 2),
        images[:0],
    )
    free = PiecewiseLinear(3, hinges=torch.tensor([[-1.0, 0.0, 2.0]] * 3))
    for layer in (PiecewiseLinear(3), free):
        for x in (*layouts, *(layout.bfloat16() for layout in layouts)):
            y = layer(x)
            assert y.stride() == x.relu().stride()
            assert y.dtype == x.dtype
            assert torch.equal(y, x.relu())


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("hinges", [5, [-2.0, -0.3, 0.1, 1.9]])
@pytest.mark.parametrize(("shape", "dim"), [((3, 2), 1), ((2, 2, 2), -1), ((2, 2, 1, 2), 1)])
def test_gradients_of_first_and_second_order(tails, hinges, shape, dim):
    layer = PiecewiseLinear(2, hinges, init="tanh", tails=tails, dim=dim, dtype=torch.float64)
    trained = dict(randomised(layer).named_parameters())
    x = (2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()

    def call(x, *parameters):
        return functional_call(layer, dict(zip(trained, parameters, strict=True)), (x,))

    assert len(trained) == (2 if tails == "free" else 1)
    assert torch.autograd.gradcheck(call, (x, *trained.values()))
    assert torch.autograd.gradgradcheck(call, (x, *trained.values()))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_right_value_at_both_ends_for_every_count(dtype):
    for count in range(2, 258):
        ends = ((-3.0, 3.0), (0.0, 2.9), (-2.5, 0.0), (-0.7, 5.1))[count % 4]
        init = "identity" if count == 2 else "relu"
        layer = randomised(PiecewiseLinear(1, count, ends, init, dtype=dtype))
        for fed in {dtype, *oracles.HALF} if dtype == torch.float32 else {dtype}:
            assert_right_near_hinges(layer, fed)


def assert_right_near_hinges(layer, dtype):
    """The oracle's value at every hinge and one unit in the last place beside it; NaN stays NaN and
    the infinities follow the tails."""
    near = layer.hinges.to(dtype)
    x = torch.cat([near, oracles.ulps(near, -1), oracles.ulps(near, 1)])
    y = layer(x).detach().double()
    values = layer.values.detach()[0].double()
    expected = oracles.interpolate(x.double(), layer.hinges.double(), values)
    slopes = values.diff() / layer.hinges.double().diff()
    size = slopes.abs().max() * x.double().abs() + values.abs().max()
    bound = 4 * torch.finfo(torch.float32).eps * size
    bound += torch.finfo(dtype).eps * torch.from_numpy(expected).abs()
    assert ((y - torch.from_numpy(expected)).abs() <= bound).all(), layer
    nan, low, high = layer(torch.tensor([torch.nan, -torch.inf, torch.inf], dtype=dtype)).tolist()
    assert np.isnan(nan)
    assert low == -torch.inf * slopes[0].sign()
    assert high == torch.inf * slopes[-1].sign()


def randomised(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def test_the_function_computes_what_the_layer_does():
    for hinges in (9, torch.randn(3, 9).sort(dim=-1).values):
        for tails in TAILS:
            layer = randomised(PiecewiseLinear(3, hinges, init="tanh", tails=tails))
            x = 3 * torch.randn(5, 3, 4)
            y = piecewise_linear(
                x, layer.values, layer.hinges, tails=tails, tail_slopes=layer.tail_slopes
            )
            assert torch.equal(y, layer(x))
            assert torch.equal(layer.curve()(x), y)


def test_the_curve_shares_the_parameters_and_their_gradients():
    layer = PiecewiseLinear(2, tails="free")
    curve = layer.curve()
    assert curve.values is layer.values
    assert curve.tail_slopes is layer.tail_slopes
    curve.values.sum().backward()
    assert torch.equal(layer.values.grad, torch.ones(2, 9))


def test_inplace_is_accepted_and_never_aliases():
    x = torch.linspace(-2, 2, 9)
    kept = x.clone()
    layer = PiecewiseLinear(inplace=True)
    y = layer(x)
    assert layer.inplace
    assert torch.equal(x, kept)
    assert x.data_ptr() != y.data_ptr()
    y.data.fill_(7.0)
    assert torch.equal(x, kept)


def test_positions_given_are_copied():
    for given_positions in (torch.tensor([-1.0, 0.0, 1.0]), [-1.0, 0.0, 1.0]):
        layer = PiecewiseLinear(hinges=given_positions)
        given_positions[0] = -9.0
        assert layer.hinges.tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("hinges", [["a", "b"], [[0.0], [1.0, 2.0]], [{}, {}], {}])
def test_positions_that_are_no_numbers_are_refused(hinges):
    with pytest.raises(errors.ArgumentError, match="expected a number of hinges, or ascending"):
        PiecewiseLinear(2, hinges=hinges)


@pytest.mark.parametrize("hinges", [[-1.0, 0.5, 1.0], [[-1.0, 0.0, 1.0], [-1.0, 0.1, 1.0]]])
def test_positions_that_miss_the_kink_warn_at_the_callers_line(hinges):
    message = r"got positions without a hinge at every kink of relu \(0\); the layer starts as"
    with pytest.warns(errors.InexactStartWarning, match=message) as caught:
        layer = PiecewiseLinear(2, hinges=torch.tensor(hinges))
    assert layer.start_error > 0
    assert [record.filename for record in caught] == [__file__]


def test_positions_that_hold_the_kink_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = PiecewiseLinear(2, hinges=torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 7.0]]))
    assert layer.start_error == 0


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh"])
def test_start_error_of_smooth_functions_is_the_largest_error(name):
    found = []
    for count in (3, 5, 9, 17, 33, 65):
        layer = PiecewiseLinear(hinges=count, init=name, dtype=torch.float64)
        x = np.linspace(-3, 3, 64 * 64 * 3 + 1)
        curve = np.interp(x, layer.hinges.numpy(), layer.values.detach().numpy()[0])
        largest = np.abs(curve - START_FUNCTIONS[name].call(torch.from_numpy(x)).numpy()).max()
        assert layer.start_error == pytest.approx(largest, rel=2e-3)
        found.append(layer.start_error)
    assert all(finer < coarser for coarser, finer in itertools.pairwise(found))
    # Halving the pieces of a smooth function divides its error by four.
    assert found[-1] < 0.3 * found[-2]


def test_starts_as_a_module_with_its_settings_and_channels():
    prelu = nn.PReLU(3)
    prelu.weight.data = torch.tensor([0.25, -0.5, 2.0])
    x = 4 * torch.randn(50, 3)
    assert torch.equal(PiecewiseLinear(3, init=prelu)(x), prelu(x))
    clip = nn.Hardtanh(-0.7, 1.1)
    layer = PiecewiseLinear(3, init=clip)
    torch.testing.assert_close(layer(x), clip(x), rtol=0, atol=1e-6)
    assert layer.start_error == 0


def test_starts_as_a_curve_value_for_value():
    curve = Curve(
        torch.randn(3, 5).sort(dim=-1).values, torch.randn(3, 5), "free", torch.randn(3, 2)
    )
    layer = PiecewiseLinear(3, hinges=curve.hinges, init=curve, tails="free")
    assert torch.equal(layer.values, curve.values)
    torch.testing.assert_close(layer.tail_slopes.detach(), curve.tail_slopes, rtol=1e-4, atol=1e-5)
    assert layer.values.data_ptr() != curve.values.data_ptr()


def test_any_callable_starts_a_layer_hashable_or_not():
    class Scaled:
        __hash__ = None

        def __call__(self, x):
            return 2 * x

    x = torch.randn(40)
    for start in (Scaled(), lambda x: 2 * x):
        assert torch.equal(PiecewiseLinear(init=start)(x), 2 * x)


@pytest.mark.parametrize("tails", ["constant", "free"])
def test_a_layer_never_has_more_hinges_than_asked(tails):
    for name in ("relu", "relu6", "hardtanh"):
        for count in range(2, 9):
            for ends in ((-3.0, 3.0), (-1.0, 9.0), (0.0, 6.0)):
                try:
                    layer = PiecewiseLinear(hinges=count, range=ends, init=name, tails=tails)
                except errors.ArgumentError:
                    continue
                assert layer.values.shape == (1, count), (name, ends)


def test_the_layer_tells_its_settings():
    layer = PiecewiseLinear(64, 5, (-1.0, 3.0), dim=-1, tails="constant")
    assert repr(layer) == "PiecewiseLinear(64, hinges=5, range=(-1, 3), dim=-1, tails=constant)"


def test_hinges_are_uniform_and_stay_so_in_wider_dtypes():
    for dtype in DTYPES:
        for count in (3, 9, 17, 65):
            layer = PiecewiseLinear(hinges=count, range=(-2.7, 3.1), dtype=dtype)
            assert is_uniform(layer.hinges)
            assert is_uniform(layer.hinges.double())
