"""Calling a function in several processes in parallel."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.queues import SimpleQueue
from types import FrameType
from typing import Any, TypeVar

import torch

from hinged import errors

T = TypeVar("T")


_POLL = 0.25
"""Longest time in seconds until this process reads a message of a worker."""
_messages: SimpleQueue[Any] | None = None
"""In a worker: the queue of the messages to its parent."""


def call_in_processes(
    call: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    jobs: int,
    threads: int,
    on_message: Callable[[Any], None] = lambda _: None,
) -> Generator[T, None, None]:
    """Run `call(*arguments[i])` for every `i`, in several processes in parallel.

    The processes share the GPUs of this machine: each process sees only one GPU. If a call raises
    an error, or if this process is interrupted, all other processes are killed and the error is
    raised here.

    Args:
        call: a function at module level, so that another process can import it.
        arguments: a tuple of arguments for each call; all must be picklable.
        jobs: largest number of processes.
        threads: number of torch threads in each process.
        on_message: called in this process with each object that a call gives to `send_message`.

    Yields:
        The result of each call, in the order in which the calls finish.

    Raises:
        WorkerError: if one of the processes is killed, for example because memory runs out.
    """
    if not arguments:
        return
    jobs, before = min(jobs, len(arguments)), set(multiprocessing.active_children())
    context = _context()
    gpus, messages = context.SimpleQueue(), context.SimpleQueue()
    for gpu in itertools.islice(itertools.cycle(visible_gpus() or [""]), jobs):
        gpus.put(gpu)
    settings = (threads, dict(os.environ), gpus, messages)
    pool = ProcessPoolExecutor(jobs, context, _start_worker, settings)
    try:
        if context.get_start_method() == "forkserver":
            _start_fork_server()
        with _delayed_interrupts():  # An interrupt here could lose track of a new process.
            waiting = {pool.submit(call, *each) for each in arguments}
        while waiting:
            done, waiting = wait(waiting, _POLL, FIRST_COMPLETED)
            while not messages.empty():
                on_message(messages.get())
            for future in done:
                yield future.result()
    except BaseException as error:
        for worker in set(multiprocessing.active_children()) - before:
            worker.kill()  # Lightning catches the signal of `terminate`.
            worker.join()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            _kill_fork_server()
        if isinstance(error, BrokenProcessPool):
            raise errors.WorkerError(
                "A training process was killed, probably because memory ran out. Run the same "
                "command again with a smaller `jobs`. It continues with the unfinished trainings."
            ) from error
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def send_message(message: object) -> None:
    """Send an object from a worker to its parent, which gives it to `on_message`.

    Nothing happens in a process that `call_in_processes` has not started.
    """
    if _messages is not None:
        _messages.put(message)


def visible_gpus() -> list[str]:
    """Return a value of the variable `CUDA_VISIBLE_DEVICES` for each GPU, which selects this GPU.

    If the variable is set in this process, only the GPUs that it selects are returned.
    """
    count, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def _context() -> BaseContext:
    """Return the `multiprocessing` context that starts the worker processes.

    Without a GPU this is a fork server, which imports Lightning only once (4 seconds) for all
    workers. With a GPU each worker is a new Python process, because CUDA does not work in a forked
    process.
    """
    if torch.cuda.is_available() or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    return multiprocessing.get_context("forkserver")


def _start_fork_server() -> None:
    """Start the fork server if it does not run, and wait until it has imported its modules.

    An interrupt ends the wait.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hinged.lab.runs.run_trial"])
    resource_tracker.ensure_running()  # Otherwise the next line starts it and allows interrupts.
    with _delayed_interrupts():
        forkserver.ensure_running()
    first = context.Process(target=_do_nothing)
    first.start()
    first.join()


def _do_nothing() -> None:
    pass


def _kill_fork_server() -> None:
    """End the fork server, which otherwise first finishes its imports.

    Workers that this process does not know end by themselves when this process ends.
    """
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


@contextmanager
def _delayed_interrupts() -> Iterator[None]:
    """Delay Ctrl+C until the end of the `with` block. New processes of the block never receive it.

    In a terminal, Ctrl+C interrupts a process and all its child processes. A child process would
    then print an error. New processes inherit the signals that are blocked.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda *signal_: received.append(signal_))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)
        if received and callable(handler):
            handler(*received[0])


def _start_worker(
    threads: int,
    environment: dict[str, str],
    gpus: SimpleQueue[str],
    messages: SimpleQueue[Any],
) -> None:
    """Prepare a worker process, before its first call.

    The worker takes the environment variables of its parent: a fork server still has those of its
    own start. The worker ignores Ctrl+C, which its parent handles. It ends when the parent is
    killed.

    Args:
        threads: number of torch threads.
        environment: the environment variables of the parent.
        gpus: the GPUs that are left for new workers. The worker takes one; an empty text is no GPU.
        messages: the queue of the messages to the parent.
    """
    global _messages
    _messages = messages
    os.environ.clear()
    os.environ.update(environment)
    if gpu := gpus.get():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
