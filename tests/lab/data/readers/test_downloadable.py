import hashlib
import pickle

import numpy as np
import pytest
import scipy.io
import torch

from hinged import errors
from hinged.lab import data
from tests.lab.data.encode_images import encode

datasets = pytest.importorskip("torchvision.datasets", exc_type=ImportError)


def pickled(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """CIFAR-10 in torchvision's layout, of two images to train on and one to test on."""
    rows = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
    base = tmp_path / datasets.CIFAR10.base_folder
    lists = {"train_list": ("a", rows[:2], [3, 9]), "test_list": ("b", rows[2:], [0])}
    for attribute, (file, part, labels) in lists.items():
        md5 = pickled(base / file, {"data": part, "labels": labels})
        monkeypatch.setattr(datasets.CIFAR10, attribute, [[file, md5]])
    meta = {
        "filename": "m",
        "key": "names",
        "md5": pickled(base / "m", {"names": list("abcdefghij")}),
    }
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return rows


def test_cifar10_in_the_layout_of_torchvision(tmp_path, cifar10):
    loaded = data.load_data_set("cifar10", tmp_path)
    np.testing.assert_array_equal(loaded.x_train.numpy(), cifar10[:2].reshape(2, 3, 32, 32))
    assert loaded.y_train.tolist() == [3, 9] and loaded.y_test.tolist() == [0]
    assert loaded.about.startswith("CIFAR-10: ")
    assert loaded.problem.names == tuple("abcdefghij")


@pytest.mark.usefixtures("cifar10")
def test_torchvision_finds_a_damaged_file(tmp_path):
    (tmp_path / datasets.CIFAR10.base_folder / "a").write_bytes(b"other")
    with pytest.raises(errors.DataError, match="a folder without all files of CIFAR10"):
        data.load_data_set("cifar10", tmp_path)


def test_svhn_in_the_layout_of_torchvision(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    splits = {}
    for split in ("train", "test"):
        path = tmp_path / f"{split}.mat"
        scipy.io.savemat(path, {"X": images, "y": np.array([[1], [10], [2], [3]])})
        splits[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(datasets.SVHN, "split_list", splits)
    loaded = data.load_data_set("svhn", tmp_path)
    np.testing.assert_array_equal(loaded.x_train[1].numpy(), images[:, :, :, 1].transpose(2, 0, 1))
    assert loaded.y_train.tolist() == [1, 0, 2, 3]


def test_tiny_imagenet_as_unpacked(tmp_path, pictures):
    root = tmp_path / "tiny-imagenet-200"
    images = iter(pictures(5))
    for kind in ("n1", "n2"):
        folder = root / "train" / kind / "images"
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"{kind}_{number}.JPEG").write_bytes(encode(next(images)))
    (root / "val" / "images").mkdir(parents=True)
    (root / "val" / "images" / "v0.JPEG").write_bytes(encode(next(images)))
    (root / "val" / "val_annotations.txt").write_text("v0.JPEG\tn2\t0\t0\t62\t62\n")
    loaded = data.load_data_set("tiny-imagenet", tmp_path)
    assert loaded.y_train.tolist() == [0, 0, 1, 1] and loaded.y_test.tolist() == [1]
    expected = torch.from_numpy(pictures(5)).permute(0, 3, 1, 2)
    assert torch.equal(torch.cat([loaded.x_train, loaded.x_test]), expected)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "tiny-imagenet"])
def test_a_data_set_that_the_folder_lacks(tmp_path, name):
    with pytest.raises(errors.DataError, match=r"a folder without"):
        data.load_data_set(name, tmp_path)


def test_no_network_gets_one_sentence(monkeypatch):
    def fail(**_):
        raise OSError("no route\nto host")

    monkeypatch.setattr(datasets, "MNIST", fail)
    with pytest.raises(
        errors.DataError, match=r"could not be downloaded \(no route to host\); without a network"
    ):
        data.load_data_set("mnist")
