import pytest

from hinged.lab.bench.suites.compiled_block import benchmark_compiled_block
from hinged.lab.bench.suites.whole_networks import INFERENCE, TRAINING_STEP


def show_nothing(_):
    return None


@pytest.mark.slow
def test_the_block_is_timed_with_and_without_compilation(quick):
    (case,) = benchmark_compiled_block(
        quick, show_nothing, activations=["relu", "hinged"], hinges=5, backend="eager"
    ).cases
    names = ["relu, compiled", "hinged K=5, compiled", "relu, eager", "hinged K=5, eager"]
    assert [row.name for row in case.rows] == names
    assert case.baseline == names[0]
    assert all(set(row.seconds) == {TRAINING_STEP, INFERENCE} for row in case.rows)


def test_a_compiler_that_fails_gives_its_reason(quick):
    (case,) = benchmark_compiled_block(
        quick, show_nothing, activations=["relu"], backend="no-such-one"
    ).cases
    failed, eager = case.rows
    assert "no-such-one" in failed.problem and eager.problem is None
