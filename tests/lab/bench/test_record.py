import json

import pytest

from hinged import errors
from hinged.lab.bench.record import FORMAT, Case, Row, read_benchmark_record


def test_a_record_contains_machine_settings_and_units(record):
    plain = json.loads(record.to_json())
    assert plain["kind"] == "kernels" and plain["format"] == FORMAT
    assert {"torch", "processor", "commit", "kernel"} <= plain["environment"].keys()
    assert {"rounds", "threads", "device", "quick"} <= plain["settings"].keys()
    assert "MALLOC_TRIM_THRESHOLD_" in plain["allocator"]
    assert plain["units"]["seconds"].startswith("s per call") and len(plain["load"]) == 2


def test_a_record_contains_every_round(record):
    for row in record.cases[0].rows:
        assert row.problem is None
        assert {len(seconds) for seconds in row.seconds.values()} == {2}
        assert row.errors and row.kept_bytes is not None and row.peak_bytes is not None


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    record.save(tmp_path / "deep" / "record.json")
    assert read_benchmark_record(tmp_path / "deep" / "record.json") == record


def test_a_list_of_numbers_takes_one_line(record):
    lines = record.to_json().splitlines()
    assert any('"forward": [' in line and line.rstrip(",").endswith("]") for line in lines)


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "kernels"}'])
def test_a_file_without_a_record_is_rejected(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(errors.ArgumentError, match="give a file that `hinged bench"):
        read_benchmark_record(path)


def test_ratios_are_taken_within_rounds():
    rows = [
        Row(name="relu", family="native", seconds={"forward": [1.0, 10.0, 2.0]}),
        Row(name="hinged", family="curve", seconds={"forward": [1.5, 15.0, 3.0]}),
    ]
    case = Case(name="c", about="", baseline="relu", quantities=["forward"], rows=rows)
    assert case.ratio(rows[1], "forward") == (1.5, 1.5, 1.5)
    assert case.time(rows[1], "forward").median == 3.0
