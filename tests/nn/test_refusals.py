import numpy as np
import pytest
import torch

from hinged import Curve, PiecewiseLinear, errors, piecewise_linear

BAD = {
    "one hinge": ({"hinges": 1}, r"hinges=\.\.\.\)`: got 1 hinge; a curve needs at least 2"),
    "no hinges": ({"hinges": 0}, r"hinges=\.\.\.\)`: got 0 hinges; a curve needs at least 2"),
    "one position": ({"hinges": [1.0]}, "got 1 hinge; a curve needs at least 2"),
    "no positions": ({"hinges": []}, "got 0 hinges; a curve needs at least 2"),
    "half a hinge": ({"hinges": 2.5}, "got 2.5; expected a whole number of hinges, or the pos"),
    "two for relu": (
        {"hinges": 2},
        "got 2 hinges; a function with a kink at 0 needs at least 3: one at each kink",
    ),
    "three for relu6": ({"hinges": 3, "init": "relu6"}, "a kink at 0, 6 needs at least 4"),
    "unsorted": ({"hinges": [0.0, 2.0, 1.0]}, r"not sorted \(2 followed by 1 at index 1\); posit"),
    "repeated": ({"hinges": [0.0, 1.0, 1.0]}, r"a repeated hinge \(1 followed by 1 at index 1\)"),
    "NaN": ({"hinges": [0.0, float("nan")]}, "got positions with NaN or infinity; every position"),
    "cube": (
        {"hinges": torch.zeros(2, 2, 2)},
        r"\(2, 2, 2\); give them as \(K,\) or \(C, K\)",
    ),
    "rows": (
        {"channels": 3, "hinges": [[-1.0, 0.0], [-1.0, 0.0]]},
        r"hinges for 2 channels; expected shape \(K,\) or \(3, K\) for channels=3",
    ),
    "no width": ({"range": (1, 1)}, r"range=\.\.\.\)`: got \(1, 1\); expected finite numbers with"),
    "reversed": ({"range": (2, 1)}, r"got \(2, 1\); expected finite numbers with low < high"),
    "endless": ({"range": (0, float("inf"))}, r"got \(0, inf\); expected finite numbers with"),
    "no pair": ({"range": (1, 2, 3)}, r"got \(1, 2, 3\); expected two numbers \(low, high\)"),
    "one end": ({"range": 3.0}, r"got 3.0; expected two numbers \(low, high\)"),
    "both": (
        {"hinges": [-1.0, 0.0, 1.0], "range": (-1, 1)},
        r"got range=\(-1, 1\) together with hinge positions; the positions set the range: leave r",
    ),
    "tails": (
        {"tails": "linaer"},
        r"got 'linaer'; did you mean 'linear'\? All of: con",
    ),
    "no channels": (
        {"channels": 0},
        "got 0; expected a whole number, at least 1",
    ),
    "text channels": ({"channels": "3"}, "got '3'; expected a whole number, at least 1"),
    "true channels": ({"channels": True}, "got True; expected a whole number, at least 1"),
    "no function": (
        {"init": 3},
        "got 3; expected a name, a function that takes a tensor, an nn.Module or",
    ),
    "scalar": (
        {"init": torch.sum},
        r"init=\.\.\.\)`: got sum, which returns \(\); expected a tensor of the inp",
    ),
    "nothing": ({"init": lambda _: None}, "which returns NoneType; expected a tensor of the"),
    "infinite": (
        {"init": torch.log},
        r"got log, which returns NaN or infinite values; it must be",
    ),
    "failing": (
        {"init": lambda x: x @ x},
        r"RuntimeError: .*; the function must map a tensor \(M, C\) to",
    ),
    "too close": (
        {"hinges": [1.0, 1.001], "init": "identity", "dtype": torch.bfloat16},
        r"got a repeated hinge \(1 followed by 1 at index 0\)",
    ),
    "too close in a grid": (
        {"hinges": 257, "range": (1, 1.01), "init": "identity", "dtype": torch.bfloat16},
        "torch.bfloat16; that dtype cannot tell them apart: use fewer hinges, a wider range or flo",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_construction_gets_a_sentence(case):
    arguments, message = BAD[case]
    with pytest.raises(errors.ArgumentError, match=message) as caught:
        PiecewiseLinear(**arguments)
    assert str(caught.value).startswith("`hinged.PiecewiseLinear(")
    assert str(caught.value)[-1] == "."


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(errors.UnknownNameError, match=r"got 'rleu'; did you mean 'relu' or"):
        PiecewiseLinear(init="rleu")
    with pytest.raises(errors.UnknownNameError, match=r"got 'zzzz'; expected one of: abs, celu,"):
        PiecewiseLinear(init="zzzz")


def test_integer_dtypes_and_inputs_are_refused():
    with pytest.raises(errors.DtypeError, match=r"got torch\.int32; expected a floating-point"):
        PiecewiseLinear(dtype=torch.int32)
    with pytest.raises(errors.DtypeError, match=r"got a tensor of torch\.int64; expected floating"):
        PiecewiseLinear()(torch.arange(3))


@pytest.mark.parametrize(("shape", "dim"), [((2, 4), 1), ((3,), 1), ((2, 3, 4), -1), ((), 0)])
def test_inputs_of_another_channel_count_are_refused(shape, dim):
    with pytest.raises(errors.ArgumentError, match=f"with dim={dim}; expected 3 channels on axis"):
        PiecewiseLinear(3, dim=dim)(torch.zeros(shape))


def test_hinges_that_collapse_when_moved_to_bfloat16_are_refused():
    layer = PiecewiseLinear(hinges=[1.0, 1.001], init="identity")
    with pytest.raises(errors.ArgumentError, match=r"to\(torch.bfloat16\)`: got hinges so close"):
        layer.to(torch.bfloat16)


def test_the_function_refuses_shapes_that_do_not_fit():
    hinges, x = torch.tensor([-1.0, 0.0, 1.0]), torch.zeros(2, 3)
    with pytest.raises(
        errors.ArgumentError, match=r"\(3, 4\) with hinges of shape \(3,\); expected"
    ):
        piecewise_linear(x, torch.zeros(3, 4), hinges)
    with pytest.raises(errors.ArgumentError, match="tails='free' without tail_slopes; free tails"):
        piecewise_linear(x, torch.zeros(3, 3), hinges, tails="free")
    with pytest.raises(errors.ArgumentError, match="tails='linear' with tail_slopes; free tails"):
        piecewise_linear(x, torch.zeros(3, 3), hinges, tail_slopes=torch.zeros(3, 2))
    with pytest.raises(errors.ArgumentError, match=r"shape \(3, 1\); expected \(3, 2\), the"):
        piecewise_linear(x, torch.zeros(3, 3), hinges, tails="free", tail_slopes=torch.zeros(3, 1))
    with pytest.raises(errors.DtypeError, match=r"got values of torch\.int64 and hinges of"):
        piecewise_linear(x, torch.zeros(3, 3).long(), hinges)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (3, 1)])
