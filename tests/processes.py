"""Tests in two processes that talk to each other."""

import os

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
