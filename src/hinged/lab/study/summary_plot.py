"""A picture of the gains of trained curves in several studies, as a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from hinged.lab.reporting.picture_data import colour_of
from hinged.lab.reporting.plots import hide_top_and_right
from hinged.lab.study.across_studies import Gain, GainsInSetting

_OTHER_COLOUR = "#64748b"


def draw_gains(settings: Sequence[GainsInSetting]) -> Figure:
    """Return a figure of the gains of curves in each setting, with their 95 % intervals.

    One mark is the gain over ReLU, the other the gain over PReLU, SiLU or GELU, whichever has the
    best mean score in the setting. The settings of a study are below its name.
    """
    labels, places = _labels(settings)
    height = 0.21 * len(labels) + 0.8
    figure, axes = plt.subplots(figsize=(6.2, height), layout="constrained")
    kinds = (
        ("over ReLU", [s.gains["relu"] for s in settings], colour_of("hinged"), "D", -0.16),
        (
            "over the best of PReLU, SiLU and GELU",
            [s.over_best_other for s in settings],
            _OTHER_COLOUR,
            "o",
            0.16,
        ),
    )
    for label, gains, colour, marker, shift in kinds:
        known = [(y + shift, gain) for y, gain in zip(places, gains, strict=True) if gain]
        lines = [line for line, _ in known]
        means = [100 * gain.mean for _, gain in known]
        axes.errorbar(
            means,
            lines,
            xerr=_distances([gain for _, gain in known]),
            fmt=marker,
            color=colour,
            markersize=4.5,
            linewidth=1.6,
            label=label,
        )
    axes.axvline(0, color=colour_of("relu"), linewidth=1)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    for line, text in enumerate(axes.get_yticklabels()):
        text.set_fontweight("normal" if line in places else "bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("gain of curves in points of accuracy (of R2 for tables)", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return hide_top_and_right(figure)


def _labels(settings: Sequence[GainsInSetting]) -> tuple[list[str], list[int]]:
    """Return the label of each line of the picture, and the number of the line of each setting.

    A name such as `mnist: MLP` becomes two lines: the study, once for all of its settings, and the
    setting.
    """
    labels: list[str] = []
    places, last = [], ""
    for each in settings:
        study, _, setting = each.name.rpartition(": ")
        labels += [study, setting] if study not in ("", last) else [setting]
        places.append(len(labels) - 1)
        last = study
    return labels, places


def _distances(gains: Sequence[Gain]) -> list[list[float]]:
    """Return the distances from the means down to the lower and up to the upper bounds."""
    below = [100 * (gain.mean - gain.low) for gain in gains]
    return [below, [100 * (gain.high - gain.mean) for gain in gains]]
