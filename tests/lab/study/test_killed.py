"""A study is safe against being killed at any moment and a full disk; processes share it."""

import random
import re
import time

import pytest
import safetensors.torch

from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.study_folder import StudyFolder
from tests.lab.study.conftest import TINY
from tests.processes import start_command

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
    """The folder of a run that is left alone, and how long it took."""
    base = tmp_path_factory.mktemp("alone")
    begun = time.perf_counter()
    process = start(study, base / "run", base / "log")
    process.join()
    assert process.exitcode == 0, (base / "log").read_text()
    return base / "run", time.perf_counter() - begun


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
def test_killed_at_ten_moments_it_ends_with_the_records_of_one_left_alone(study, alone, tmp_path):
    undisturbed, seconds = alone
    out, moments, kept = tmp_path / "run", random.Random(0), {}
    for kill in range(KILLS):
        process = start(study, out, tmp_path / "log")
        # Ten of these are half the time it takes: they hit before the work is done.
        process.join(moments.uniform(0.0, seconds / KILLS))
        assert process.exitcode is None or kill > KILLS // 2, (tmp_path / "log").read_text()
        process.kill()
        process.join()
        present = trials(out)
        assert kept.items() <= present.items(), "a finished trial was lost or done again"
        kept = present
    last = start(study, out, tmp_path / "log")
    last.join()
    assert last.exitcode == 0, (tmp_path / "log").read_text()
    assert kept.items() <= trials(out).items()
    assert not list(out.rglob("*.partial"))
    assert records(out) == records(undisturbed)


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
    assert records(out) == records(alone[0])


@pytest.mark.slow
def test_a_process_takes_over_what_another_was_killed_at(study, alone, tmp_path):
    out = tmp_path / "run"
    first, second = (start(study, out, tmp_path / name) for name in ("first", "second"))
    while not trials(out):
        time.sleep(0.01)
        assert first.exitcode is None
    first.kill()
    second.join()
    assert second.exitcode == 0, (tmp_path / "second").read_text()
    assert records(out) == records(alone[0])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["trials/*.json", "results.jsonl", "curves/*.safetensors"])
def test_a_full_disk_stops_it_with_a_sentence_and_it_goes_on_when_there_is_room(
    study, alone, tmp_path, file
):
    out, log = tmp_path / "run", tmp_path / "log"
    # Less than any of these needs; in every run they are as large to some digits of times.
    limit = min(path.stat().st_size for path in alone[0].rglob(file)) - 100
    process = start(study, out, log, limit)
    process.join()
    assert process.exitcode == 2, log.read_text()
    said = log.read_text().splitlines()[-1]
    assert (
        said.startswith(f"hinged: {out / 'cells'}") and "cannot be written: File too large" in said
    )
    assert said.endswith(
        "Make room there and give the same command again: it goes on with what is missing."
    )
    assert "Traceback" not in log.read_text()
    assert not list(out.rglob("*.partial")) and not list(out.rglob("failed/*"))
    kept = trials(out)
    again = start(study, out, log)
    again.join()
    assert again.exitcode == 0, log.read_text()
    assert kept.items() <= trials(out).items() and records(out) == records(alone[0])