def test_the_function_refuses_fewer_than_two_hinges(shape):
    with pytest.raises(errors.ArgumentError, match=rf"got {shape[-1]} hinges?; a curve needs at l"):
        piecewise_linear(torch.zeros(2, 3), torch.zeros(3, shape[-1]), torch.zeros(shape))


@pytest.mark.parametrize("given", [np.zeros((2, 3)), [1.0]], ids=str)
def test_inputs_that_are_no_tensors_are_refused(given):
    with pytest.raises(errors.ArgumentError, match=r"\(x\)`: got an? \w+; expected a tensor: conv"):
        PiecewiseLinear(3)(given)
    with pytest.raises(
        errors.ArgumentError, match=r"expected a tensor: convert it with torch\.tens"
    ):
        piecewise_linear(torch.zeros(2, 3), given, torch.tensor([-1.0, 1.0]))
    with pytest.raises(
        errors.ArgumentError, match=r"Curve\(hinges=\.\.\.\)`: got .* expected a tens"
    ):
        Curve(given, torch.zeros(1, 3))


def test_a_dtype_given_as_text_is_refused():
    with pytest.raises(
        errors.DtypeError, match="got 'float32'; expected a floating-point dtype, s"
    ):
        PiecewiseLinear(dtype="float32")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("swish", "silu"), ("SiLU", "silu"), ("linear", "identity"), ("LReLU", "leaky_relu")],
)
def test_other_names_of_activations_are_known(given, meant):
    with pytest.raises(
        errors.UnknownNameError, match=rf"got '{given}'; did you mean '{meant}'\? A"
    ):
        PiecewiseLinear(init=given)
