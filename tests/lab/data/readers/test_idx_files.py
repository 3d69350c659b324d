import gzip
import hashlib
import struct

import numpy as np
import pytest

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import idx_files


def written(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def tiny(tmp_path):
    images = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    labels = np.array([0, 9, 3], np.uint8)
    contents = [written(array) for array in (images, labels, images[1:], labels[1:])]
    folder = tmp_path / "images" / "tiny"
    folder.mkdir(parents=True)
    for file, content in zip(idx_files.FILES, contents, strict=True):
        (folder / f"{file}.gz").write_bytes(gzip.compress(content))
    md5 = tuple(hashlib.md5(content).hexdigest() for content in contents)
    return idx_files.IdxDataSet("tiny", "MNIST", "three pictures", md5), images


def test_four_files(tmp_path, tiny):
    source, images = tiny
    splits = idx_files.read_idx_data_set(source, tmp_path)
    np.testing.assert_array_equal(splits.x_train.squeeze(1).numpy(), images)
    assert splits.y_train.tolist() == [0, 9, 3] and splits.y_test.tolist() == [9, 3]


def test_unpacked_files_as_torchvision_leaves_them(tmp_path, tiny):
    source, _ = tiny
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (tmp_path / "images" / "tiny").iterdir():
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(idx_files.read_idx_data_set(source, tmp_path).x_train) == 3


def test_fewer_bytes_than_the_header_says(tmp_path):
    content = written(np.zeros((2, 3), np.uint8))[:-1]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(errors.DataError, match=r"the header says shape \(2, 3\)"):
        idx_files.parse_idx_file(tmp_path / "file", hashlib.md5(content).hexdigest())


@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("fashion-mnist", 0.2860)])
def test_the_real_data_sets(real, name, mean):
    loaded = data.load_data_set(name, real)
    assert loaded.x_train.shape == (60000, 1, 28, 28) and len(loaded.x_test) == 10000
    assert loaded.mean.item() / 255 == pytest.approx(mean, abs=5e-5)
    assert loaded.y_test.bincount().min() >= 892
