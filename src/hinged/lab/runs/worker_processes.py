"""Calls in several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def in_processes(
    call: Callable[..., T], arguments: Sequence[tuple[Any, ...]], jobs: int, threads: int
) -> Generator[T, None, None]:
    """Yield `call(*arguments[i])` for every `i`, in the order in which they are done.

    Args:
        call: a function of a module, so that another process can import it.
        arguments: what it is called with, each a tuple that can be pickled.
        jobs: number of processes.
        threads: torch's threads in each.
    """
    if not arguments:
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(arguments)), context, _begin, (threads,))
    try:
        for done in as_completed([pool.submit(call, *each) for each in arguments]):
            yield done.result()
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
            worker.join()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(threads: int) -> None:
    """Prepare a worker: the interrupt key is the parent's business, and a worker does not outlive
    a parent that was killed."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
