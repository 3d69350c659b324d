import io
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from rich.console import Console

from hinged.lab.cli import study_commands
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.study.definition import shipped_studies
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.study_folder import StudyFolder
from tests.cli.run_command import error_of, run
from tests.lab.study.helpers import scores_of_study
from tests.lab.tables import WIDTHS, printed, whole_cells
from tests.processes import start_command, wait_until


@pytest.fixture(scope="module")
def described():
    """What `hinged study list` prints, computed once."""
    return study_commands._describe_shipped()


@pytest.mark.slow
def test_list_names_every_study_with_its_question(described, monkeypatch):
    listed = json.loads(run("study", "list", "--json").stdout)
    assert listed == json.loads(json.dumps(described))
    monkeypatch.setattr(study_commands, "_describe_shipped", lambda: described)
    shown = run("study", "list").output
    assert all(name in shown for name in shipped_studies())
    assert [study["name"] for study in listed] == shipped_studies()
    assert all(study["scales"]["full"]["trainings"] > 0 for study in listed)


def test_show_names_every_cell():
    shown = " ".join(run("study", "show", "hinges").output.split())
    for text in (
        "160 trainings: 28 combinations of settings, 5 seeds",
        "epochs: 5 learning rate: 0.006 training samples: 5,700",
        "of training in all, by the times of 160 recorded trainings on ",
    ):
        assert text in shown
    assert shown.count("expected time: unknown (") == 2
    assert "hinges-33: hinged" in shown and "How many hinges are right" in shown
    assert (
        json.loads(run("study", "show", "hinges", "--json").stdout)["study"]["measure"] == "score"
    )


@pytest.mark.slow
def test_report_writes_the_page_and_the_files_of_a_study(finished, tmp_path):
    folder = shutil.copytree(finished.path, tmp_path / "study")
    options = ("--csv", "--latex", "--figures", "png", "--to", str(tmp_path / "out"))
    shown = run("report", str(folder), *options).output
    names = ["results.csv", "table.csv", "table.tex", "plots/tiny-smoke.png"]
    assert f"Page: {folder / 'report.html'}" in shown and (folder / "report.html").exists()
    for name in names:
        assert f"File: {tmp_path / 'out' / name}" in shown and (tmp_path / "out" / name).exists()
    found = json.loads(run("report", str(folder), "--latex", "--json").stdout)
    assert found["files"] == [str(folder / "table.tex")] and found["name"] == "tiny"


@pytest.mark.slow
def test_run_prints_table_and_answer_and_writes_the_record(tiny, tmp_path):
    tiny.write_text(tiny.read_text().replace("epochs = 1,", 'epochs = 1, precision = "auto",'))
    options = ["--scale", "smoke", "--out", str(tmp_path / "run"), "--jobs", "1"]
    options += ["--precision", "float32"]
    done = run("study", "run", str(tiny), *options, "--record", "--records", str(tmp_path / "r"))
    assert done.exit_code == 0
    assert "9/9" in done.output and "hinges-9  hinged" in done.output
    assert "3 seeds are too few; at least five are needed." in done.output
    written = (tmp_path / "r" / "tiny-smoke.json").read_text()
    assert (tmp_path / "run" / "record.json").read_text() == written
    assert (tmp_path / "run" / "tiny-smoke.svg").exists()
    page = tmp_path / "run" / "report.html"
    assert page.exists() and f"Page: {page}" in done.output
    more = run("study", "run", str(tiny), *options, "--seeds", "4", "--json")
    found = StudyRecord.model_validate_json(more.stdout)
    assert {row.n for row in found.rows} == {4} and found.command.endswith(
        "--seeds 4 --precision float32"
    )
    (tmp_path / "r" / "tiny-smoke.json").unlink()
    taken = run("study", "record", str(tmp_path / "run"), "--records", str(tmp_path / "r"))
    assert taken.exit_code == 0 and (tmp_path / "r" / "tiny-smoke.json").exists()


