"""Sentences that supplement the answer of a study, each computed from its record.

A row of a record is one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hinged.lab.study.measure_words import measure_of
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.rivals import against_baseline, best_activations, rows_in_same_setting
from hinged.lab.study.width_saving import width_saving_sentence
from hinged.lab.study.wording import (
    activation_words,
    axis_words,
    join,
    noun_of,
    number_word,
    setting_words,
)

_TUNED = ("training.lr", "curves.hinges")
"""Settings whose best value answers a question."""

_MOST_SETTINGS = 6
"""Largest number of settings for which a sentence names the best values."""


def supplements(record: StudyRecord, has_verdict: bool) -> list[str]:
    """Return sentences that supplement the answer of a record.

    Args:
        record: the record of the study.
        has_verdict: whether the record has enough seeds for a verdict.
    """
    saving = width_saving_sentence(record)
    if saving is not None and not has_verdict:
        saving += " This, too, comes from too few seeds for a verdict."
    sentences = [
        saving,
        *best_values(record),
        best_activation_sentence(record),
        advice_sentence(record),
        "" if measure_of(record) == "step_ms" else _times_sentence(record),
    ]
    return [sentence for sentence in sentences if sentence]


def levels_sentence(record: StudyRecord) -> str:
    """Return a sentence about what was measured of each activation.

    It is about the dead units, or about the times of a step. For other measures it is empty.
    """
    if measure_of(record) == "dead":
        return f"Units that are dead at the end of training: {_dead_units(record)}."
    return _times_sentence(record) if measure_of(record) == "step_ms" else ""


def best_values(record: StudyRecord) -> list[str]:
    """Return a sentence about the value of a tuned setting at which each activation is best.

    The list is empty if the study tunes no setting, or does not compare scores.
    """
    axis = next((a for row in record.rows for a in row.point if a in _TUNED), None)
    if axis is None or measure_of(record) != "score":
        return []
    best: dict[tuple[str, str], RecordRow] = {}
    for row in record.rows:
        if axis in row.point and row.mean is not None:
            key = (setting_words(record, row, without=axis), row.activation)
            if key not in best or row.mean > (best[key].mean or 0.0):
                best[key] = row
    names: dict[str, dict[str, list[str]]] = {}
    for (where, activation), row in best.items():
        at_value = names.setdefault(where, {}).setdefault(f"{row.point[axis]:g}", [])
        at_value.append(activation_words(activation))
    if len(names) > _MOST_SETTINGS:
        return []
    several = len({activation for _, activation in best}) > 1
    parts = [
        f"{f'{where}: ' if where else ''}"
        + ", ".join(f"{v} for {join(who)}" if several else v for v, who in values.items())
        for where, values in names.items()
    ]
    return [f"The {axis_words(axis)} with the best mean, without a test: {'; '.join(parts)}."]


def best_activation_sentence(record: StudyRecord) -> str:
    """Return a sentence about how often each activation has the best mean.

    The sentence is empty for records that do not compare scores of at least three activations.
    """
    groups = best_activations(record)
    if measure_of(record) not in ("score", "log_error") or not groups:
        return ""
    counts = Counter(_best_of(group) for group in groups)
    noun = noun_of(record, [row for group in groups for row in group if row.activation == "hinged"])
    of = len({row.activation for group in groups for row in group})
    wins = sorted(counts.items(), key=lambda item: -item[1])
    said = [f"{name} {noun.preposition} {count}" for name, count in wins]
    return (
        f"By the means alone, without a test, the best of the {number_word(of)} activations is "
        f"{join(said)} of {len(groups)} {noun.singular if len(groups) == 1 else noun.plural}."
    )


def _best_of(group: Sequence[RecordRow]) -> str:
    """Return the activation with the best mean, or those that share it. The best come first."""
    best = [activation_words(row.activation) for row in group if row.mean == group[0].mean]
    return join(best) + " together" * (len(best) > 1)


def advice_sentence(record: StudyRecord) -> str:
    """Return a sentence about whether `hinged.diagnose` finds the configurations that are worse.

    The sentence is empty if curves are not the baseline, or if no configuration is worse.
    """
    worse = [each.row for each in against_baseline(record).worse if each.row.activation == "hinged"]
    if record.baseline != "hinged" or not worse or not any(row.advice for row in record.rows):
        return ""
    warned = [row for row in worse if max(row.advice.values(), default=0) == 1]
    return (
        f"`hinged.diagnose` finds a sign of a problem in every training of {len(warned)} of the "
        f"{len(worse)} configurations of curves that are worse."
    )


def _times_sentence(record: StudyRecord) -> str:
    """Return a sentence about the times of a training step, relative to the baseline."""
    ratios: dict[str, list[float]] = {"hinged": []}
    for row in record.rows:
        if row.versus is None or row.step_ratio is None:
            continue
        if row.versus.label in [other.title for other in rows_in_same_setting(record, row)]:
            ratios.setdefault(row.activation, []).append(row.step_ratio)
    if record.baseline == "hinged" or not ratios["hinged"]:
        return ""
    spans = {
        activation_words(name): _span([f"{ratio:.2f}" for ratio in (min(each), max(each))])
        for name, each in ratios.items()
        if name == "hinged" or measure_of(record) == "step_ms"
    }
    (ours, span), *others = spans.items()
    times = join([f"{span} times as long with {ours}", *(f"{s} with {n}" for n, s in others)])
    return f"Relative to {activation_words(record.baseline)}, a training step takes {times}."


def _dead_units(record: StudyRecord) -> str:
    none, some = [], []
    for name, rows in _by_activation(record).items():
        shares = [100 * row.mean for row in rows if row.mean is not None]
        if shares and max(shares) == 0:
            none.append(activation_words(name))
        elif shares:
            ends = [f"{share:.1f}" for share in (min(shares), max(shares))]
            some.append(f"{_span(ends)} % with {activation_words(name)}")
    return "; ".join(some + ([f"none with {join(none)}"] if none else []))


def _by_activation(record: StudyRecord) -> dict[str, list[RecordRow]]:
    groups: dict[str, list[RecordRow]] = {}
    for row in record.rows:
        groups.setdefault(row.activation, []).append(row)
    return groups


def _span(ends: Sequence[str]) -> str:
    first, last = ends
    return first if first == last else f"{first} to {last}"
