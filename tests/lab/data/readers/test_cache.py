import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from hinged import errors
from hinged.lab.data.readers.cache import cache_folder, cached_arrays


def make(log):
    with log.open("a") as file:
        file.write("made\n")
    return {"a": np.arange(10**6), "b": np.eye(3)}


def ask(log, cache_home=None):
    if cache_home:  # A fork server may have been started with another one.
        os.environ["XDG_CACHE_HOME"] = cache_home
    return int(cached_arrays("key", lambda: make(log))["a"].sum())


def test_made_once_and_mapped(tmp_path):
    for _ in range(2):
        arrays = cached_arrays("key", lambda: make(tmp_path / "log"))
        assert isinstance(arrays["a"], np.memmap)
        np.testing.assert_array_equal(arrays["b"], np.eye(3))
    assert (tmp_path / "log").read_text() == "made\n"


@pytest.mark.slow
def test_two_processes_at_once_make_it_once(tmp_path):
    context = multiprocessing.get_context("forkserver")  # Imports once for both processes.
    context.set_forkserver_preload(["hinged.lab.data.readers.cache"])
    with ProcessPoolExecutor(2, context) as pool:
        homes = [os.environ["XDG_CACHE_HOME"]] * 4
        sums = list(pool.map(ask, [tmp_path / "log"] * 4, homes))
    assert set(sums) == {499999500000}
    assert (tmp_path / "log").read_text() == "made\n"


def test_what_a_killed_process_left_is_removed(tmp_path):
    partial = cache_folder() / "decoded" / "key.partial"
    partial.mkdir(parents=True)
    (partial / "a.npy").write_bytes(b"half")
    assert ask(tmp_path / "log") == 499999500000
    assert not partial.exists()


def test_a_failure_leaves_nothing():
    with pytest.raises(ZeroDivisionError):
        cached_arrays("key", lambda: {"a": np.arange(1 / 0)})
    assert not (cache_folder() / "decoded" / "key").exists()


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(errors.DataError, match=r"cannot be written .*variable XDG_CACHE_HOME"):
        cached_arrays("key", lambda: {})
