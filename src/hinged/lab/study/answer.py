"""The answer of a record to the question of its study, in plain words.

All sentences are computed from the figures of the record. A row of a record is one activation in
one cell (one combination of the study's settings).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hinged.lab.reporting.significance import FEWEST_SEEDS
from hinged.lab.study.definition import YesIf
from hinged.lab.study.measure_words import mean_differences, signed_range, words_for
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.rivals import (
    Difference,
    Rivalry,
    against_baseline,
    against_others,
)
from hinged.lab.study.supplements import levels_sentence, supplements
from hinged.lab.study.wording import (
    CONFIGURATIONS,
    Noun,
    activation_words,
    counted,
    experiment_of,
    join,
    noun_of,
    number_word,
    reference_words,
    setting_words,
)

_MOST_NAMED = 3
"""Largest number of settings that a sentence lists by name."""


class Answer(NamedTuple):
    """The answer to the question of a study.

    Attributes:
        verdict: `Yes`, `No`, `In part`, `Not shown` or `No verdict`; empty if the question cannot
            be answered so.
        lead: the answer in one or two sentences, without the verdict.
        more: further sentences: what else the figures say about the question.
    """

    verdict: str
    lead: str
    more: list[str]

    @property
    def text(self) -> str:
        """Return the verdict, if there is one, and the lead."""
        return f"{self.verdict}. {self.lead}" if self.verdict else self.lead


def answer(record: StudyRecord, yes_if: YesIf | None = None) -> Answer:
    """Return the answer of a record to the question of its study.

    If the question can be answered with Yes or No, the verdict is `Yes`, `No`, `In part` or
    `Not shown`. The last means that no difference is significant, in either direction. A difference
    counts if it is significant at the 5 % level after Holm's correction. Fewer than five seeds
    never give a verdict. The verdict is not `Yes` if curves diverged or a comparison is missing.

    Args:
        record: the record of the study.
        yes_if: what the study must show for the answer Yes; None for other questions.
    """
    rivalry = against_baseline(record)
    left_out = _left_out(record, rivalry)
    if not rivalry.differences:
        return Answer("", " ".join(["Nothing has been compared yet.", *left_out]), [])
    if len(rivalry.few) == len(rivalry.differences):
        lead = " ".join([_too_few_seeds(record, rivalry), *left_out])
        return Answer("No verdict", lead, supplements(record, has_verdict=False))
    names = yes_if.than if yes_if is not None else ()
    others = against_others(record, names)
    main = (
        _compare_configurations(record, rivalry)
        if record.baseline == "hinged"
        else _compare_curves(record, rivalry)
    )
    verdict = "" if yes_if is None else _verdict(yes_if, record, [rivalry, *others])
    parts = [levels_sentence(record), main, _compare_others(others), *left_out]
    lead = " ".join(part for part in parts if part)
    return Answer(verdict, lead, supplements(record, has_verdict=True))


def _verdict(yes_if: YesIf, record: StudyRecord, rivalries: Sequence[Rivalry]) -> str:
    asked = yes_if.than or (record.baseline,)
    found = [each for each in rivalries if each.rival in asked]
    wins = [each.better if yes_if.curves_are == "better" else each.worse for each in found]
    losses = [each.worse if yes_if.curves_are == "better" else each.better for each in found]
    complete = all(len(won) == each.settings for won, each in zip(wins, found, strict=True))
    if complete and len(found) == len(asked) and not (_count_diverged(record) or record.missing):
        return "Yes"
    if any(wins):
        return "In part"
    return "No" if any(losses) else "Not shown"


def _compare_curves(record: StudyRecord, rivalry: Rivalry) -> str:
    """Return a sentence that compares curves with the baseline."""
    noun, words = noun_of(record, [each.row for each in rivalry.differences]), words_for(record)
    reference = reference_words(record, [each.row for each in rivalry.differences])
    whole = rivalry.settings
    if not rivalry.better and not rivalry.worse:
        return _no_difference(record, rivalry, noun, reference)
    clauses = []
    for subject, verb, found in (
        ("Curves", words.better, rivalry.better),
        ("They" if rivalry.better else "Curves", words.worse, rivalry.worse),
    ):
        if found:
            share = noun.share(len(found), whole)
            amount = words.amount([abs(each.mean) for each in found])
            named = _name(record, found, whole)
            clauses.append(f"{subject} {verb} {reference}{share}{named}, by {amount}")
    rest = _rest(record, rivalry, noun.preposition)
    return f"{'. '.join(clauses)}{rest} {_evidence(record, rivalry)}."


def _compare_configurations(record: StudyRecord, rivalry: Rivalry) -> str:
    """Return a sentence that compares other configurations with curves, which are the baseline."""
    reference = reference_words(record, [each.row for each in rivalry.differences])
    if not rivalry.better and not rivalry.worse:
        return _no_difference(record, rivalry, CONFIGURATIONS, reference)
    whole, words = rivalry.settings, words_for(record)
    clauses = []
    for adjective, found in (("worse", rivalry.worse), ("better", rivalry.better)):
        if found:
            verb = "is" if len(found) == 1 else "are"
            amount = words.amount([abs(each.mean) for each in found])
            named = _name_rows(record, found)
            count = f"{len(found)} of {whole} configurations {verb}"
            clauses.append(f"{count} {adjective}, by {amount}{named}")
        else:
            clauses.append(f"none is {adjective}")
    text = f"Compared with {reference}, {'; '.join(clauses)}"
    return f"{text}{_rest(record, rivalry, 'for')} {_evidence(record, rivalry)}."


def _no_difference(record: StudyRecord, rivalry: Rivalry, noun: Noun, reference: str) -> str:
    whole = len(rivalry.undecided)
    between = f"between curves and {reference}{noun.any_of(whole)}"
    if record.baseline == "hinged":
        between = f"between {reference} and {noun.any_other(whole)}"
    return (
        f"These {_seeds(record, rivalry)} show no significant difference {between} (5 % level, "
        f"after correction for {counted(rivalry.tests, 'comparison')}{_few(rivalry)}). "
        f"{_means(record, rivalry.undecided)}"
    )


def _means(record: StudyRecord, differences: Sequence[Difference]) -> str:
    """Return a sentence about the range of mean differences.

    If the rows are other configurations of curves, those with the extreme means are named.
    """
    ordered = sorted(differences, key=lambda each: each.mean)
    if record.baseline != "hinged" or len(ordered) < 2:
        return mean_differences(record, [each.mean for each in ordered])
    first, last = (
        f"{signed_range(record, [each.mean])} ({_configuration(record, each)})"
        for each in (ordered[0], ordered[-1])
    )
    return f"Mean differences in {record.measure}: {first} to {last}."


def _compare_others(rivalries: Sequence[Rivalry]) -> str:
    """Return sentences that compare curves with other activations than the baseline."""
    if not rivalries:
        return ""
    wins = join(
        [
            f"{activation_words(each.rival)} in {len(each.better)} of {each.settings}"
            for each in rivalries
        ]
    )
    losses = [
        f"{activation_words(each.rival)} in {len(each.worse)} of {each.settings}"
        for each in rivalries
        if each.worse
    ]
    worse = f"; they are worse than {join(losses)}" if losses else ""
    tests = counted(rivalries[0].tests, "comparison")
    return f"They beat {wins}{worse} (after correction for {tests})."


def _too_few_seeds(record: StudyRecord, rivalry: Rivalry) -> str:
    noun = noun_of(record, [each.row for each in rivalry.differences])
    reference = reference_words(record, [each.row for each in rivalry.differences])
    ahead = noun.share(sum(each.is_better for each in rivalry.differences), rivalry.settings)
    who = "curves" if record.baseline != "hinged" else "other configurations"
    means = f"On average, {who} {words_for(record).ahead} {reference}{ahead}. " if ahead else ""
    return (
        f"{_seeds(record, rivalry)} are too few; at least {number_word(FEWEST_SEEDS)} are needed. "
        f"{means}{_means(record, rivalry.differences)}"
    )


def _rest(record: StudyRecord, rivalry: Rivalry, where: str) -> str:
    """Return a clause about the comparisons without a verdict, with the separator before it.

    Args:
        record: the record of the study.
        rivalry: the comparisons.
        where: what precedes `the other three`, for example `in` or `for`.
    """
    if not rivalry.undecided:
        return _few(rivalry)
    count = len(rivalry.undecided)
    spread = signed_range(record, [each.mean for each in rivalry.undecided])
    others = "the other" if count == 1 else f"the other {number_word(count)}"
    if rivalry.few or rivalry.left_out:
        others = "another" if count == 1 else f"{number_word(count)} others"
    verb = "the difference is not" if count == 1 else "no difference is"
    return f"; {where} {others}, {verb} significant: {spread}{_few(rivalry)}"


def _few(rivalry: Rivalry) -> str:
    """Return a clause about the comparisons with too few seeds, with the separator before it."""
    if not rivalry.few:
        return ""
    return f"; {number_word(len(rivalry.few))} with fewer than {FEWEST_SEEDS} seeds left out"


def _left_out(record: StudyRecord, rivalry: Rivalry) -> list[str]:
    """Return sentences about trainings that the comparisons lack."""
    sentences, diverged = [], _count_diverged(record)
    if rivalry.left_out and rivalry.differences:
        sentences.append(f"Of {rivalry.settings} comparisons, {rivalry.left_out} cannot be made.")
    if diverged:
        sentences.append(f"{counted(diverged, 'training')} of curves diverged.")
    if record.missing:
        verb = "is" if record.missing == 1 else "are"
        missing = f"{counted(record.missing, 'training')} {verb} missing"
        sentences.append(f"{missing}, so this answer can change.")
    return sentences


def _count_diverged(record: StudyRecord) -> int:
    return sum(len(row.diverged) for row in record.rows if row.activation == "hinged")


def _evidence(record: StudyRecord, rivalry: Rivalry) -> str:
    decided = len(rivalry.better) + len(rivalry.worse)
    all_hold = decided == rivalry.settings
    holds = "every difference holds" if all_hold else "significant at the 5 % level"
    tests = counted(rivalry.tests, "comparison")
    return f"({_seeds(record, rivalry)} each; {holds} after correction for {tests})"


def _seeds(record: StudyRecord, rivalry: Rivalry) -> str:
    low, high = rivalry.pairs
    folds = all(experiment_of(record, cell).folds is not None for cell in record.cells)
    number = f"{low}" if low == high else f"{low} to {high}"
    return f"{number} {'folds' if folds else 'seeds'}"


def _name(record: StudyRecord, found: Sequence[Difference], whole: int) -> str:
    if len(found) == whole or len(found) > _MOST_NAMED:
        return ""
    return f" ({'; '.join(setting_words(record, each.row) for each in found)})"


def _name_rows(record: StudyRecord, found: Sequence[Difference]) -> str:
    """Return the names of configurations in parentheses. Those of curves need no activation."""
    if not 0 < len(found) <= _MOST_NAMED + 2:
        return ""
    return f" ({'; '.join(_configuration(record, each) for each in found)})"


def _configuration(record: StudyRecord, difference: Difference) -> str:
    """Return the settings of a configuration. If it is not one of curves, its activation too."""
    setting = setting_words(record, difference.row)
    if difference.row.activation == "hinged" and setting:
        return setting
    activation = activation_words(difference.row.activation)
    return f"{activation}, {setting}" if setting else activation
