import csv

from hinged.lab.reporting.table_files import escape_latex
from hinged.lab.reporting.take_away_files import Formats
from hinged.lab.study import tables
from hinged.lab.study.build_record import build_record
from hinged.lab.study.cells import read_study
from hinged.lab.study.study_files import write_study_files
from tests.lab.study.helpers import SCORES, fill_folder


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_files_hold_all_trainings_and_all_rows(tmp_path, tiny):
    folder = fill_folder(tmp_path / "study", read_study(tiny))
    record = build_record(folder)
    paths = write_study_files(folder, record, tmp_path / "out", Formats(csv=True))
    assert paths == [tmp_path / "out" / name for name in ("results.csv", "table.csv")]
    found = {}
    for row in read(paths[0]):
        scores = found.setdefault((row["cell"], row["activation"]), {})
        scores[int(row["seed"])] = float(row["test_score"])
        assert row["curves.hinges"] == row["cell"].removeprefix("hinges-")
    assert found == {key: dict(enumerate(scores)) for key, scores in SCORES.items()}
    table = read(paths[1])
    assert len(table) == len(record.rows) == 3
    for row, source in zip(table, record.rows, strict=True):
        assert float(row["mean"]) == source.mean and int(row["seeds"]) == 5
        if source.versus is None:
            assert row["difference"] == row["compared_with"] == ""
        else:
            assert float(row["difference_low"]) == source.versus.t.low
            assert float(row["p_holm"]) == source.versus.p_holm
            assert row["compared_with"] == source.versus.label


def test_the_latex_table_and_the_pictures_are_those_of_the_record(tmp_path, tiny):
    folder = fill_folder(tmp_path / "study", read_study(tiny))
    record = build_record(folder)
    paths = write_study_files(folder, record, tmp_path, Formats(latex=True, figures="pdf"))
    text = paths[0].read_text()
    for row in tables.results(record).rows:
        assert " & ".join(map(escape_latex, row.texts)) + r" \\" in text
    assert paths[1:] == [tmp_path / "plots" / "tiny-full.pdf"]
    assert paths[1].read_bytes().startswith(b"%PDF")
