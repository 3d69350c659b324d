import pytest
import torch

from hinged import errors
from hinged.lab.data import load_data_set
from hinged.lab.data.validation_split import hold_out
from hinged.lab.experiment.settings import TableSettings


def rows_of(x):
    return {tuple(row) for row in x.flatten(1).tolist()}


def test_held_out_samples_are_not_trained_on_and_none_is_lost():
    digits = load_data_set("digits", train_size=200)
    training, held_out = hold_out(digits, 0.25, seed=3)
    assert len(held_out.x) == len(held_out.y) == 50 and len(training.x_train) == 150
    assert not rows_of(held_out.x) & rows_of(training.x_train)
    assert rows_of(held_out.x) | rows_of(training.x_train) == rows_of(digits.x_train)
    assert torch.equal(training.x_test, digits.x_test) and torch.equal(training.mean, digits.mean)


def test_targets_stay_with_their_inputs():
    table = load_data_set("diabetes")
    training, held_out = hold_out(table, 0.2, seed=0)
    targets = {tuple(x): y for x, y in zip(table.x_train.tolist(), table.y_train, strict=True)}
    for x, y in ((held_out.x, held_out.y), (training.x_train, training.y_train)):
        assert all(torch.equal(targets[tuple(a)], b) for a, b in zip(x.tolist(), y, strict=True))


def test_classes_keep_their_shares():
    digits = load_data_set("digits")
    _, held_out = hold_out(digits, 0.2, seed=1)
    expected = 0.2 * digits.y_train.bincount(minlength=10)
    assert (held_out.y.bincount(minlength=10) - expected).abs().max() <= 1


def test_the_seed_alone_decides():
    digits = load_data_set("digits", train_size=100)
    first, again, other = (hold_out(digits, 0.2, seed)[1].x for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_images_with_boxes_are_held_out_with_their_boxes():
    shapes = load_data_set("shapes", train_size=20)
    training, held_out = hold_out(shapes, 0.2, seed=0)
    assert len(training.x_train) == len(training.y_train) == 16 and len(held_out.y) == 4


@pytest.mark.parametrize("split", ["group:customer", "time:customer"])
def test_rows_of_a_table_that_belong_together_are_held_out_together(tmp_path, split):
    pytest.importorskip("pyarrow")
    rows = [f"{i // 3},{i * i},{i}" for i in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["customer,a,y", *rows]))
    table = load_data_set(str(tmp_path / "t.csv"), table=TableSettings(split=split))
    training, held_out = hold_out(table, 0.2, seed=0)
    kept, removed = (
        {round(y) // 3 for y in table.target_scale.to_units(part).flatten().tolist()}
        for part in (training.y_train, held_out.y)
    )
    assert len(training.x_train) + len(held_out.x) == len(table.x_train)
    assert kept == {row // 3 for row in training.source.train.tolist()}
    assert kept and removed and not kept & removed
    assert (max(kept) < min(removed)) == split.startswith("time")


@pytest.mark.parametrize(("share", "number"), [(0.01, 1), (0.99, 99)])
def test_too_few_samples_on_one_side_are_refused(share, number):
    with pytest.raises(errors.ArgumentError, match=f"which is {number} of 100 training samples"):
        hold_out(load_data_set("digits", train_size=100), share, 0)


def test_a_single_row_that_is_a_group_is_not_held_out_alone(tmp_path):
    pytest.importorskip("pyarrow")
    rows = [f"{i // 10 if i < 60 else i},{i * i},{i}" for i in range(64)]
    (tmp_path / "t.csv").write_text("\n".join(["customer,a,y", *rows]))
    table = load_data_set(str(tmp_path / "t.csv"), table=TableSettings(split="group:customer"))
    with pytest.raises(errors.ArgumentError, match="1 of 43 training samples; hold out at least 2"):
        hold_out(table, 0.1, seed=0)
