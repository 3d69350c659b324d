import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hinged import Curve, errors
from hinged.curve import START_FUNCTIONS, resolve_start
from hinged.curve.start_functions import StartFunction, sample

X = torch.linspace(-8, 8, 401, dtype=torch.float64).unsqueeze(1)
MODULES = {
    "relu": nn.ReLU(inplace=True),
    "leaky_relu": nn.LeakyReLU(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(),
    "hardsigmoid": nn.Hardsigmoid(),
    "softshrink": nn.Softshrink(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "hardswish": nn.Hardswish(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "celu": nn.CELU(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "logsigmoid": nn.LogSigmoid(),
    "tanh": nn.Tanh(),
    "tanhshrink": nn.Tanhshrink(),
    "sigmoid": nn.Sigmoid(),
    "identity": nn.Identity(),
}


def jumps_of_slope(function):
    """Where second differences on a fine grid stand out against a grid eight times finer: at a kink
    they shrink with the step, elsewhere with its square."""
    found = []
    for at in [k / 4 for k in range(-40, 41)]:
        jumps = []
        for step in (1e-3, 1e-3 / 8):
            three = torch.tensor([[at - step], [at], [at + step]], dtype=torch.float64)
            jumps.append(float(sample(function, three).diff(dim=0).diff(dim=0).abs()))
        if jumps[0] > 1e-9 and jumps[1] > jumps[0] / 12:
            found.append(at)
    return tuple(found)


@pytest.mark.parametrize("name", sorted(set(START_FUNCTIONS) - {"hardswish"}))
def test_the_kinks_of_named_functions_are_where_their_slopes_jump(name):
    assert jumps_of_slope(START_FUNCTIONS[name]) == START_FUNCTIONS[name].kinks
    assert resolve_start(name) == START_FUNCTIONS[name]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_the_function_of_its_name(name):
    found = resolve_start(MODULES[name])
    assert found.kinks == START_FUNCTIONS[name].kinks
    assert torch.equal(sample(found, X), sample(START_FUNCTIONS[name], X))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (torch.relu, "relu"), (F.relu, "relu"), (torch.tanh, "tanh"), (F.tanh, "tanh"),
        (torch.sigmoid, "sigmoid"), (F.sigmoid, "sigmoid"), (F.gelu, "gelu"), (F.silu, "silu"),
        (torch.selu, "selu"), (torch.celu, "celu"), (torch.abs, "abs"), (F.relu6, "relu6"),
    ],
)  # fmt: skip
def test_torch_calls_are_known_by_their_names(call, name):
    assert resolve_start(call) == START_FUNCTIONS[name]


def test_a_modules_settings_set_its_kinks():
    assert resolve_start(nn.Hardtanh(-0.7, 1.1)).kinks == (-0.7, 1.1)
    assert resolve_start(nn.Softshrink(0.3)).kinks == (-0.3, 0.3)
    assert resolve_start(nn.PReLU(3)).kinks == (0.0,)


def test_a_module_is_copied_and_left_as_it_was():
    module = nn.Sequential(nn.Dropout(0.5), nn.PReLU())
    found = resolve_start(module)
    assert torch.equal(sample(found, X), torch.where(X > 0, X, 0.25 * X))
    assert module.training
    assert module[1].weight.dtype == torch.float32
    with torch.no_grad():
        module[1].weight.fill_(7.0)
    assert torch.equal(sample(found, X), torch.where(X > 0, X, 0.25 * X))


def test_a_kink_at_zero_of_any_callable_is_noticed():
    assert resolve_start(lambda x: x.clamp(min=0) ** 1.0).kinks == (0.0,)
    assert resolve_start(lambda x: 3 * x.abs() - x).kinks == (0.0,)
    assert resolve_start(functools.partial(F.leaky_relu, negative_slope=0.2)).kinks == (0.0,)
    for smooth in (torch.sin, torch.exp, torch.square, lambda x: 1e6 * x):
        assert resolve_start(smooth).kinks == ()


def test_a_curve_stands_for_itself():
    curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))
    assert torch.equal(sample(resolve_start(curve), X), curve(X))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("rleu", "'relu'"),
        ("GELU", "'gelu'"),
        ("leakyrelu", "'leaky_relu'"),
        ("swish", "'silu'"),
    ],
)
def test_misspelt_names_are_answered_with_near_ones(name, near):
    with pytest.raises(errors.UnknownNameError, match=f"got '{name}'; did you mean .*{near}"):
        resolve_start(name)


@pytest.mark.parametrize("start", [3, None, torch.zeros(3), ["relu"]])
def test_what_is_no_function_is_refused(start):
    with pytest.raises(
        errors.ArgumentError, match="expected a name, a function that takes a tensor, an nn"
    ):
        resolve_start(start)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            torch.sum,
            r"got mine, which returns \(\); expected a tensor of the input's shape \(401, 1\)",
        ),
        (
            torch.transpose,
            r"got mine, which raises TypeError: .*; the function must map a tensor \(M, C\)",
        ),
        (lambda x: x.T, r"which returns \(1, 401\); expected a tensor of the input's shape"),
        (lambda x: x.tolist(), "which returns list; expected a tensor of the input's shape"),
        (torch.sqrt, "returns NaN or infinite values; it must be finite from the first"),
    ],
)
def test_answers_that_are_not_elementwise_are_refused(call, message):
    with pytest.raises(errors.ArgumentError, match=message):
        sample(StartFunction("mine", call), X)


def test_sampling_protects_the_positions_and_keeps_their_dtype():
    kept = X.clone()
    assert sample(StartFunction("mine", torch.Tensor.relu_), X).dtype == torch.float64
    assert torch.equal(X, kept)
    assert sample(StartFunction("mine", lambda x: x.float()), X).dtype == torch.float64
