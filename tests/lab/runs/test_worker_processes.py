import multiprocessing
import os
import signal
import threading
import time

import pytest
import torch

from hinged import errors
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.runs.worker_processes import call_in_processes, send_message, visible_gpus


def variable(name):
    return os.environ.get(name)


def variable_later(name):
    time.sleep(1)  # Long enough that each worker takes one call.
    return os.environ.get(name)


@pytest.mark.slow
def test_workers_have_the_present_environment_of_their_parent(monkeypatch):
    for value in ("first", "second"):  # The fork server starts with the first one.
        monkeypatch.setenv("HINGED_TEST", value)
        assert list(call_in_processes(variable, [("HINGED_TEST",)] * 2, 2, 1)) == [value] * 2


def send_numbers(name, count):
    for number in range(count):
        send_message((name, number))
    return name


@pytest.mark.slow
def test_messages_of_workers_arrive_before_the_end_of_their_calls():
    heard, ended = [], []
    calls = [("a", 3), ("b", 200), ("c", 0)]
    for name in call_in_processes(send_numbers, calls, 2, 1, heard.append):
        ended.append(name)
        assert [n for who, n in heard if who == name] == list(range(dict(calls)[name]))
    assert sorted(ended) == ["a", "b", "c"] and len(heard) == 203


def test_a_message_outside_of_a_worker_goes_nowhere():
    send_message("nobody listens")


@pytest.fixture
def gpus(monkeypatch):
    """Three GPUs, of which the user lets this process see two."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")


@pytest.mark.usefixtures("gpus")
def test_without_another_wish_there_is_one_training_for_each_gpu():
    assert visible_gpus() == ["0", "2"]
    assert execution_options(None, None, 1)["jobs"] == 2
    assert execution_options(None, 3, 1)["jobs"] == 3


def test_gpus_are_numbered_if_the_user_selects_none(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert visible_gpus() == ["0", "1", "2"]


@pytest.mark.slow
@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("jobs", "expected"), [(2, ["0", "2"]), (3, ["0", "0", "2"])])
def test_each_worker_sees_one_gpu(jobs, expected):
    calls = [("CUDA_VISIBLE_DEVICES",)] * jobs
    assert sorted(call_in_processes(variable_later, calls, jobs, 1)) == expected


def end_without_a_result():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_is_an_error_that_says_what_to_do():
    before = set(multiprocessing.active_children())
    with pytest.raises(
        errors.WorkerError, match="Run the same command again with a smaller `jobs`"
    ):
        list(call_in_processes(end_without_a_result, [()] * 3, 2, 1))
    assert set(multiprocessing.active_children()) <= before


def ignore_termination(path):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path.touch()
    time.sleep(600)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_workers_that_ignore_the_signal_to_terminate(tmp_path):
    """Lightning catches this signal during a training."""
    paths = [tmp_path / "first", tmp_path / "second"]

    def interrupt():
        while not all(path.exists() for path in paths):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = set(multiprocessing.active_children())
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        list(call_in_processes(ignore_termination, [(path,) for path in paths], 2, 1))
    assert set(multiprocessing.active_children()) <= before
