import json

import pytest

from hinged import errors
from hinged.lab.bench import record as records


def test_a_record_says_what_with_what_and_in_which_units(record):
    plain = json.loads(record.text())
    assert plain["kind"] == "kernels" and plain["format"] == records.FORMAT
    assert {"torch", "processor", "commit", "kernel"} <= plain["environment"].keys()
    assert {"rounds", "threads", "device", "quick"} <= plain["settings"].keys()
    assert "MALLOC_TRIM_THRESHOLD_" in plain["allocator"]
    assert plain["units"]["seconds"].startswith("s a call") and len(plain["load"]) == 2


def test_every_round_is_in_it(record):
    for row in record.cases[0].rows:
        assert row.problem is None
        assert {len(seconds) for seconds in row.seconds.values()} == {2}
        assert row.errors and row.kept_bytes is not None and row.peak_bytes is not None


def test_a_record_comes_back_from_its_file(record, tmp_path):
    record.save(tmp_path / "deep" / "record.json")
    assert records.read(tmp_path / "deep" / "record.json") == record


def test_numbers_of_a_row_stand_on_one_line(record):
    lines = record.text().splitlines()
    assert any('"forward": [' in line and line.rstrip(",").endswith("]") for line in lines)


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "kernels"}'])
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(errors.ArgumentError, match="expected a record that `hinged bench"):
        records.read(path)


def test_ratios_are_taken_within_rounds():
    rows = [
        records.Row(name="relu", family="native", seconds={"forward": [1.0, 10.0, 2.0]}),
        records.Row(name="ours", family="curve", seconds={"forward": [1.5, 15.0, 3.0]}),
    ]
    case = records.Case(name="c", about="", baseline="relu", quantities=["forward"], rows=rows)
    assert case.ratio(rows[1], "forward") == (1.5, 1.5, 1.5)
    assert case.time(rows[1], "forward").median == 3.0