@pytest.mark.slow
def test_fallback_data_are_used_where_there_is_no_folder_and_it_is_printed(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.delenv("HINGED_DATA", raising=False)
    text = tiny.read_text().replace('data = "digits"', 'data = "mnist"')
    tiny.write_text(text.replace("seeds = 3", 'seeds = 2\nfallback = "digits"'))
    out = tmp_path / "run"
    done = run("study", "run", str(tiny), "--scale", "smoke", "--out", str(out), "--jobs", "1")
    assert "No folder with data sets was found, so the study uses digits instead." in done.output
    assert {row["data"] for row in json.loads((out / "record.json").read_text())["rows"]} == {
        "digits"
    }


def test_copy_gives_a_file_of_ones_own(tmp_path):
    done = run("study", "copy", "hinges", str(tmp_path))
    assert done.exit_code == 0 and "hinges.toml" in done.output
    assert run("study", "show", str(tmp_path / "hinges.toml")).exit_code == 0


def test_a_copy_overwrites_no_file(capsys, tmp_path):
    own = tmp_path / "hinges.toml"
    own.write_text("mine")
    for target in (tmp_path, own):
        error = error_of(capsys, "study", "copy", "hinges", str(target))
        assert f"got {own}, which exists already; give another path" in error
    assert own.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "hinge"], "did you mean 'hinges'"),
        (["run", "nowhere.toml"], "got nowhere.toml, but there is no file of this name"),
        (["run", "hinges", "--scale", "big"], "`--scale`: got 'big'"),
        (["run", "hinges", "--precision", "fp16"], "`--precision`: got 'fp16'"),
        (["record", "nowhere"], "nowhere holds no study"),
        (["copy", "hinges", "a/b.toml"], "got a/b.toml, but there is no folder a; create"),
        (["copy", "hinges", "mine.txt"], "got mine.txt; give the path of a new file that ends"),
    ],
)
def test_bad_use_gets_one_sentence(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    error = error_of(capsys, "study", *arguments)
    assert error.startswith("hinged: ") and message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_interrupt_key_leaves_a_clean_folder_and_the_same_command_continues(
    tiny, tmp_path, finished, jobs
):
    out, log = tmp_path / "run", tmp_path / "log"
    command = ("study", "run", tiny, "--scale", "smoke", "--out", out, "--jobs", jobs)
    process = start_command(log, *command)
    wait_until(lambda: list(out.glob("cells/*/trials/*.json")), process, log)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    printed = log.read_text()
    assert process.exitcode == 130, printed
    assert (
        "hinged: stopped. Run the same command again to continue." in printed
        and "Traceback" not in printed
    )
    assert not list(out.rglob("*.partial"))
    for path in out.glob("cells/*/trials/*.json"):
        TrialResult.model_validate_json(path.read_text())
    again = start_command(log, *command)
    again.join()
    assert again.exitcode == 0, log.read_text()
    assert scores_of_study(StudyFolder(out)) == scores_of_study(finished)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["cifar10-shallow", "overfitting", "regression"])
def test_the_table_of_a_record_fits_the_terminal_and_cuts_no_number(name, width):
    path = Path(__file__).parents[3] / "studies" / "records" / f"{name}-small.json"
    table = study_commands._record_table(StudyRecord.model_validate_json(path.read_text()))
    text, shown = printed(table, width), table.columns_for(width)
    assert all(whole_cells(text, row, shown) for row in table.rows)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_studies_fits_the_terminal(width, described, monkeypatch):
    monkeypatch.setattr(study_commands, "_describe_shipped", lambda: described)
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(study_commands, "wide_console", lambda: console)
    study_commands.list_(False)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    line = next(line for line in text.splitlines() if line.startswith("regression"))
    assert line.split()[-3:] == ["36", "720", "1,440"]


def test_a_logger_is_checked_before_a_folder_is_made(tiny, tmp_path, capsys):
    out = tmp_path / "run"
    command = ("study", "run", str(tiny), "--scale", "smoke", "--logger", "cvs", "--out", str(out))
    assert "did you mean 'csv'" in error_of(capsys, *command) and not out.exists()
