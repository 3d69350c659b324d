"""The table of a tuning: the settings that were tried for each activation, and the choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hinged.lab.reporting.terminal import format_score
from hinged.lab.runs.tuning import TriedSettings, TunedActivation

TITLE = "Settings tried before, and the choice"
ABOUT = (
    "Each activation was trained with each of its combinations of settings, from other seeds than "
    "those of the comparison. The numbers are mean scores on training samples that were held out. "
    "The combination with the best score was chosen. The test split chose nothing."
)
ABOUT_FOLDS = (
    " In the cross-validation, held-out samples of one fold are test samples of others, so that "
    "the choice is not independent of them."
)
_FEWEST_VALUES = 3
"""A list of fewer numbers has no number in its middle."""


def tuning_headings(metric: str) -> tuple[str, ...]:
    """Return the headings of the columns.

    Args:
        metric: name of the scores.
    """
    unit = ", %" if metric == "accuracy" else ""
    return ("activation", f"tried, with mean validation {metric}{unit}", "chosen")


def tuning_row(tuned: TunedActivation) -> tuple[str, ...]:
    """Return the texts of one row: the activation, what was tried, and what was chosen."""
    tried = "; ".join(f"{_words(each.settings)}: {_score(each, tuned)}" for each in tuned.tried)
    chosen = "not yet" if tuned.chosen is None else _words(tuned.chosen_settings)
    ends = [f"{end} {_short(name)} tried" for name, end in _ends(tuned).items()]
    return (tuned.activation, tried, f"{chosen} ({', '.join(ends)})" if ends else chosen)


def tuning_values(tuned: Iterable[TunedActivation]) -> list[dict[str, Any]]:
    """Return a row for each combination of settings of each activation, for `tuning.csv`."""
    return [
        {
            "activation": each.activation,
            **tried.settings,
            "metric": each.metric,
            "trainings": len(tried.scores),
            "mean_validation_score": tried.mean,
            "chosen": index == each.chosen,
        }
        for each in tuned
        for index, tried in enumerate(each.tried)
    ]


def _words(settings: Mapping[str, Any]) -> str:
    """Return the values of settings with their short names, for example `lr 0.01`.

    >>> _words({"training.lr": 0.01, "training.curve_lr_factor": 2.0})
    'lr 0.01, curve lr factor 2'
    """
    return ", ".join(
        f"{_short(name)} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    )


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _ends(tuned: TunedActivation) -> dict[str, str]:
    """Return the settings whose chosen value is the smallest or largest of several numbers.

    A better value may lie outside. Lists of two numbers are left out: both are at an end.

    Returns:
        `smallest` or `largest`, by the name of the setting.
    """
    ends = {}
    for name, chosen in tuned.chosen_settings.items():
        values = {each.settings[name] for each in tuned.tried if _is_number(each.settings[name])}
        if len(values) >= _FEWEST_VALUES and chosen in (min(values), max(values)):
            ends[name] = "smallest" if chosen == min(values) else "largest"
    return ends


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _score(tried: TriedSettings, tuned: TunedActivation) -> str:
    if tried.mean is not None:
        return format_score(tried.mean, tuned.metric)
    return "diverged" if tried.scores else "not trained"
