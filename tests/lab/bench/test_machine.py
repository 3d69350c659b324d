import subprocess
import sys
import time

import pytest

from hinged.lab.bench.machine import OthersMeter, load


def test_a_busy_neighbour_is_seen_and_own_work_is_not_counted():
    meter = OthersMeter()
    if meter.cores() is None:
        pytest.skip("this system does not tell")
    spin = "while True: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", spin])
    try:
        meter = OthersMeter()
        time.sleep(1.0)
        assert meter.cores() > 0.3
    finally:
        neighbour.kill()
        neighbour.wait()


def stat(path, user, idle):
    path.write_text(f"cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")


def test_the_counters_are_read_as_the_system_writes_them(tmp_path):
    path = tmp_path / "stat"
    stat(path, user=1000, idle=5000)
    meter = OthersMeter(path)
    time.sleep(0.2)
    stat(path, user=1000, idle=9000)
    assert meter.cores() == 0.0
    stat(path, user=2000, idle=9000)
    assert meter.cores() > 5


def test_a_system_that_does_not_tell_is_no_error(tmp_path):
    assert OthersMeter(tmp_path / "none").cores() is None
    assert load() is None or load() >= 0
