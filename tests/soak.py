"""Makes many calls and conversions, and measures whether memory grows.

python -m tests.soak CALLS CONVERSIONS
"""

import ctypes
import gc
import random
import resource
import sys
from pathlib import Path

import torch
from torch import nn

import hinged
from tests.kernels.random_calls import run_calls

ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.Tanh)


def used_memory():
    """Return the memory that this process uses, in MiB."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Only glibc has it.
    if trim is not None:
        trim(0)  # Give freed memory back now. When glibc does it by itself is a matter of chance.
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def convert_and_train(seeds):
    """Convert a random network for each seed, and compute its gradients."""
    for seed in seeds:
        choose = random.Random(seed)
        width = choose.choice([4, 8, 16, 33])
        first, second = choose.choices(ACTIVATIONS, k=2)
        model = nn.Sequential(
            nn.Linear(4, width), first(), nn.Linear(width, width), second(), nn.Linear(width, 2)
        )
        x = torch.randn(choose.choice([1, 3, 9]), 4)
        hinged.convert(model, x)
        model(x).sum().backward()
        if seed % 3 == 0:
            hinged.revert(model)


def growth(work, number):
    """Return by how much memory grows between the halves of a number of calls, in MiB.

    After a warm-up, the same calls are made six times, because calls with larger tensors take more
    memory. Memory is given back late, so each half counts with the least of three measurements.
    """
    seeds, used = range(number // 6), []
    work(seeds)
    for _ in range(6):
        work(seeds)
        used.append(used_memory())
    return min(used[3:]) - min(used[:3])


def main():
    """Print the growth of memory, once for calls and once for conversions."""
    torch.set_num_threads(1)
    calls, conversions = map(int, sys.argv[1:])
    print(growth(run_calls, calls), growth(convert_and_train, conversions))


if __name__ == "__main__":
    main()
