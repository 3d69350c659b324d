import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import hinged

LIMIT = 2.0
"""The largest growth of memory, in MiB."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says how much is used")
def test_many_calls_and_conversions_take_no_more_memory():
    command = [sys.executable, "-m", "tests.soak", "1200", "120"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(float(grown) < LIMIT for grown in done.stdout.split()), done.stdout


def test_four_threads_on_one_layer_compute_the_same_bits():
    layer = hinged.PiecewiseLinear(33)
    inputs = [torch.randn(500, 33) for _ in range(4)]
    expected = [layer(x).detach() for x in inputs]
    wrong = []

    def work(x, y):
        for _ in range(50):
            if not torch.equal(layer(x), y):
                wrong.append(x)

    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(inputs, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
