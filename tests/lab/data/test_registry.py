from pathlib import Path

import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.experiment.settings import TableSettings


def test_an_unknown_name_is_rejected_with_near_matches():
    with pytest.raises(errors.UnknownNameError, match="got 'digit'; did you mean 'digits'"):
        data.load_data_set("digit")


def test_the_last_data_set_stays_in_memory():
    first = data.load_data_set("iris")
    assert data.load_data_set("iris") is first
    assert data.load_data_set("iris", train_size=50) is not first


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "t.csv"
    pytest.importorskip("pyarrow")
    path.write_text("a,y\n" + "".join(f"{i},{i / 2}\n" for i in range(30)))
    first = data.load_data_set(str(path))
    path.write_text("a,y\n" + "".join(f"{i},{i / 3}\n" for i in range(60)))
    assert len(data.load_data_set(str(path)).x_train) == 2 * len(first.x_train)


def test_paths_that_name_user_data(tmp_path):
    for known in (str(tmp_path), f"{tmp_path}:32", "t.csv", "t.csv:y", "t.parquet", "m.py:make"):
        assert data.is_data_set_name(known)
    for unknown in ("t.txt", "mnist:32", str(tmp_path / "missing"), "m.pyc:make"):
        assert not data.is_data_set_name(unknown)
        with pytest.raises((errors.UnknownNameError, errors.DataError), match=r"^`data`: got "):
            data.check_data_set_name(unknown)


def test_the_page_on_data_lists_every_set():
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    assert [name for name in data.DATA_SETS if f"`{name}`" not in page] == []


def test_settings_of_tables_for_other_data_are_refused():
    for settings, name in (({"task": "regression"}, "task"), ({"leave_out": ("a",)}, "leave_out")):
        message = f"`table.{name}`: got a value for the data set iris; only a .csv or .parquet file"
        with pytest.raises(errors.ArgumentError, match=message):
            data.load_data_set("iris", table=TableSettings(**settings))


def test_fewer_training_rows_of_a_table_give_other_medians(tmp_path):
    pytest.importorskip("pyarrow")
    rows = [f"{'' if i % 3 == 0 else i * i},{i}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]))
    small = data.load_data_set(str(tmp_path / "t.csv"), train_size=12, test_size=6)
    assert (len(small.x_train), len(small.x_test)) == (12, 6)
    known = sorted(i * i for i in small.source.train.tolist() if i % 3)
    raw = small.x_train[:, 0][torch.tensor(small.source.train % 3 == 0)]
    among = small.x_train[:, 0].sort().values
    assert (raw == raw[0]).all() and among[0] < raw[0] < among[-1] and len(known) < 12
    assert small.about.endswith("; of these 12 to train on and 6 to test on")
