"""Calling functions on the machines of a Ray cluster.

This needs Ray: `pip install 'hinged[ray]'`.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, TypeVar

import joblib
import torch

from hinged import errors
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.runs.worker_processes import visible_gpus

K = TypeVar("K")
T = TypeVar("T")

LOCAL = "local"
_RETRIES = 3


class RayCluster:
    """A Ray cluster, to which this process is connected while a `with` block runs.

    The machines of the cluster need this library, with the same package versions as this machine.
    Arguments and results are sent over the network, so no shared folder is needed. If this process
    is already connected to a cluster, that connection is used and stays open after the block.

    Args:
        address: one of four: `HOST:PORT` or `ray://HOST:PORT` of a running cluster; `auto` for the
            cluster that runs on this machine; `local` to start a cluster on this machine, which
            ends with the block.
        jobs: largest number of calls that run at the same time. None for the number of CPUs of the
            cluster divided by `threads`. On a cluster with GPUs there is at most one call per GPU.
        threads: number of CPUs, and of torch threads, for each call. On a cluster with GPUs, each
            call also has one GPU.
    """

    def __init__(self, address: str, jobs: int | None = None, threads: int = 1) -> None:
        self.address, self.jobs, self.threads = address, jobs, threads
        self._disconnect_at_exit = False

    def __enter__(self) -> RayCluster:
        """Connect this process to the cluster, and return this object.

        Raises:
            MissingExtraError: if Ray is not installed.
            ArgumentError: if no cluster runs at the address.
        """
        errors.require_extra("ray", ["ray"])
        import ray

        self._disconnect_at_exit = not ray.is_initialized()
        if self._disconnect_at_exit:
            options = self._local_options() if self.address == LOCAL else {}
            try:
                ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                hint = (
                    f"give the address of a running cluster, or {LOCAL!r} to start a cluster on "
                    "this machine"
                )
                reason = str(error).splitlines()[0].rstrip(".")
                got = f"{self.address}, to which Ray cannot connect ({reason})"
                call = "RayCluster(address=...)"
                raise errors.ArgumentError(errors.message(call, got, hint)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect this process from the cluster, and stop the calls that still run."""
        import ray

        if self._disconnect_at_exit:
            ray.shutdown()

    def put(self, value: Any) -> Any:
        """Return a Ray reference to a value, for use as an argument of a call in `map`.

        Several calls can use the same reference. Ray then sends the value only once to each
        machine.
        """
        import ray

        return ray.put(value)

    def map(
        self, call: Callable[..., T], items: Iterable[tuple[K, tuple[Any, ...]]]
    ) -> Generator[tuple[K, Callable[[], T]], None, None]:
        """Call a function on the machines of the cluster, once for each item.

        A call is repeated up to 3 times if its process or machine dies. Closing the generator stops
        the calls that still run.

        Args:
            call: a function at module level that the machines of the cluster can import.
            items: pairs `(key, arguments)`. Each pair starts `call(*arguments)`, and the key (any
                object) identifies this call. The next pair is read only when the cluster can start
                another call.

        Yields:
            A pair `(key, get_result)` for each call, in the order in which the calls finish.
            `get_result()` returns the result of the call, or raises its error. It raises a
            `WorkerError` if all processes of the call were killed.
        """
        import ray

        options = {"num_cpus": self.threads, "num_gpus": self._gpus(), "max_retries": _RETRIES}
        remote = ray.remote(_call_with_threads).options(**options)
        waiting, running = iter(items), dict[Any, K]()
        try:
            while True:
                free = max(0, self._slots() - len(running))
                for key, arguments in itertools.islice(waiting, free):
                    running[remote.remote(self.threads, call, *arguments)] = key
                if not running:
                    return
                (finished, *_), _ = ray.wait(list(running))
                yield running.pop(finished), functools.partial(_result_of, finished)
        finally:
            # Disconnecting stops all calls of this process. Cancelling them first can crash Ray.
            for reference in () if self._disconnect_at_exit else running:
                ray.cancel(reference, force=True)

    def _local_options(self) -> dict[str, Any]:
        """Return the options of `ray.init` for a cluster that is started on this machine."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage statistics.
        # By default Ray gives its workers a low priority, so other programs would slow them down.
        os.environ.setdefault("RAY_worker_niceness", "0")
        cpus = None if self.jobs is None else self.jobs * self.threads
        return {"include_dashboard": False, "num_cpus": cpus}

    def _gpus(self) -> int:
        """Return the number of GPUs for each call: 1 on a cluster with GPUs, otherwise 0."""
        import ray

        return 1 if ray.cluster_resources().get("GPU") else 0

    def _slots(self) -> int:
        """Return the number of calls that can run at the same time.

        It is at least 1, because some clusters add machines only when a call is waiting.
        """
        import ray

        resources = ray.cluster_resources()
        slots = int(resources.get("CPU", 0) // self.threads)
        if self._gpus():
            slots = min(slots, int(resources["GPU"]))
        return max(1, slots if self.jobs is None else min(slots, self.jobs))


def execution_options(address: str | None, jobs: int | None, threads: int) -> dict[str, Any]:
    """Return the arguments `jobs`, `threads` and `cluster` of `hinged.lab.runs.compare.compare`.

    Args:
        address: address of a Ray cluster; None to train on this machine.
        jobs: number of trials that run at the same time; None for one for each GPU of this machine,
            or without a GPU for the number of CPU cores divided by `threads`.
        threads: number of torch threads for each trial.

    Raises:
        ArgumentError: if `torchrun` started this process. It can run only a single training.

    >>> execution_options(None, 2, 1)
    {'jobs': 2, 'threads': 1, 'cluster': None}
    """
    if torchrun_process().world_size > 1:
        got = "a command with several trainings, started by torchrun"
        hint = "use torchrun only with `hinged train`, for a single training"
        raise errors.ArgumentError(errors.message("torchrun", got, hint))
    cluster = None if address is None else RayCluster(address, jobs, threads)
    jobs = jobs or len(visible_gpus()) or max(1, joblib.cpu_count() // threads)
    return {"jobs": jobs, "threads": threads, "cluster": cluster}


def _result_of(reference: Any) -> Any:
    """Return the result of a call on the cluster, or raise its error."""
    import ray
    from ray import exceptions

    try:
        return ray.get(reference)
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.ObjectLostError):
        raise errors.WorkerError(
            f"A training process on the Ray cluster was killed {_RETRIES + 1} times, probably "
            "because memory ran out. Run the same command again with fewer trainings at the same "
            "time, or on machines with more memory. It continues with the unfinished trainings."
        ) from None


def _call_with_threads(threads: int, call: Callable[..., T], *arguments: Any) -> T:
    torch.set_num_threads(threads)
    return call(*arguments)
