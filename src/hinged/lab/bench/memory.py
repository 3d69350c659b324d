"""Memory that a forward pass saves for the backward pass, and peak memory of both."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from hinged.lab.bench.timing import Call
from hinged.lab.training.backward_memory import memory_for_backward


def saved_bytes(module: nn.Module, x: Tensor) -> int:
    """Return the bytes of the distinct storages that autograd saves in `module(x)`.

    The input counts if autograd saves it. Parameters never count.
    """
    return memory_for_backward(module, x.detach().requires_grad_())


def peak_bytes(call: Call, device: str) -> int:
    """Return the largest number of bytes allocated at once during `call`, above the level before
    it."""
    return _peak_bytes_cuda(call) if device.startswith("cuda") else _peak_bytes_cpu(call)


def _peak_bytes_cuda(call: Call) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_bytes_cpu(call: Call) -> int:
    """Add up the allocations and releases of torch's allocator in the order of time. This includes
    temporary memory inside an operator."""
    with (
        _silence_stderr(),
        profile(
            activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
        ) as profiled,
    ):
        call()
    recorder = profiled.profiler
    results = None if recorder is None else recorder.kineto_results
    events = [] if results is None else results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    allocated = largest = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        allocated += change
        largest = max(largest, allocated)
    return largest


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard the lines that torch's profiler writes to standard error at each start. It has no
    setting that turns them off."""
    sys.stderr.flush()
    saved_stderr = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
