"""Memory that a forward pass keeps for the backward pass, and the most that both hold at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from hinged.lab.bench.timing import Call
from hinged.lab.training.fit import memory_for_backward


def kept(module: nn.Module, x: Tensor) -> int:
    """Return the bytes of the distinct storages that autograd saves in `module(x)`, the input
    counted where it is saved, parameters never."""
    return memory_for_backward(module, x.detach().requires_grad_())


def peak(call: Call, device: str) -> int:
    """Return the most bytes that `call` holds at once beyond what was held before it."""
    return _peak_of_cuda(call) if device.startswith("cuda") else _peak_of_cpu(call)


def _peak_of_cuda(call: Call) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_of_cpu(call: Call) -> int:
    """Sum up what torch's allocator handed out and took back, in the order of time; the memory
    that an operator takes inside is seen too."""
    with (
        _without_messages(),
        profile(
            activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
        ) as profiled,
    ):
        call()
    recorder = profiled.profiler
    results = None if recorder is None else recorder.kineto_results
    events = [] if results is None else results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = most = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        most = max(most, held)
    return most


@contextmanager
def _without_messages() -> Iterator[None]:
    """Hold back what torch's profiler writes to standard error at each start, which no setting
    turns off."""
    sys.stderr.flush()
    kept_open = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept_open, 2)
        os.close(kept_open)
