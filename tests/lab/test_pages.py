import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from hinged.lab.pages import keep_pages
torch.set_num_threads(1)
kept = keep_pages() if sys.argv[1] == "keep" else None
def step():
    a = torch.ones(4_000_000); b = a + 1; del a, b
for _ in range(5): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(argument):
    call = [sys.executable, "-c", FAULTS, argument]
    kept, faults = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_a_training_step_asks_the_kernel_for_no_new_pages():
    (_, before), (kept, after) = run("leave"), run("keep")
    assert kept == "True"
    assert after < before / 10
