"""Calls functions on the machines of a Ray cluster.

Needs the extra: `pip install 'hinged[ray]'`.
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

K = TypeVar("K")
T = TypeVar("T")

LOCAL = "local"
_RETRIES = 3


class RayCluster:
    """A Ray cluster, connected while a `with` block runs.

    The workers need this library and the package versions of this machine. Arguments are sent to
    the workers and results come back, so no folder is shared.

    Args:
        address: `HOST:PORT` or `ray://HOST:PORT` of a cluster, `auto` for the cluster of this
            machine, or `local` to start a cluster here that ends with the block. If this process
            is already connected to a cluster, that connection is used and stays open.
        jobs: calls at once; by default one for each `threads` CPUs, and at most one for each GPU
            if there are any.
        threads: number of CPUs and of torch threads for each call. On a cluster with GPUs, each
            call has one GPU for itself.
    """

    def __init__(self, address: str, jobs: int | None = None, threads: int = 1) -> None:
        self.address, self.jobs, self.threads = address, jobs, threads
        self._disconnect_at_exit = False

    def __enter__(self) -> RayCluster:
        """Connect.

        Raises:
            MissingExtraError: Ray is not installed.
            ArgumentError: there is no cluster at the address.
        """
        errors.require_extra("ray", ["ray"])
        import ray

        self._disconnect_at_exit = not ray.is_initialized()
        if self._disconnect_at_exit:
            options = self._local_options() if self.address == LOCAL else {}
            try:
                ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                hint = f"give the address of a cluster that runs, or {LOCAL!r} to start one here"
                got = f"{self.address}, where Ray says: {str(error).splitlines()[0].rstrip('.')}"
                call = "RayCluster(address=...)"
                raise errors.ArgumentError(errors.message(call, got, hint)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect. Calls that still run are stopped."""
        import ray

        if self._disconnect_at_exit:
            ray.shutdown()

    def put(self, value: Any) -> Any:
        """Return a reference that can replace a value among arguments; Ray then sends the value
        only once to each machine."""
        import ray

        return ray.put(value)

    def map(
        self, call: Callable[..., T], items: Iterable[tuple[K, tuple[Any, ...]]]
    ) -> Generator[tuple[K, Callable[[], T]], None, None]:
        """Call `call(*arguments)` for every `(key, arguments)`.

        A call is repeated up to 3 times if its worker or machine dies. Closing the generator stops
        the calls that still run.

        Args:
            call: a function at module level that the workers can import.
            items: the next item is taken only when a worker is free.

        Yields:
            The key, and a function that returns the result or raises the error of the call, in the
            order in which the calls finish.
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
                yield running.pop(finished), functools.partial(ray.get, finished)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _local_options(self) -> dict[str, Any]:
        """Return the options of a cluster that is started here."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage statistics.
        # Otherwise workers get almost no CPU time when other programs run.
        os.environ.setdefault("RAY_worker_niceness", "0")
        cpus = None if self.jobs is None else self.jobs * self.threads
        return {"include_dashboard": False, "num_cpus": cpus}

    def _gpus(self) -> int:
        """Return the number of GPUs for each call."""
        import ray

        return 1 if ray.cluster_resources().get("GPU") else 0

    def _slots(self) -> int:
        """Return how many calls can run at once; at least 1, since clusters grow on demand."""
        import ray

        resources = ray.cluster_resources()
        slots = int(resources.get("CPU", 0) // self.threads)
        if self._gpus():
            slots = min(slots, int(resources["GPU"]))
        return max(1, slots if self.jobs is None else min(slots, self.jobs))


def execution_options(address: str | None, jobs: int | None, threads: int) -> dict[str, Any]:
    """Return options of `hinged.lab.runs.compare.compare` that say where trials are trained.

    Args:
        address: address of a Ray cluster; None for processes on this machine.
        jobs: trials at once; by default one for each core.
        threads: torch threads for each trial.

    Raises:
        ArgumentError: `torchrun` started this process: it is for a single training.

    >>> execution_options(None, 2, 1)
    {'jobs': 2, 'threads': 1, 'cluster': None}
    """
    if torchrun_process().world_size > 1:
        hint = "use torchrun with `hinged train`, for a single training"
        raise errors.ArgumentError(errors.message("hinged", "several trainings by torchrun", hint))
    cluster = None if address is None else RayCluster(address, jobs, threads)
    jobs = jobs or max(1, joblib.cpu_count() // threads)
    return {"jobs": jobs, "threads": threads, "cluster": cluster}


def _call_with_threads(threads: int, call: Callable[..., T], *arguments: Any) -> T:
    torch.set_num_threads(threads)
    return call(*arguments)
