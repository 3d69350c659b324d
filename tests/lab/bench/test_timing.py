import gc
import math
from collections import Counter

import pytest

from hinged.lab.bench.timing import Spread, Stopwatch, interleave, orders, ratios, spread


class Machine:
    """A clock that only the calls move, and the order they were made in."""

    def __init__(self):
        self.nanoseconds, self.calls = 0, []

    def call(self, name, seconds):
        def run():
            self.calls.append(name)
            self.nanoseconds += int(seconds * 1e9)

        return run

    @property
    def watch(self):
        return Stopwatch(lambda: self.nanoseconds)


def test_every_round_times_everybody_once_in_an_order_that_moves_on():
    machine = Machine()
    calls = {name: machine.call(name, 1) for name in "abc"}
    interleave(calls, 6, watch=machine.watch)
    warm, measured = machine.calls[:6], machine.calls[6:]
    assert warm == list("aabbcc")
    rounds = [measured[start : start + 3] for start in range(0, 18, 3)]
    assert all(sorted(order) == list("abc") for order in rounds)
    assert ["".join(order) for order in rounds] == ["abc", "cba", "bca", "acb", "cab", "bac"]


def test_nobody_is_first_more_often_or_always_follows_the_same_one():
    every = list(orders("abcd", 8))
    assert set(Counter(order[0] for order in every).values()) == {2}
    before_b = {order[order.index("b") - 1] for order in every if order[0] != "b"}
    assert before_b == {"a", "c"}


def test_known_durations_give_their_ratio():
    machine = Machine()
    calls = {"one": machine.call("one", 0.01), "three": machine.call("three", 0.03)}
    seconds = interleave(calls, 4, watch=machine.watch)
    assert seconds == {"one": [0.01] * 4, "three": [0.03] * 4}
    assert ratios(seconds["three"], seconds["one"]) == pytest.approx((3, 3, 3))


def test_short_calls_are_repeated_until_a_measurement_lasts():
    machine = Machine()
    calls = {"short": machine.call("short", 1e-4), "long": machine.call("long", 1.0)}
    seconds = interleave(calls, 1, watch=machine.watch, shortest=1e-3)
    counts = Counter(machine.calls)
    # Two to warm up, one to settle, and what is timed.
    assert counts == {"short": 2 + 1 + 10, "long": 2 + 1}
    assert seconds["short"] == pytest.approx([1e-4])


def test_a_short_call_settles_before_it_is_timed():
    machine = Machine()
    cold = {"a": 0.0}

    def disturb():
        machine.call("b", 0.001)()
        cold["a"] = 0.01

    def sensitive():
        machine.call("a", 0.001 + cold["a"])()
        cold["a"] = 0.0

    seconds = interleave({"a": sensitive, "b": disturb}, 4, watch=machine.watch)
    assert seconds["a"] == pytest.approx([0.001] * 4)


def test_the_limit_ends_a_case_but_not_before_the_least_rounds():
    machine = Machine()
    calls = {"slow": machine.call("slow", 1.0)}
    assert len(interleave(calls, 50, watch=machine.watch, limit=8.0)["slow"]) == 8
    assert len(interleave(calls, 50, watch=machine.watch, limit=0.0, least=3)["slow"]) == 3


def test_a_real_clock_sees_a_real_difference():
    import time

    calls = {"one": lambda: time.sleep(0.004), "four": lambda: time.sleep(0.016)}
    seconds = interleave(calls, 7, watch=Stopwatch())
    assert ratios(seconds["four"], seconds["one"]).median == pytest.approx(4, rel=0.35)


def test_each_call_runs_in_its_own_context_and_without_the_collector():
    machine, seen = Machine(), []

    class Context:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(self.name)

        def __exit__(self, *_):
            seen.append(f"{self.name} left")

    enabled = []
    calls = {"a": lambda: enabled.append(gc.isenabled()), "b": machine.call("b", 1)}
    interleave(calls, 1, watch=Stopwatch(), shortest=0, around=Context)
    assert seen[-4:] == ["a", "a left", "b", "b left"]
    assert enabled[-1] is False and gc.isenabled()


def test_spreads_of_few_numbers():
    assert spread([2.0]) == Spread(2.0, 2.0, 2.0)
    assert math.isnan(spread([]).median)
