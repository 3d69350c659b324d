import pytest

from hinged.lab.study.wording import (
    Noun,
    noun_of,
    reference_words,
    row_words,
    setting_words,
)
from tests.lab.study.helpers import invent_record


def with_point(record, cell, label, point):
    """Return a record with one row, whose cell, label and point of the grid are given."""
    row = record.rows[1].model_copy(update={"label": label, "point": point})
    return record.model_copy(update={"cells": {row.cell: cell}, "rows": [row]})


@pytest.mark.parametrize(
    ("cell", "label", "point", "words"),
    [
        ({}, "", {}, ""),
        ({}, "frozen", {}, "frozen"),
        (
            {"network": {"kind": "cnn", "depth": 2, "batch_norm": False}},
            "batch-norm no, depth 2",
            {"network.batch_norm": False, "network.depth": 2},
            "CNN with 2 blocks, no batch norm",
        ),
        (
            {"data": "sine", "network": {"kind": "mlp", "depth": 1, "width": 8}},
            "sine, depth 1, width 8, calibrated",
            {"data": "sine", "network.depth": 1, "network.width": 8},
            "sine, MLP with 1 hidden layer, 8 hidden units, calibrated",
        ),
        (
            {"curves": {"shared": True}, "training": {"curve_penalty": 0.03}},
            "hinges 9, shared yes, curve-penalty 0.03",
            {"curves.hinges": 9, "curves.shared": True, "training.curve_penalty": 0.03},
            "9 hinges, one curve per layer, penalty 0.03",
        ),
        (
            {"training": {"lr": 0.018}, "train_size": 4000},
            "train-size 4000, lr 0.018",
            {"train_size": 4000, "training.lr": 0.018},
            "4,000 training samples, learning rate 0.018",
        ),
        ({}, "weight-decay 0.1", {"training.weight_decay": 0.1}, "weight decay 0.1"),
    ],
)
def test_settings_are_told_in_words(cell, label, point, words):
    record = with_point(invent_record([(0.1, 0.1)]), cell, label, point)
    assert setting_words(record, record.rows[0]) == words
    assert row_words(record, record.rows[0]) == (f"curves ({words})" if words else "curves")


def test_a_setting_can_be_left_out():
    record = with_point(
        invent_record([(0.1, 0.1)]),
        {"network": {"kind": "cnn", "depth": 2}},
        "depth 2, frozen",
        {"network.depth": 2},
    )
    assert setting_words(record, record.rows[0], without="network.depth") == "frozen"


def test_the_noun_is_that_of_the_settings_that_differ():
    networks = invent_record([(0.1, 0.1), (0.1, 0.1)])
    assert noun_of(networks, networks.rows).plural == "networks"
    for change, plural in (({"data": "wine_red"}, "data sets"), ({"folds": 3}, "settings")):
        cells = {"depth-1": {}, "depth-2": change}
        record = networks.model_copy(update={"cells": cells})
        assert noun_of(record, record.rows).plural == plural


def test_a_reference_is_named_with_what_all_references_share():
    one = invent_record([(0.1, 0.1)])
    assert reference_words(one, one.rows) == "ReLU (CNN with 1 block)"
    two = invent_record([(0.1, 0.1), (0.1, 0.1)])
    assert reference_words(two, two.rows) == "ReLU"


def test_nouns_agree_with_their_numbers():
    noun = Noun("on", "data set", "data sets")
    assert noun.share(2, 2) == " on both data sets" and noun.share(1, 13) == " on 1 of 13 data sets"
    assert noun.share(0, 3) == " on none of the three data sets"
    assert noun.share(14, 14) == " on all 14 data sets"
    assert noun.any_of(2) == " on either data set" and noun.any_of(1) == ""
