from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from hinged import errors, kernels
from hinged.lab.bench.measurement import FORWARD, FORWARD_BACKWARD
from hinged.lab.bench.suites.single_activations import (
    HINGES,
    OUR_KERNELS,
    WORKLOADS,
    Workload,
    activations_to_time,
    benchmark_single_activations,
    copy_bandwidth,
    measure_workload,
)
from hinged.lab.bench.timed_activations import (
    CURVE,
    OTHER,
    SHARED,
    TimedActivation,
    hinged_activation,
    torch_activations,
)

SMALL = Workload("small", (8, 4, 3, 3), hinges=5)
RELU = torch_activations()[0]


def test_a_table_has_all_activations_of_torch_and_all_numbers_of_hinges(record):
    names = [row.name for row in record.cases[0].rows]
    assert names[:5] == ["relu", "leaky_relu", "prelu", "silu", "gelu"]
    assert names[5:] == [f"hinged K={hinges}" for hinges in HINGES]
    prelu, hinged = record.cases[0].row("prelu"), record.cases[0].row("hinged K=9")
    assert (prelu.parameters, hinged.parameters) == (64, 64 * 9)


def missing(_):
    raise ModuleNotFoundError("No module named 'deepsplines'")


def broken(_):
    raise ValueError("only on\n Sundays")


class FailsLater(nn.ReLU):
    calls = 0  # Of all instances, because the check calls a copy too.

    def forward(self, x):
        FailsLater.calls += 1
        if FailsLater.calls > 5:  # The check makes five calls.
            raise RuntimeError("worn out")
        return super().forward(x)


def test_a_row_that_fails_gives_its_reason_and_the_others_are_timed(quick):
    failing = {
        "wrong": TimedActivation(
            "wrong", lambda curve: nn.ReLU(), CURVE, hinged_activation(5).gradient
        ),
        "missing": TimedActivation("missing", missing, CURVE, package="no-such-distribution"),
        "broken": TimedActivation("broken", broken, CURVE),
        "later": TimedActivation("later", lambda curve: FailsLater(), OTHER),
    }
    shared = replace(hinged_activation(5), name="shared", family=SHARED)
    case = measure_workload(SMALL, [RELU, *failing.values(), hinged_activation(5), shared], quick)
    problem = {row.name: row.problem for row in case.rows}
    assert problem.pop("wrong").startswith("wrong result: wrong: the error of the output is")
    assert problem == {
        "relu": None,
        "missing": "not installed: No module named 'deepsplines'",
        "broken": "ValueError: only on Sundays",
        "later": "RuntimeError: worn out",
        "hinged K=5": None,
        "shared": None,
    }
    assert case.row("missing").package == "no-such-distribution"
    for row in case.rows:
        assert set(row.seconds) == (set() if row.name in failing else {FORWARD, FORWARD_BACKWARD})
    assert case.row("hinged K=5").parameters == 4 * 5
    assert case.row("shared").parameters == 5


def test_tensors_have_the_layout_and_dtype_of_the_workload(quick):
    workload = Workload("w", (8, 4, 3, 3), torch.bfloat16, channels_last=True)
    x, g = workload.make_tensors(quick)
    for tensor in (x, g):
        assert tensor.dtype is torch.bfloat16
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert workload.describe(x.shape[0]) == "(2, 4, 3, 3) bfloat16, channels_last"


def test_several_kernels_are_compared_in_one_more_case():
    assert OUR_KERNELS not in WORKLOADS
    activations = activations_to_time(OUR_KERNELS, (), ("auto", "reference"))
    names = ["relu", "hinged K=9", "hinged K=9, reference kernel"]
    assert [each.name for each in activations] == names
    assert [each.kernel for each in activations] == ["auto", "auto", "reference"]


def test_an_unknown_case_lists_similar_names(quick):
    with pytest.raises(errors.UnknownNameError, match="did you mean 'maps'"):
        benchmark_single_activations(quick, lambda text: None, cases=["map"])


def test_every_call_of_a_row_runs_on_the_rows_kernel(quick, monkeypatch):
    used = []

    @contextmanager
    def use(name):
        used.append(name)
        yield

    monkeypatch.setattr(kernels, "use_kernel", use)
    case = measure_workload(SMALL, [RELU, hinged_activation(5, kernel="portable")], quick)
    assert set(used) == {"auto", "portable"}  # "auto" is the kernel of the row `relu`.
    assert used.count("portable") >= 6
    assert case.rows[1].name == "hinged K=5, portable kernel" and case.rows[1].problem is None


def test_the_bandwidth_of_a_copy_is_a_positive_number(quick):
    assert copy_bandwidth(torch.ones(1 << 16), quick) > 1e6
