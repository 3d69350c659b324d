"""Sentences that warn of results which prove nothing, although they look like results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hinged.lab.data import DataFacts
from hinged.lab.experiment.schema import Experiment
from hinged.lab.reporting.significance import FEWEST_SEEDS
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training.freezing import EVERYTHING
from hinged.lab.training.travel import describe_still_curves
from hinged.user_code import names_function

FEWEST_TEST_SAMPLES = 30
"""A smaller test split is warned of: one sample then changes an accuracy by more than 3 points."""


def find_warnings(experiment: Experiment, results: Sequence[TrialResult]) -> tuple[str, ...]:
    """Return a sentence for each reason why the results of an experiment may prove nothing.

    Args:
        experiment: the experiment.
        results: the results of its finished trainings.
    """
    if not results:
        return ()
    return (
        *warn_of_scores(experiment, results),
        *_warn_of_divergence(results),
        *_warn_of_missing_predictions(results),
        *_warn_of_few_seeds(experiment, results),
    )


def warn_of_scores(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield a sentence for each reason why scores may mean little, however many seeds there are.

    Args:
        experiment: the experiment.
        results: the results of its finished trainings, at least one.
    """
    yield from results[-1].data_warnings
    results = _add_facts(results)
    yield from _warn_of_no_learning(results)
    yield from _warn_of_equal_scores(experiment, results)
    yield from _warn_of_data(results)
    yield from _warn_of_random_weights(experiment, results)
    yield from _warn_of_still_curves(experiment, results)


def _add_facts(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the results, those of earlier versions with the facts of other results.

    All results of a run are on the same data.
    """
    known = next((each.data_facts for each in results if each.data_facts is not None), None)
    return [
        each.model_copy(update={"data_facts": known}) if each.data_facts is None else each
        for each in results
    ]


def _warn_of_no_learning(results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield a sentence if all networks of an activation, or all networks, are at chance level."""
    facts = results[0].data_facts
    if facts is None or _is_certain(facts):
        return
    groups = _by_activation(results)
    without = [name for name, group in groups.items() if not any(map(_has_learned, group))]
    if not without:
        return
    best = max((r for name in without for r in groups[name]), key=_finite_score)
    state = f"the best {best.metric} is {_format(best.test_score, best.metric)}"
    if not math.isfinite(best.test_score):
        state = "no score is finite"
    who = "No network" if len(without) == len(groups) else f"No network with {' or '.join(without)}"
    chance, margin = (_format(x, best.metric) for x in (facts.chance, facts.chance_margin))
    yield (
        f"{who} learned: {state}, and chance is {chance} ± {margin} ({facts.chance_about}). "
        "Try another learning rate or more epochs."
    )


def _has_learned(result: TrialResult) -> bool:
    facts = result.data_facts
    return facts is None or _finite_score(result) > facts.chance + facts.chance_margin


def _warn_of_divergence(results: Sequence[TrialResult]) -> Iterator[str]:
    named = [
        f"{name} ({', '.join(f'seed {seed}' for seed in seeds)})"
        for name, group in _by_activation(results).items()
        if (seeds := sorted(result.seed for result in group if result.diverged))
    ]
    if named:
        yield (
            f"Diverged (the loss became infinite or NaN): {'; '.join(named)}. "
            "Means and differences leave out trainings without a score."
        )


def _warn_of_missing_predictions(results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield a sentence if only some trainings have further scores, because a run was extended."""
    finite = [result for result in results if math.isfinite(result.test_score)]
    seeds = {result.seed for result in finite}
    missing = {result.seed for result in finite if not result.other_scores}
    if missing and missing != seeds:
        yield (
            f"Further scores and predictions are those of {len(seeds - missing)} of {len(seeds)} "
            "seeds only: an earlier version trained the others without saving them."
        )


def _warn_of_equal_scores(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield a sentence if activations have the same scores as the baseline at every seed."""
    scores = {
        name: {result.seed: _finite_score(result) for result in group}
        for name, group in _by_activation(results).items()
    }
    baseline = scores.pop(experiment.baseline, {})
    equal = [name for name, each in scores.items() if each == baseline and len(baseline) > 1]
    if equal and any(map(_has_learned, results)):
        yield (
            f"{' and '.join(equal)} {'has' if len(equal) == 1 else 'have'} exactly the test scores "
            f"of {experiment.baseline} at all {len(baseline)} seeds. Either the test split is too "
            "easy or too small to tell them apart, or what differs between them is not trained."
        )


def _warn_of_data(results: Sequence[TrialResult]) -> Iterator[str]:
    known = [result.data_facts for result in results if result.data_facts is not None]
    if not known:
        return
    facts = max(known, key=lambda each: each.repeated / each.test_samples)
    if facts.repeated:
        yield (
            f"{facts.repeated:,} of {facts.test_samples:,} test samples "
            f"({facts.repeated / facts.test_samples:.1%}) have the same inputs as a training "
            "sample, so test scores may be too high."
        )
    if facts.test_samples < FEWEST_TEST_SAMPLES:
        yield f"The test split has only {facts.test_samples} samples, so its scores are uncertain."
    if _is_certain(facts):
        yield "All test samples have the same class, so the accuracy says nothing."


def _warn_of_random_weights(
    experiment: Experiment, results: Sequence[TrialResult]
) -> Iterator[str]:
    trains, kind = experiment.training.trains, experiment.network.kind
    # A user's function may load weights itself.
    if trains != EVERYTHING and not results[0].pretrained and not names_function(kind):
        yield (
            f"Only a part of the network was trained ({trains.replace('+', ' and ')}), but without "
            "pretrained weights the rest stays random. Give weights with --pretrained."
        )


def _warn_of_still_curves(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[str]:
    facts = results[0].data_facts
    sentence = None if facts is None else describe_still_curves(experiment, facts.train_samples)
    if sentence is not None:
        yield sentence


def _warn_of_few_seeds(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[str]:
    if len(experiment.activations) < 2:
        return
    seeds = min(len(group) for group in _by_activation(results).values())
    if seeds < FEWEST_SEEDS <= len(experiment.seeds):
        yield f"Too few finished seeds for a verdict: {seeds} of {len(experiment.seeds)}."
    elif seeds < FEWEST_SEEDS:
        yield f"Too few seeds for a verdict: {seeds}; give at least {FEWEST_SEEDS}."


def _by_activation(results: Sequence[TrialResult]) -> dict[str, list[TrialResult]]:
    groups: dict[str, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.activation, []).append(result)
    return groups


def _is_certain(facts: DataFacts) -> bool:
    """Whether constant outputs have the best possible score."""
    return facts.chance >= 1


def _finite_score(result: TrialResult) -> float:
    return result.test_score if math.isfinite(result.test_score) else -math.inf


def _format(score: float, metric: str) -> str:
    return f"{100 * score:.2f} %" if metric == "accuracy" else f"{score:.4g}"
