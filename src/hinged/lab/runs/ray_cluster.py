"""Calls on the machines of a Ray cluster. Needs the extra: `pip install 'hinged[ray]'`."""

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
from hinged.lab.experiment.ranks import ranks

K = TypeVar("K")
T = TypeVar("T")

LOCAL = "local"
_RETRIES = 3


class Cluster:
    """A Ray cluster, connected to for as long as a `with` block lasts.

    The workers need this library, in the versions of this machine; what a call is given is sent
    there, and what it returns is sent back, so that no folder is shared.

    Args:
        address: `HOST:PORT` or `ray://HOST:PORT` of a cluster, `auto` for the one that this machine
            belongs to, or `local` to start one here that ends with the block. Where this process is
            connected already, to that cluster and for longer than the block.
        jobs: calls at once; by default as many as there are CPUs for, and GPUs where there are any.
        threads: CPUs of each call, and torch's threads in it. Where the cluster has GPUs, a call
            has one of them to itself.
    """

    def __init__(self, address: str, jobs: int | None = None, threads: int = 1) -> None:
        self.address, self.jobs, self.threads = address, jobs, threads
        self._ours = False

    def __enter__(self) -> Cluster:
        """Connect.

        Raises:
            MissingExtraError: Ray is not installed.
            ArgumentError: there is no cluster at the address.
        """
        errors.require_extra("ray", ["ray"])
        import ray

        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(
                    self.address, log_to_driver=False, logging_level=logging.ERROR, **self._own()
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                hint = f"give the address of a cluster that runs, or {LOCAL!r} to start one here"
                got = f"{self.address}, where Ray says: {str(error).splitlines()[0].rstrip('.')}"
                raise errors.ArgumentError(errors.message("--ray", got, hint)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect, which ends what still runs."""
        import ray

        if self._ours:
            ray.shutdown()

    def put(self, value: Any) -> Any:
        """Return what stands for a value among arguments; it is sent once to each machine."""
        import ray

        return ray.put(value)

    def map(
        self, call: Callable[..., T], items: Iterable[tuple[K, tuple[Any, ...]]]
    ) -> Generator[tuple[K, Callable[[], T]], None, None]:
        """Call `call(*arguments)` for every `(key, arguments)`, as places become free.

        A call whose worker or machine dies is made again elsewhere, up to 3 times. Closed early, it
        ends the calls that still run.

        Args:
            call: a function of a module that the workers can import.
            items: asked for the next one when there is a place for it.

        Yields:
            The key, and a call that returns the outcome or raises what went wrong, in the order in
            which they are done.
        """
        import ray

        places = {"num_cpus": self.threads, "num_gpus": self._gpus(), "max_retries": _RETRIES}
        remote = ray.remote(_called).options(**places)
        left, running = iter(items), dict[Any, K]()
        try:
            while True:
                for key, arguments in itertools.islice(left, max(0, self._places() - len(running))):
                    running[remote.remote(self.threads, call, *arguments)] = key
                if not running:
                    return
                (done, *_), _ = ray.wait(list(running))
                yield running.pop(done), functools.partial(ray.get, done)
        finally:
            for call_ in running:
                ray.cancel(call_, force=True)

    def _own(self) -> dict[str, Any]:
        """Return the options of a cluster that is started here."""
        if self.address != LOCAL:
            return {}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # It would report to Ray's makers.
        os.environ.setdefault("RAY_worker_niceness", "0")  # Else workers starve beside other work.
        cpus = None if self.jobs is None else self.jobs * self.threads
        return {"include_dashboard": False, "num_cpus": cpus}

    def _gpus(self) -> int:
        import ray

        return 1 if ray.cluster_resources().get("GPU") else 0

    def _places(self) -> int:
        """Return how many calls there is room for, at least 1: clusters grow on demand."""
        import ray

        room = ray.cluster_resources()
        places = int(room.get("CPU", 0) // self.threads)
        if self._gpus():
            places = min(places, int(room["GPU"]))
        return max(1, places if self.jobs is None else min(places, self.jobs))


def where(address: str | None, jobs: int | None, threads: int) -> dict[str, Any]:
    """Return, as options of `hinged.lab.runs.compare.compare`, where trials are done: on a cluster,
    or in `jobs` processes here, by default one for each core.

    Raises:
        ArgumentError: torchrun started this process, which is for one training, not many.

    >>> where(None, 2, 1)
    {'jobs': 2, 'threads': 1, 'cluster': None}
    """
    if ranks().world > 1:
        hint = "use torchrun with `hinged train`; for many trainings give --jobs, or --ray"
        raise errors.ArgumentError(errors.message("hinged", "several trainings by torchrun", hint))
    cluster = None if address is None else Cluster(address, jobs, threads)
    jobs = jobs or max(1, joblib.cpu_count() // threads)
    return {"jobs": jobs, "threads": threads, "cluster": cluster}


def _called(threads: int, call: Callable[..., T], *arguments: Any) -> T:
    torch.set_num_threads(threads)
    return call(*arguments)
