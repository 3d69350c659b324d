"""The words for what a record contains: activations, settings, differences and counts.

A row of a record is one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks.pretrained import FROM_STUDY
from hinged.lab.study.record import RecordRow, StudyRecord

_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "prelu": "PReLU",
    "silu": "SiLU",
    "gelu": "GELU",
    "elu": "ELU",
    "celu": "CELU",
    "selu": "SELU",
    "mish": "Mish",
    "apl": "APL",
    "curvature_tuning": "Curvature Tuning",
    "hinged": "curves",
    "original": "the networks' own activations",
}
_NETWORKS = {
    "cnn": "CNN",
    "mlp": "MLP",
    "bypass-mlp": "MLP with bypass",
    "residual-detector": "residual detector",
    "resnet18": "ResNet18",
    "vgg11": "VGG11",
    "vgg11_bn": "VGG11",
    "mobilenet_v2": "MobileNetV2",
    "squeezenet1_0": "SqueezeNet",
}
_PARTS = {"cnn": "block", "mlp": "hidden layer", "bypass-mlp": "hidden layer"}
"""What the depth of a kind of network counts. For all other kinds, it counts blocks."""
_SETTINGS: dict[str, Callable[[Experiment], str]] = {
    "data": lambda e: f"{'' if e.network.pretrained is None else 'to '}{e.data}",
    "train_size": lambda e: f"{e.train_size or 0:,} training samples",
    "curves.hinges": lambda e: f"{e.curves.hinges} hinges",
    "curves.sharing": lambda e: f"one curve per {e.curves.sharing}",
    "curves.shared": lambda e: f"one curve per {e.curves.sharing}",  # its name in old records
    "training.lr": lambda e: f"learning rate {e.training.lr:g}",
    "training.batch_size": lambda e: f"batches of {e.training.batch_size}",
    "training.curve_penalty": lambda e: (
        f"penalty {e.training.curve_penalty:g}" if e.training.curve_penalty else "no penalty"
    ),
}
"""The words for the value of a setting, apart from settings of the network."""
_NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


class Noun(NamedTuple):
    """The noun for the settings in which the rows of a record differ.

    Attributes:
        preposition: the preposition before the noun: `in`, `on` or `at`.
        singular: the noun for one of them.
        plural: the noun for several of them.
    """

    preposition: str
    singular: str
    plural: str

    def share(self, part: int, whole: int) -> str:
        """Return how many of all settings are meant, with a space before it.

        The text is empty if there is only one setting.

        >>> noun = Noun("in", "network", "networks")
        >>> noun.share(6, 6), noun.share(3, 4), noun.share(0, 2), noun.share(1, 1)
        (' in all six networks', ' in 3 of 4 networks', ' in neither network', '')
        """
        if whole == 1:
            return ""
        if part == whole:
            every = f"both {self.plural}" if whole == 2 else f"all {self.number(whole)}"
            return f" {self.preposition} {every}"
        if part == 0:
            none = "neither " + self.singular if whole == 2 else f"none of the {self.number(whole)}"
            return f" {self.preposition} {none}"
        return f" {self.preposition} {part} of {whole} {self.plural}"

    def any_of(self, whole: int) -> str:
        """Return the words for any of all settings, with a space before them.

        The text is empty if there is only one setting.

        >>> Noun("in", "network", "networks").any_of(6)
        ' in any of the six networks'
        """
        if whole <= 2:
            return "" if whole == 1 else f" {self.preposition} either {self.singular}"
        return f" {self.preposition} any of the {self.number(whole)}"

    def any_other(self, whole: int) -> str:
        """Return the words for any of several others, for example `any of 15 other networks`."""
        if whole == 1:
            return f"the other {self.singular}"
        return f"any of the {number_word(whole)} other {self.plural}"

    def number(self, number: int) -> str:
        """Return a number with the noun, for example `six networks`."""
        return f"{number_word(number)} {self.singular if number == 1 else self.plural}"


_NOUNS = {
    "network": Noun("in", "network", "networks"),
    "data": Noun("on", "data set", "data sets"),
    "training.lr": Noun("at", "learning rate", "learning rates"),
}
SETTINGS = Noun("in", "setting", "settings")
CONFIGURATIONS = Noun("in", "configuration", "configurations")


def number_word(number: int) -> str:
    """Return a number as a word if it is at most twelve, and in digits otherwise."""
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "seed"), counted(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def activation_words(activation: str) -> str:
    """Return an activation as people write it; a user's own activation keeps its name.

    >>> activation_words("leaky_relu"), activation_words("hinged"), activation_words("frozen:silu")
    ('leaky ReLU', 'curves', 'untrained curves that start as SiLU')
    """
    if activation.startswith("frozen:"):
        start = activation.removeprefix("frozen:")
        return f"untrained curves that start as {activation_words(start)}"
    return _ACTIVATIONS.get(activation, activation)


def setting_words(record: StudyRecord, row: RecordRow, without: str | None = None) -> str:
    """Return the settings that distinguish a row from others, for example `CNN with 2 blocks`.

    The text is empty if the record has no such settings.

    Args:
        record: the record of the study.
        row: a row of the record.
        without: name of a setting that is left out, for example `network.depth`.
    """
    parts = (point_words(record, row, without), variant_words(row))
    return ", ".join(part for part in parts if part)


def point_words(record: StudyRecord, row: RecordRow, without: str | None = None) -> str:
    """Return the settings of a row that the grid of the study varies; its variant is left out.

    Args:
        record: the record of the study.
        row: a row of the record.
        without: name of a setting that is left out.
    """
    experiment = experiment_of(record, row.cell)
    axes = [axis for axis in row.point if axis != without]
    of_network = [axis for axis in axes if axis.partition(".")[0] == "network"]
    parts = [
        _network_words(record, experiment.network, of_network)
        if axis in of_network
        else _axis_words(axis, row.point[axis], experiment)
        for axis in axes
        if axis not in of_network[1:]
    ]
    return ", ".join(part for part in parts if part)


def compares_variants(record: StudyRecord) -> bool:
    """Return whether rows of several variants at one point of the grid follow each other.

    A study with `against = "first variant"` has such a record.
    """
    return any(
        row.point and row.point == after.point and variant_words(row) != variant_words(after)
        for row, after in itertools.pairwise(record.rows)
    )


def row_words(record: StudyRecord, row: RecordRow, without: str | None = None) -> str:
    """Return the activation of a row, with its settings in parentheses.

    Args:
        record: the record of the study.
        row: a row of the record.
        without: name of a setting that is left out.
    """
    setting = setting_words(record, row, without)
    activation = activation_words(row.activation)
    return f"{activation} ({setting})" if setting else activation


def reference_words(record: StudyRecord, rows: Sequence[RecordRow]) -> str:
    """Return the words for the references of rows, which other rows of the record are.

    The settings that all references share are named too.
    """
    labels = {row.versus.label for row in rows if row.versus is not None}
    found = [setting_words(record, row).split(", ") for row in record.rows if row.title in labels]
    common = [part for part in found[0] if all(part in each for each in found)] if found else []
    setting = ", ".join(filter(None, common))
    name = activation_words(record.baseline)
    return f"{name} ({setting})" if setting else name


def noun_of(record: StudyRecord, rows: Sequence[RecordRow]) -> Noun:
    """Return the noun for the settings in which rows differ, for example `networks`."""
    experiments = [experiment_of(record, row.cell) for row in rows]
    differing = {
        text.partition(" is ")[0].partition(" of ")[0]
        for other in experiments[1:]
        for text in experiments[0].differing_settings(other)
    }
    sections = {n.partition(".")[0] if n.startswith("network") else n for n in differing}
    return _NOUNS.get(sections.pop(), SETTINGS) if len(sections) == 1 else SETTINGS


def experiment_of(record: StudyRecord, cell: str) -> Experiment:
    """Return the experiment of a cell, with the present names of all settings."""
    return _read_experiment(Experiment(**record.cells[cell]).model_dump_json())


@functools.lru_cache(maxsize=1024)
def _read_experiment(text: str) -> Experiment:
    return Experiment.model_validate_json(text)


def axis_words(axis: str) -> str:
    """Return the name of a setting in words, for example `learning rate`."""
    names = {
        "training.lr": "learning rate",
        "curves.hinges": "number of hinges",
        "train_size": "number of training samples",
    }
    return names.get(axis, axis.rpartition(".")[2].replace("_", " "))


def join(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    >>> join(["a", "b", "c"]), join(["a"])
    ('a, b and c', 'a')
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _axis_words(axis: str, value: Any, experiment: Experiment) -> str:
    if axis in _SETTINGS:
        return _SETTINGS[axis](experiment)
    return f"{axis_words(axis)} {_value_text(value)}"


def _network_words(record: StudyRecord, network: NetworkSettings, axes: Sequence[str]) -> str:
    """Return the words for the network of a row, with the settings that the axes vary."""
    part = _PARTS.get(network.kind, "block")
    units = "hidden unit" if part == "hidden layer" else "filter"
    details = []
    if "network.depth" in axes:
        details.append(f"with {counted(network.depth, part)}")
    if "network.width" in axes:
        details.append(f"{'' if details else 'with '}{counted(network.width, units)}")
    if network.pretrained == FROM_STUDY:
        details.append(f"pretrained on {record.pretrainings[network.kind].experiment['data']}")
    elif network.pretrained is not None:
        details.append(f"pretrained on {network.pretrained.replace('imagenet', 'ImageNet')}")
    name = " ".join([_NETWORKS.get(network.kind, network.kind), ", ".join(details)]).strip()
    if "network.batch_norm" in axes:
        return f"{name}, {'batch norm' if network.batch_norm else 'no batch norm'}"
    return name


def variant_words(row: RecordRow) -> str:
    """Return the name of the variant of a row: its label without the values of the grid.

    The name is empty if the study has no variants.
    """
    values = [
        _value_text(value)
        if axis == "data"
        else f"{axis.rpartition('.')[2].replace('_', '-')} {_value_text(value)}"
        for axis, value in row.point.items()
    ]
    return row.label.removeprefix(", ".join(values)).removeprefix(", ")


def _value_text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
