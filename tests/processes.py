"""Tests in several processes: some that talk to each other, and commands to be killed."""

import contextlib
import multiprocessing
import os
import signal
import sys

import torch


def in_two_processes(work, folder, *arguments):
    """Call `work(rank, folder, *arguments)` in two processes of a gloo group, one thread each."""
    torch.multiprocessing.spawn(_begin, args=(work, str(folder), arguments), nprocs=2)


def _begin(rank, work, folder, arguments):
    torch.set_num_threads(1)
    # A file as the meeting point needs no free port.
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    work(rank, folder, *arguments)
    torch.distributed.barrier()
    # Now and then the end of a process hangs: the reducer of DistributedDataParallel waits for
    # gloo's thread while it holds the interpreter's lock, which that thread wants.
    os._exit(0)


def start_command(log, *arguments, limit=None):
    """Start `hinged ARGUMENTS` in a process forked from one that has imported everything, so that
    it is at work at once; return the process.

    Args:
        log: the file that takes what it prints.
        arguments: those of the command line.
        limit: bytes that no file it writes may exceed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hinged.lab.cli.app"])
    process = context.Process(target=_command, args=(str(log), arguments, limit))
    process.start()
    return process


def _command(log, arguments, limit):
    from hinged.__main__ import main

    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    # Where a shell started all this in the background, the interrupt key would not be heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    sys.argv = ["hinged", *map(str, arguments)]
    with open(log, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        main()
