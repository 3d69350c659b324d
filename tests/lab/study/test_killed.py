"""A study is safe against being killed at any moment and a full disk; processes share it."""

import re

import pytest
import safetensors.torch

from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.study_folder import StudyFolder
from tests.lab.study.helpers import TINY
from tests.processes import start_command, wait_until

TIMES = {"step_ms", "seconds", "finished", "step_ratio", "made"}
KILLS = 10


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Trainings long enough to be hit: 9 of a quarter of a second each or more."""
    path = tmp_path_factory.mktemp("studies") / "tiny.toml"
    path.write_text(TINY.replace("train_size = 100", "train_size = 800, training = { epochs = 8 }"))
    return path


def start(study, out, log, limit=None):
    command = ("study", "run", study, "--scale", "smoke", "--jobs", 1, "--out", out)
    return start_command(log, *command, limit=limit)


@pytest.fixture(scope="module")
def alone(study, tmp_path_factory):
    """The folder of a run that is left alone."""
    base = tmp_path_factory.mktemp("alone")
    process = start(study, base / "run", base / "log")
    process.join()
    assert process.exitcode == 0, (base / "log").read_text()
    return base / "run"


def records(out):
    """All that a study's folder holds, but for the times."""
    folder, found = StudyFolder(out), {}
    for cell in folder.plan.cells():
        run = folder.run_folder(cell)
        listed = RunFolder(run.path).read_results_file()
        assert listed == run.results() and run.failures() == []
        for result in listed:
            found[cell.name, result.activation, result.seed] = result.model_dump(exclude=TIMES)
    for path in out.rglob("*.safetensors"):
        tensors = safetensors.torch.load_file(path)
        found[path.relative_to(out)] = {name: t.tolist() for name, t in tensors.items()}
    record = StudyRecord.model_validate_json((out / "record.json").read_text())
    found["rows"] = [row.model_dump(exclude=TIMES) for row in record.rows]
    return found


def trials(out):
    """The finished trials, each read whole."""
    return {p: TrialResult.model_validate_json(p.read_text()) for p in out.rglob("trials/*.json")}


@pytest.mark.slow
def test_killed_after_ten_events_it_ends_with_the_records_of_one_left_alone(study, alone, tmp_path):
    out, log, kept = tmp_path / "run", tmp_path / "log", {}
    # The plan, then in turn: a trial begins (its lock is made), a trial is finished.
    events = ["study.json", *(["cells/*/.locks/*-seed*", "cells/*/trials/*.json"] * 5)][:KILLS]
    for event in events:
        before = set() if event == "study.json" else set(out.glob(event))
        process = start(study, out, log)
        wait_until(lambda e=event, b=before: set(out.glob(e)) - b, process, log)
        process.kill()
        process.join()
        present = trials(out)
        assert kept.items() <= present.items(), "a finished trial was lost or trained again"
        kept = present
    assert len(kept) < 9, "it was killed before its end"
    last = start(study, out, log)
    last.join()
    assert last.exitcode == 0, log.read_text()
    assert kept.items() <= trials(out).items()
    assert not list(out.rglob("*.partial"))
    assert records(out) == records(alone)


def said_done(log):
    """The trials that a process said it finished."""
    return re.findall(r"/9 +(\S+ +\w+ +seed \d+)", log.read_text())


@pytest.mark.slow
def test_two_processes_share_a_study(study, alone, tmp_path):
    logs, out = (tmp_path / "first", tmp_path / "second"), tmp_path / "run"
    both = [start(study, out, log) for log in logs]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0], [log.read_text() for log in logs]
    first, second = map(said_done, logs)
    assert first and second, "both did some"
    assert len(first + second) == len(set(first + second)) == 9, "each trial was done once"
    assert records(out) == records(alone)


@pytest.mark.slow
def test_a_process_takes_over_what_another_was_killed_at(study, alone, tmp_path):
    out = tmp_path / "run"
    first, second = (start(study, out, tmp_path / name) for name in ("first", "second"))
    wait_until(lambda: list(out.rglob("trials/*.json")), first, tmp_path / "first")
    first.kill()
    second.join()
    assert second.exitcode == 0, (tmp_path / "second").read_text()
    assert records(out) == records(alone)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["trials/*.json", "results.jsonl", "curves/*.safetensors"])
def test_a_full_disk_stops_it_with_a_sentence_and_it_goes_on_when_there_is_room(
    study, alone, tmp_path, file
):
    out, log = tmp_path / "run", tmp_path / "log"
    # Less than any of these needs; in every run they are as large to some digits of times.
    limit = min(path.stat().st_size for path in alone.rglob(file)) - 100
    process = start(study, out, log, limit)
    process.join()
    assert process.exitcode == 2, log.read_text()
    said = log.read_text().splitlines()[-1]
    assert (
        said.startswith(f"hinged: {out / 'cells'}") and "cannot be written: File too large" in said
    )
    assert said.endswith(
        "Free some disk space and run the same command again. The command skips finished work."
    )
    assert "Traceback" not in log.read_text()
    assert not list(out.rglob("*.partial")) and not list(out.rglob("failed/*"))
    kept = trials(out)
    again = start(study, out, log)
    again.join()
    assert again.exitcode == 0, log.read_text()
    assert kept.items() <= trials(out).items() and records(out) == records(alone)
