import csv
import math

import pytest

from hinged import errors
from hinged.lab.reporting import terminal
from hinged.lab.reporting.report_data import read_report_data
from hinged.lab.reporting.table_files import escape_latex
from hinged.lab.reporting.take_away_files import Formats, write_run_files
from tests.lab.reporting.invented import classes_run, numbers_run


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_files_hold_all_figures_with_all_digits(tmp_path, finished):
    data = read_report_data(finished)
    paths = write_run_files(data, tmp_path, Formats(csv=True))
    names = ["results.csv", "table.csv", "classes.csv", "confusions.csv"]
    assert paths == [tmp_path / name for name in names]
    trials = read(tmp_path / "results.csv")
    assert len(trials) == len(data.results) == 9
    for row, result in zip(trials, data.results, strict=True):
        assert (row["activation"], int(row["seed"])) == (result.activation, result.seed)
        for name in ("test_score", "train_score", "step_ms", "seconds", "parameters"):
            assert float(row[name]) == getattr(result, name)
        assert float(row["loss"]) == result.loss[-1] and row["diverged"] == "False"
        assert float(row["macro_F1"]) == result.other_scores["macro F1"]
    table = read(tmp_path / "table.csv")
    for row, source in zip(table, data.table.rows, strict=True):
        assert float(row["score"]) == source.score.mean
        if source.versus is None:
            assert row["difference"] == row["p"] == row["p_corrected"] == ""
        else:
            assert float(row["difference_low"]) == source.versus.difference.low
            assert (float(row["p"]), int(row["pairs"])) == source.versus[1:]


def test_csv_files_of_classes_agree_with_each_other(tmp_path):
    data = read_report_data(classes_run(tmp_path / "run"))
    write_run_files(data, tmp_path, Formats(csv=True))
    counts = {}
    for row in read(tmp_path / "confusions.csv"):
        counts[row["activation"], row["true"], row["predicted"]] = int(row["samples"])
    assert sum(counts.values()) == 2 * 3 * 60
    for row in read(tmp_path / "classes.csv"):
        for activation in ("relu", "hinged"):
            whole = sum(
                n for (a, t, _), n in counts.items() if (a, t) == (activation, row["class"])
            )
            if whole:
                right = counts.get((activation, row["class"], row["class"]), 0)
                assert float(row[activation]) == pytest.approx(right / whole)
            else:
                assert row["class"] == "kind <3>" and row[activation] == ""


def test_a_regression_has_no_file_of_classes(tmp_path):
    data = read_report_data(numbers_run(tmp_path / "run"))
    paths = write_run_files(data, tmp_path / "new" / "folder", Formats(csv=True))
    assert [path.name for path in paths] == ["results.csv", "table.csv"]
    [first, _] = read(paths[1])
    interval = data.predictions.scores["relu"]["RMSE"]
    assert [float(first[f"RMSE{end}"]) for end in ("", "_low", "_high")] == list(interval)
    assert all(math.isfinite(float(row["RMSE"])) for row in read(paths[0]))


def test_the_latex_table_is_that_of_the_terminal(tmp_path, finished):
    data = read_report_data(finished)
    [path] = write_run_files(data, tmp_path, Formats(latex=True))
    text = path.read_text()
    for row in data.table.rows:
        cells = terminal.row_texts(row, data.table.metric)
        assert " & ".join(map(escape_latex, cells)) + r" \\" in text


@pytest.mark.parametrize(
    ("ending", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_pictures_in_each_format_and_the_same_twice(tmp_path, finished, ending, start):
    data = read_report_data(finished)
    paths = write_run_files(data, tmp_path / "a", Formats(figures=ending))
    again = write_run_files(data, tmp_path / "b", Formats(figures=ending))
    names = ["scores", "differences", "histories", "curves", "confusion"]
    assert paths == [tmp_path / "a" / "plots" / f"{name}.{ending}" for name in names]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes().startswith(start) and one.read_bytes() == other.read_bytes()


def test_an_unknown_format_of_pictures(tmp_path, finished):
    with pytest.raises(errors.UnknownNameError, match=r"`figures`: got 'gif'; expected one of: pd"):
        write_run_files(read_report_data(finished), tmp_path, Formats(csv=True, figures="gif"))
    assert list(tmp_path.iterdir()) == []
