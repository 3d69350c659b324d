"""Calls a function in several processes at once."""

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


def call_in_processes(
    call: Callable[..., T], arguments: Sequence[tuple[Any, ...]], jobs: int, threads: int
) -> Generator[T, None, None]:
    """Yield `call(*arguments[i])` for every `i`, in the order in which the calls finish.

    Args:
        call: a function at module level, so that another process can import it.
        arguments: the arguments of each call; they must be picklable.
        jobs: number of processes.
        threads: number of torch threads in each process.
    """
    if not arguments:
        return
    pool = ProcessPoolExecutor(min(jobs, len(arguments)), _context(), _start_worker, (threads,))
    try:
        for future in as_completed([pool.submit(call, *each) for each in arguments]):
            yield future.result()
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
            worker.join()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Return a way to start processes that share no state with this one.

    A fork server imports Lightning once (4 seconds) for all workers. With a GPU each worker starts
    from nothing, because CUDA cannot be used in a process forked from one that has asked for it.
    """
    if torch.cuda.is_available() or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hinged.lab.runs.run_trial"])
    return context


def _start_worker(threads: int) -> None:
    """Prepare a worker. It leaves the interrupt key to its parent, and ends when the parent is
    killed."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
