"""Calling a function in several processes in parallel."""

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
    """Run `call(*arguments[i])` for every `i`, in several processes in parallel.

    If a call raises an error, all other processes are stopped and the error is raised here.

    Args:
        call: a function at module level, so that another process can import it.
        arguments: a tuple of arguments for each call; all must be picklable.
        jobs: largest number of processes.
        threads: number of torch threads in each process.

    Yields:
        The result of each call, in the order in which the calls finish.
    """
    if not arguments:
        return
    settings = (threads, dict(os.environ))
    pool = ProcessPoolExecutor(min(jobs, len(arguments)), _context(), _start_worker, settings)
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
    """Return the `multiprocessing` context that starts the worker processes.

    Without a GPU this is a fork server, which imports Lightning only once (4 seconds) for all
    workers. With a GPU each worker is a new Python process, because CUDA does not work in a forked
    process.
    """
    if torch.cuda.is_available() or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hinged.lab.runs.run_trial"])
    return context


def _start_worker(threads: int, environment: dict[str, str]) -> None:
    """Prepare a worker process, before its first call.

    The worker takes the environment variables of its parent: a fork server still has those of its
    own start. The worker ignores Ctrl+C, which its parent handles. It ends when the parent is
    killed.
    """
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
