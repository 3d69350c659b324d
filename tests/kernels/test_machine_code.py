"""The machine code of the Triton kernels, as compiled for an H100."""

import itertools

import pytest

from tests.kernels.machine_code import compile_in_new_process


def compile_cases(cases):
    """Return what the compiler makes for an H100: for each case all launches, by kernel."""
    common = {
        **{"count": 9, "tails": "linear", "uniform": True, "rows": False, "wide": False},
        "needs_grad": (True, True),
    }
    return compile_in_new_process(
        [case if "step_in_metric" in case else {**common, **case} for case in cases]
    )


# For each dtype: how wide one load of 4 elements is.
LOADS = {"float32": ".v4.b32", "bfloat16": ".v2.b32"}
IMAGES, FEATURES = (True, 1024), (False, 16)
# (count, uniform, rows, tails, layout)
VARIANTS = [
    (17, True, False, "linear", (True, 49)),
    (17, False, True, "free", (True, 1024)),
    (17, False, True, "free", (False, 7)),
    (33, True, True, "constant", (False, 16)),
    (33, False, False, "linear", (True, 49)),
]


@pytest.fixture(scope="module")
def common_code():
    """The machine code of 9 uniform hinges, by dtype and layout, and that of a step in the metric.

    One process compiles all of it.
    """
    keys = list(itertools.product(LOADS, (IMAGES, FEATURES)))
    cases = [{"dtype": dtype, "layout": layout} for dtype, layout in keys]
    cases = compile_cases([*cases, {"step_in_metric": True}])
    return dict(zip([*keys, "step in metric"], cases, strict=True))


@pytest.fixture(scope="module")
def code_of_all_variants():
    """The machine code of every variant in every dtype. One process compiles all of it."""
    names = ("count", "uniform", "rows", "tails", "layout")
    keys = list(itertools.product(("float32", "bfloat16", "float16"), VARIANTS))
    cases = compile_cases(
        {"dtype": dtype, "wide": variant[0] == 33, **dict(zip(names, variant, strict=True))}
        for dtype, variant in keys
    )
    return dict(zip(keys, cases, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("layout", [IMAGES, FEATURES])
@pytest.mark.parametrize("dtype", LOADS)
def test_machine_code_is_vectorised_and_uses_only_registers(dtype, layout, common_code):
    case, load = common_code[dtype, layout], LOADS[dtype]
    assert set(case) == {"tabulate", "forward_kernel", "backward_kernel", "reduce_kernel"}
    assert all(kernel["stack"] == kernel["atomics"] == 0 for kernel in case.values())
    forward, backward = case["forward_kernel"], case["backward_kernel"]
    assert forward["accesses"]["ld.global.v4.b32"] and forward["accesses"]["st.global.v4.b32"]
    # One load each of x and g, and one store, for 4 elements: 2 tiles in float32, 4 in half.
    tiles = 2 if dtype == "float32" else 4
    assert backward["accesses"]["ld.global" + load] == 2 * tiles
    assert backward["accesses"]["st.global" + load] == tiles
    # A saturating instruction per inner piece; the two end pieces are not limited.
    saturating = sum(n for name, n in backward["instructions"].items() if ".SAT" in name)
    assert saturating == 6 * 4 * tiles
    assert backward["registers"] <= 128


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_machine_code_of_every_variant_uses_only_registers(dtype, variant, code_of_all_variants):
    case = code_of_all_variants[dtype, variant]
    assert all(kernel["stack"] <= 8 and kernel["atomics"] == 0 for kernel in case.values())


@pytest.mark.slow
def test_machine_code_of_a_step_in_the_metric(common_code):
    case = common_code["step in metric"]
    step, moments = case["step_kernel"], case["moments_kernel"]
    assert step["atomics"] == moments["atomics"] == 0
    # Slow divisions, of numbers near the limits of float64, are subroutines with a stack.
    assert step["stack"] <= 16 and moments["stack"] == 0
    assert step["registers"] <= 128 and moments["registers"] <= 128
