import json

import pytest

from hinged.lab.runs.run_folder import RunFolder
from tests.cli.run_command import error_of, run

pytest.importorskip("pyarrow")
SMALL = ["--width", "2", "--depth", "1", "--epochs", "1", "--seeds", "2", "--jobs", "1"]
TWO = ["--activations", "relu,hinged"]
ROWS = [
    f"c-{i:03},{i // 4},{'' if i % 9 == 0 else i % 50},{['Ulm', 'Rome', ''][i % 3]},"
    f"{'yes' if i % 7 < 3 else 'no'}"
    for i in range(120)
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "my.csv"
    path.write_text("\n".join(["customer,shop,age,city,churn", *ROWS]))
    return path


@pytest.fixture(scope="module")
def compared(table):
    """A finished comparison on the table: its folder and its result."""
    folder = table.parent / "run"
    options = ("--split", "group:shop", *SMALL, *TWO, "--out", str(folder))
    return folder, run("compare", "--data", f"{table}:churn", *options)


IDENTIFIER = "customer: 120 different texts in 120 rows, such as 'c-000', so it looks like an"
FOUND = (
    "churn: 2 different texts, so the task is a classification.",
    "shop: 30 groups. All rows of a group are on the same side of every split, and the group is",
    "Missing values: age (14 of 120 rows).",
)


def test_what_was_found_is_in_terminal_page_and_json(compared):
    folder, result = compared
    assert result.exit_code == 0, result.output
    page = " ".join((folder / "report.html").read_text().split())
    figures = json.loads(run("report", str(folder), "--json").stdout)
    said = " ".join(result.output.split())
    assert said.index("Data: churn: 2 different texts") < said.index("seed 0")
    assert "Data: 120 rows of 4 columns, 5 inputs, 2 classes; 30 % of the groups of shop" in said
    for sentence in FOUND:
        assert sentence in said and sentence in page
        assert any(note.startswith(sentence) for note in figures["data_notes"])
    assert said.count(IDENTIFIER) == 1  # Before the trainings, and not again after them.
    assert any(each.startswith(IDENTIFIER) for each in figures["warnings"])
    assert IDENTIFIER.replace("'", "&#39;") in page


def test_every_training_has_the_same_data_and_the_settings_are_recorded(compared):
    folder = RunFolder(compared[0])
    results = folder.results()
    assert len({result.data_digest for result in results}) == 1 and len(results) == 4
    assert folder.experiment.table.split == "group:shop" and folder.experiment.network.kind == "mlp"
    assert results[0].experiment["table"]["split"] == "group:shop"


def test_the_run_is_not_continued_with_other_rows(capsys, compared, table):
    options = ("--data", f"{table}:churn", *SMALL, *TWO, "--out", str(compared[0]))
    message = error_of(capsys, "compare", *options)
    assert "holds another experiment: there table.split is 'group:shop', not None" in message


def test_a_run_of_an_earlier_version_is_read(compared, tmp_path):
    config = json.loads((compared[0] / "config.json").read_text())
    del config["table"]
    (tmp_path / "trials").mkdir()
    (tmp_path / "config.json").write_text(json.dumps(config))
    for path in (compared[0] / "trials").glob("*.json"):
        record = json.loads(path.read_text())
        del record["experiment"]["table"], record["data_notes"], record["data_warnings"]
        (tmp_path / "trials" / path.name).write_text(json.dumps(record))
    results = RunFolder(tmp_path).results()
    assert len(results) == 4 and results[0].data_notes == ()
    assert RunFolder(tmp_path).experiment.table.split is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "regression"], "got texts in the target column churn; a regression needs num"),
        (["--task", "clustering"], "`--task`: got 'clustering'; expected 'classification' or"),
        (["--split", "customer"], "`--split`: got 'customer'; expected group:COLUMN or time:COLU"),
        (
            ["--split", "group:client"],
            "`--split`: got group:client; the columns are customer, shop",
        ),
        (["--split", "time:city"], "got no times in the column city; choose a column of numbers"),
        (["--leave-out", "age,ages"], "got columns to leave out that do not exist: ages; the"),
        (["--model", "cnn"], "a cnn needs images: use `--model mlp`"),
    ],
)
def test_options_of_tables_are_refused_in_words(capsys, table, options, message):
    assert message in error_of(capsys, "compare", "--data", f"{table}:churn", *SMALL, *options)


def test_options_of_tables_need_a_table(capsys):
    message = error_of(capsys, "compare", "--data", "digits", "--split", "group:a")
    assert "`--split`: got a value for the data set digits; only a .csv or .parquet file" in message
