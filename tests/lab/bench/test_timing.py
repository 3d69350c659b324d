import contextlib
import gc
import math
from collections import Counter

import pytest

from hinged.lab.bench.timing import (
    Quartiles,
    quartiles,
    ratio_quartiles,
    round_orders,
    time_interleaved,
)
from hinged.lab.training.stopwatch import Stopwatch


class Machine:
    """A clock that advances only during calls, and the order of the calls."""

    def __init__(self):
        self.nanoseconds, self.calls = 0, []

    def call(self, name, seconds):
        def run():
            self.calls.append(name)
            self.nanoseconds += int(seconds * 1e9)

        return run

    @property
    def stopwatch(self):
        return Stopwatch(gpu=False, clock=lambda: self.nanoseconds)


def test_every_round_times_every_call_once_and_the_order_changes():
    machine = Machine()
    calls = {name: machine.call(name, 1) for name in "abc"}
    time_interleaved(calls, 6, stopwatch=machine.stopwatch)
    warm_up, measured = machine.calls[:6], machine.calls[6:]
    assert warm_up == list("aabbcc")
    rounds = [measured[start : start + 3] for start in range(0, 18, 3)]
    assert all(sorted(order) == list("abc") for order in rounds)
    assert ["".join(order) for order in rounds] == ["abc", "cba", "bca", "acb", "cab", "bac"]


def test_no_call_is_first_more_often_or_always_follows_the_same_call():
    orders = list(round_orders("abcd", 8))
    assert set(Counter(order[0] for order in orders).values()) == {2}
    before_b = {order[order.index("b") - 1] for order in orders if order[0] != "b"}
    assert before_b == {"a", "c"}


def test_known_durations_give_their_ratio():
    machine = Machine()
    calls = {"one": machine.call("one", 0.01), "three": machine.call("three", 0.03)}
    seconds = time_interleaved(calls, 4, stopwatch=machine.stopwatch)
    assert seconds == {"one": [0.01] * 4, "three": [0.03] * 4}
    assert ratio_quartiles(seconds["three"], seconds["one"]) == pytest.approx((3, 3, 3))


def test_short_calls_are_repeated_within_a_measurement():
    machine = Machine()
    calls = {"short": machine.call("short", 1e-4), "long": machine.call("long", 1.0)}
    seconds = time_interleaved(calls, 1, stopwatch=machine.stopwatch, shortest=1e-3)
    counts = Counter(machine.calls)
    # Two calls before the rounds, one untimed call of the short one, then the timed calls.
    assert counts == {"short": 2 + 1 + 10, "long": 2 + 1}
    assert seconds["short"] == pytest.approx([1e-4])


def test_a_short_call_runs_once_untimed_before_it_is_timed():
    machine = Machine()
    cold = {"a": 0.0}

    def disturb():
        machine.call("b", 0.001)()
        cold["a"] = 0.01

    def sensitive():
        machine.call("a", 0.001 + cold["a"])()
        cold["a"] = 0.0

    seconds = time_interleaved({"a": sensitive, "b": disturb}, 4, stopwatch=machine.stopwatch)
    assert seconds["a"] == pytest.approx([0.001] * 4)


def test_the_limit_ends_a_case_but_not_before_the_minimum_of_rounds():
    machine = Machine()
    calls = {"slow": machine.call("slow", 1.0)}
    limited = time_interleaved(calls, 50, stopwatch=machine.stopwatch, limit=8.0)
    assert len(limited["slow"]) == 8
    least = time_interleaved(calls, 50, stopwatch=machine.stopwatch, limit=0.0, min_rounds=3)
    assert len(least["slow"]) == 3


def test_each_call_runs_in_its_own_context_without_garbage_collection():
    entered, enabled = [], []

    @contextlib.contextmanager
    def context(name):
        entered.append(name)
        yield
        entered.append(f"{name} left")

    calls = {"a": lambda: enabled.append(gc.isenabled()), "b": lambda: None}
    time_interleaved(calls, 1, stopwatch=Stopwatch(gpu=False), shortest=0, context=context)
    assert entered[-4:] == ["a", "a left", "b", "b left"]
    assert enabled[-1] is False and gc.isenabled()


def test_quartiles_of_few_numbers():
    assert quartiles([2.0]) == Quartiles(2.0, 2.0, 2.0)
    assert math.isnan(quartiles([]).median)
