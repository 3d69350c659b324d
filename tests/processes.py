"""Functions for tests with several processes."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time

import torch


def in_two_processes(work, folder, *arguments):
    """Call `work(rank, folder, *arguments)` in two processes with one thread each, with gloo."""
    torch.multiprocessing.spawn(_begin, args=(work, str(folder), arguments), nprocs=2)


def _begin(rank, work, folder, arguments):
    torch.set_num_threads(1)
    # Initialisation with a file needs no free network port.
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    work(rank, folder, *arguments)
    torch.distributed.barrier()
    # A normal exit sometimes hangs: the reducer of DistributedDataParallel holds the interpreter's
    # lock while it waits for gloo's thread, which needs that lock.
    os._exit(0)


def start_command(log, *arguments, limit=None):
    """Start the command `hinged ARGUMENTS` in a new process, and return the process.

    The process is forked from a process that has already imported all modules, so it starts fast.

    Args:
        log: the path of the file for the output of the command.
        arguments: the arguments of the command line.
        limit: the largest size in bytes of each file that the command writes. None means no limit.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hinged.lab.cli.run_commands"])
    process = context.Process(target=_command, args=(str(log), arguments, limit))
    process.start()
    return process


def _command(log, arguments, limit):
    from hinged.__main__ import main

    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    # Otherwise a process that a shell started in the background ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    sys.argv = ["hinged", *map(str, arguments)]
    with open(log, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        main()


def wait_until(condition, process, log):
    """Wait until a condition is true. Fail if the process ends before.

    Args:
        condition: a function without arguments that returns a bool.
        process: the running process.
        log: the path of the file with the output of the process, shown if the wait fails.
    """
    while not condition():
        assert process.is_alive() or condition(), log.read_text()
        time.sleep(0.005)
