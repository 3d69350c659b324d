import os
import subprocess
import sys
import time

import pytest

from hinged.lab.bench import machine_load
from hinged.lab.bench.machine_load import OtherProcessesMeter, load_average


class Clock:
    """A fake clock and fake CPU times of this process."""

    def __init__(self, monkeypatch):
        self.seconds, self.own = 0.0, 0.0
        monkeypatch.setattr(machine_load.time, "monotonic", lambda: self.seconds)
        monkeypatch.setattr(machine_load.os, "times", lambda: (self.own, 0.0, 0.0, 0.0, 0.0))


def write_stat(path, user, idle):
    path.write_text(f"cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_busy_time_of_other_processes_is_counted(tmp_path, clock):
    path, ticks = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    write_stat(path, user=10 * ticks, idle=50 * ticks)
    meter = OtherProcessesMeter(path)
    clock.seconds = 10.0
    write_stat(path, user=10 * ticks, idle=90 * ticks)
    assert meter.busy_cores() == 0.0
    write_stat(path, user=35 * ticks, idle=90 * ticks)
    assert meter.busy_cores() == 2.5


def test_cpu_time_of_this_process_is_not_counted(tmp_path, clock):
    path, ticks = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    write_stat(path, user=0, idle=0)
    meter = OtherProcessesMeter(path)
    clock.seconds, clock.own = 10.0, 8.0
    write_stat(path, user=13 * ticks, idle=0)
    assert meter.busy_cores() == 0.5


BURN = """
import time
while time.process_time() < 0.5:
    pass
print("burnt", flush=True)
input()
"""


def test_cpu_time_of_a_real_process_is_counted():
    meter, started = OtherProcessesMeter(), time.monotonic()
    if meter.busy_cores() is None:
        pytest.skip("this system has no /proc/stat")
    other = subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout.readline() == b"burnt\n"
        busy = meter.busy_cores()
        other.stdin.write(b"\n")
    assert busy * (time.monotonic() - started) > 0.4


def test_a_system_without_counters_is_no_error(tmp_path):
    assert OtherProcessesMeter(tmp_path / "none").busy_cores() is None


def test_the_load_average_is_none_or_a_number():
    load = load_average()
    assert load is None or load >= 0
