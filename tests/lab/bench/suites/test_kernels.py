from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from hinged import errors
from hinged.lab.bench import kernel
from hinged.lab.bench.contestants import CURVE, OTHER, SHARED, Contestant, natives, ours
from hinged.lab.bench.kernel import using
from hinged.lab.bench.measurement import BOTH, FORWARD
from hinged.lab.bench.suites import kernels

SMALL = kernels.Workload("small", (8, 4, 3, 3), hinges=5)


def test_the_table_has_everybody_with_all_hinge_counts(record):
    names = [row.name for row in record.cases[0].rows]
    assert names[:5] == ["relu", "leaky_relu", "prelu", "silu", "gelu"]
    assert names[5:] == [f"hinged K={hinges}" for hinges in kernels.HINGES]
    prelu, ours9 = record.cases[0].row("prelu"), record.cases[0].row("hinged K=9")
    assert (prelu.parameters, ours9.parameters) == (64, 64 * 9)


def test_what_is_wrong_is_refused_and_the_rest_is_timed(quick):
    wrong = Contestant("wrong", lambda curve: nn.ReLU(), CURVE, ours(5).gradient)
    case = kernels.measure_workload(SMALL, [natives()[0], wrong, ours(5)], quick)
    relu, refused, own = case.rows
    assert refused.problem.startswith("refused: ") and refused.seconds == {}
    for row in (relu, own):
        assert row.problem is None and set(row.seconds) == {FORWARD, BOTH}


def missing(_):
    raise ModuleNotFoundError("No module named 'deepsplines'")


def broken(_):
    raise ValueError("only on\n Sundays")


@pytest.mark.parametrize(
    "make, problem",
    [
        (missing, "not installed: No module named 'deepsplines'"),
        (broken, "ValueError: only on Sundays"),
    ],
)
def test_a_peer_that_fails_is_a_row_with_its_reason(quick, make, problem):
    peer = Contestant("peer", make, CURVE, package="no-such-distribution")
    case = kernels.measure_workload(SMALL, [natives()[0], peer], quick)
    assert case.rows[1].problem == problem
    assert case.rows[1].package == "no-such-distribution"
    assert case.rows[0].problem is None


class FailsLater(nn.ReLU):
    calls = 0

    def forward(self, x):
        FailsLater.calls += 1
        if FailsLater.calls > 5:
            raise RuntimeError("worn out")
        return super().forward(x)


def test_what_fails_only_after_the_check_is_a_row_too(quick):
    later = Contestant("later", lambda curve: FailsLater(), OTHER)
    case = kernels.measure_workload(SMALL, [natives()[0], later], quick)
    assert case.rows[1].problem == "RuntimeError: worn out" and case.rows[1].seconds == {}


def test_one_curve_for_all_channels_is_checked_as_one(quick):
    shared = replace(ours(5), name="one", family=SHARED)
    case = kernels.measure_workload(SMALL, [natives()[0], shared], quick)
    assert case.rows[1].problem is None and case.rows[1].parameters == 5


def test_layouts_and_dtypes_are_those_of_the_workload(quick):
    workload = kernels.Workload("w", (8, 4, 3, 3), torch.bfloat16, channels_last=True)
    x, g = workload.tensors(quick)
    for tensor in (x, g):
        assert tensor.dtype is torch.bfloat16
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert workload.about(x.shape[0]) == "(2, 4, 3, 3) bfloat16, channels_last"


def test_kernels_are_compared_in_a_case_of_their_own():
    assert kernels.OUR_KERNELS not in kernels.WORKLOADS
    rows = kernels.line_up(kernels.OUR_KERNELS, (), ("auto", "reference"))
    assert [row.name for row in rows] == ["relu", "hinged K=9", "hinged K=9, reference kernel"]
    assert [row.kernel for row in rows] == ["auto", "auto", "reference"]


def test_an_unknown_case_and_an_unknown_kernel_are_told_with_those_there_are(quick):
    with pytest.raises(errors.UnknownNameError, match="did you mean 'maps'"):
        kernels.run(quick, lambda text: None, cases=["map"])
    with pytest.raises(errors.HingedError):
        using("no-such-kernel").__enter__()
    with using("reference"), using("auto"):
        pass


def test_a_kernel_that_is_asked_for_runs(quick, monkeypatch):
    used = []

    @contextmanager
    def use(name):
        used.append(name)
        yield

    monkeypatch.setattr(kernel.kernels, "use", use)
    rows = kernels.line_up(kernels.OUR_KERNELS, (), ("auto", "portable"))
    case = kernels.measure_workload(SMALL, [rows[0], ours(5, kernel="portable")], quick)
    assert set(used) == {"auto", "portable"} and used.count("portable") >= 6  # relu: "auto"
    assert case.rows[1].name == "hinged K=5, portable kernel" and case.rows[1].problem is None


def test_a_copy_moves_some_bytes(quick):
    assert kernels.bandwidth(torch.ones(1 << 16), quick) > 1e6
