"""When, with which versions and on which machine results were measured, as a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_TITLES = {"python": "Python"}


def origin_text(
    facts: Mapping[str, str],
    packages: Sequence[str] = ("torch", "python"),
    *,
    made: str = "",
    commits: Sequence[str] = (),
) -> str:
    """Return when, with which versions and on which machine results were measured.

    Args:
        facts: versions, commit and machine, as `hinged.installation` describes them.
        packages: the packages whose versions are named.
        made: the date of the record. It is left out if it is empty.
        commits: the commits at which the results were measured. Without them, that of `facts`.

    >>> facts = {"commit": "1a2b", "torch": "2.13.0", "processor": "AMD", "cores": "2"}
    >>> origin_text(facts, ["torch"], made="2026-12-01")
    'on 2026-12-01 at commit 1a2b with torch 2.13.0, on AMD, 2 cores'
    """
    versions = ", ".join(
        f"{_TITLES.get(name, name).replace('_', ' ')} {facts[name]}" for name in packages
    )
    date = f"on {made} " if made else ""
    return (
        f"{date}at commit {', '.join(commits or [facts['commit']])} with {versions}, "
        f"on {facts['processor']}, {facts['cores']} cores"
    )
