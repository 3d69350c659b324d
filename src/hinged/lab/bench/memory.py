"""Measures the memory saved for the backward pass, and the peak memory of a call."""

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
    """Return the number of bytes that autograd saves for the backward pass of `module(x)`.

    Tensors that share a storage count once. The input counts if autograd saves it. Parameters never
    count.
    """
    return memory_for_backward(module, x.detach().requires_grad_())


def peak_bytes(call: Call, device: str) -> int:
    """Return the peak memory of a call in bytes, without memory that was allocated before the call.

    Args:
        call: a function without arguments.
        device: the device on which the function allocates memory, "cpu" or "cuda".
    """
    return _peak_bytes_cuda(call) if device.startswith("cuda") else _peak_bytes_cpu(call)


def _peak_bytes_cuda(call: Call) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_bytes_cpu(call: Call) -> int:
    """Return the peak memory of a call on the CPU, from the events of torch's profiler.

    The events are all allocations and releases, including temporary memory inside an operator.
    """
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
    """Discard everything that is written to standard error inside a `with` block.

    The profiler of torch writes lines to standard error and has no setting to turn them off.
    """
    sys.stderr.flush()
    saved_stderr = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
