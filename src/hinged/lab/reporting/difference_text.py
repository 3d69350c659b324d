"""The text of a difference of paired scores in a table in Markdown."""

from __future__ import annotations

from hinged.lab.reporting.significance import PairedTest


def decimals_of(largest: float) -> int:
    """Return how many decimals are shown of numbers of which this is the largest."""
    return 4 if abs(largest) < 10 else 2


def difference_text(test: PairedTest | None, level: float) -> str:
    """Return the mean difference, its 95 % interval and the p-value; bold if it is significant.

    Args:
        test: the test of the difference. The text is empty if there is none.
        level: the difference is significant if its p-value is below this.

    >>> from hinged.lab.reporting.significance import Interval
    >>> difference_text(PairedTest(Interval(0.02, 0.01, 0.03), p=0.004, pairs=10), 0.05)
    '**+0.0200 [+0.0100, +0.0300], p = 0.004**'
    >>> difference_text(PairedTest(Interval(5.0, -12.0, 22.0), p=0.5, pairs=10), 0.05)
    '+5.00 [-12.00, +22.00], p = 0.5'
    """
    if test is None:
        return ""
    decimals = decimals_of(max(map(abs, test.difference)))
    mean, low, high = (f"{each:+.{decimals}f}" for each in test.difference)
    text = f"{mean} [{low}, {high}], p = {test.p:.2g}"
    return f"**{text}**" if test.p < level else text
