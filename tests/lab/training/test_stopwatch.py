import pytest
import torch

from hinged.lab.training.stopwatch import Stopwatch


def test_durations_are_those_of_the_clock():
    times = iter([1_000_000_000, 1_250_000_000, 3_000_000_000, 5_000_000_000])
    stopwatch = Stopwatch(gpu=False, clock=lambda: next(times))
    for _ in range(2):
        stopwatch.start()
        stopwatch.stop()
    assert stopwatch.seconds() == [0.25, 2.0]
    assert stopwatch.seconds() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_queued_work_is_counted():
    x = torch.randn(2048, 2048, device="cuda")
    stopwatch = Stopwatch()
    assert stopwatch.gpu
    for repetitions in (1, 50):
        stopwatch.start()
        for _ in range(repetitions):
            x @ x
        stopwatch.stop()
    one, fifty = stopwatch.seconds()
    assert 0 < one < fifty
