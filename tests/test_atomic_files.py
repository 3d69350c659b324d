import os
import threading

import pytest

from hinged import atomic_files
from hinged.atomic_files import atomic_write, remove_partials


def partials(folder):
    return list(folder.rglob("*.partial"))


@pytest.mark.parametrize(
    "owner", [os.getpid, lambda: 1, lambda: 999_999_999], ids=["this", "first", "none"]
)
def test_files_of_ended_processes_are_removed_even_if_a_new_process_has_their_id(tmp_path, owner):
    (tmp_path / f".hinged-{owner()}-abc.partial").write_text("half")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / ".hinged-abc.partial").write_text("half")
    (tmp_path / ".hinged-notes").write_text("whole")
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".hinged-notes"]


def test_a_file_that_is_being_written_is_kept(tmp_path, monkeypatch):
    kept, real = [], os.fsync

    def sweep(descriptor):
        remove_partials(tmp_path)
        kept.extend(partials(tmp_path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sweep)
    atomic_write(tmp_path / "note", b"whole")
    assert len(kept) == 1 and not partials(tmp_path)
    assert (tmp_path / "note").read_bytes() == b"whole"


def test_a_file_removed_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    flock, calls = atomic_files.fcntl.flock, []

    def remove_first(file, operation):
        if not calls:
            for path in partials(tmp_path):
                path.unlink()
        calls.append(operation)
        flock(file, operation)

    monkeypatch.setattr(atomic_files.fcntl, "flock", remove_first)
    atomic_write(tmp_path / "note", b"whole")
    assert len(calls) == 2 and (tmp_path / "note").read_bytes() == b"whole"


def test_writing_while_others_sweep_loses_nothing(tmp_path):
    done = threading.Event()

    def sweep():
        while not done.is_set():
            remove_partials(tmp_path)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    for number in range(200):
        atomic_write(tmp_path / "note", b"%d" % number)
        assert (tmp_path / "note").read_bytes() == b"%d" % number
    done.set()
    sweeper.join()


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    atomic_write(tmp_path / "note", b"old")

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        atomic_write(tmp_path / "note", b"new")
    assert (tmp_path / "note").read_bytes() == b"old" and not partials(tmp_path)
