"""Batches of random numbers for hypothesis, and helpers to compare statistics of them."""

import functools

import torch
from hypothesis import strategies as st

magnitudes = st.floats(2.0**-40, 2.0**40, width=32)
numbers = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda m: -m))


@st.composite
def batches(draw, channels=2):
    """Up to five batches of up to seven rows; at least one number in all, but empty ones too."""
    sizes = draw(st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any))
    row = st.lists(numbers, min_size=channels, max_size=channels)
    return [
        torch.tensor(draw(st.lists(row, min_size=n, max_size=n))).reshape(n, channels)
        for n in sizes
    ]


def merged(statistics):
    return functools.reduce(lambda first, second: first.merge(second), statistics)


def same(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in vars(first))
