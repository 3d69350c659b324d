import gzip
import hashlib

import pytest

from hinged import errors
from hinged.lab.data.readers import data_files


def test_the_folder_of_data(tmp_path, monkeypatch):
    assert (
        data_files.find_data_folder(None) is None
        and data_files.find_data_folder(tmp_path) == tmp_path
    )
    monkeypatch.setenv("HINGED_DATA", str(tmp_path))
    assert data_files.find_data_folder(None) == tmp_path
    with pytest.raises(errors.DataError, match="which is not an existing folder; set `data_dir`"):
        data_files.find_data_folder(tmp_path / "missing")


def test_the_first_candidate_that_exists_is_found(tmp_path):
    (tmp_path / "b").touch()
    assert data_files.find_data_file("mine", tmp_path, ["a", "b"]) == tmp_path / "b"
    with pytest.raises(errors.DataError, match="a folder without c; put this file into"):
        data_files.find_data_file("mine", tmp_path, ["c", "d"])
    with pytest.raises(errors.DataError, match="no folder of data sets; set `data_dir`"):
        data_files.find_data_file("mine", None, ["c"])


def test_checksums(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert data_files.verify_sha256(path, hashlib.sha256(b"content").hexdigest()) == path
    with pytest.raises(errors.DataError, match=r"SHA-256 ed7002b439e9\.\.\. instead of 0000"):
        data_files.verify_sha256(path, "0" * 64)


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_unpacked_bytes_and_their_checksum(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"content") if name.endswith("gz") else b"content")
    assert data_files.read_unpacked(path, hashlib.md5(b"content").hexdigest(), 100) == b"content"
    with pytest.raises(errors.DataError, match="damaged, incomplete or another version"):
        data_files.read_unpacked(path, "0" * 32, 100)


def test_a_truncated_archive(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(bytes(1000))[:-12])
    with pytest.raises(errors.DataError, match=r"cannot be read .*: copy it again") as refused:
        data_files.read_unpacked(path, "0" * 32, 100)
    assert str(refused.value).count("\n") == 0
