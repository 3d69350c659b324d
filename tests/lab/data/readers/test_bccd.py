import hashlib
import zipfile

import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers.bccd import read_reduced_bccd
from tests.lab.data.encode_images import encode

BOX = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
ANNOTATIONS = {
    "a": BOX.format("RBC", 1, 2, 5, 6) + BOX.format("WBC", 3, 3, 3, 7),
    "b": BOX.format("Platelets", 0, 0, 8, 8) + BOX.format("WBC", 1, 1, 2, 2),
    "c": "",
}


@pytest.fixture
def archive(tmp_path, pictures):
    path = tmp_path / "bccd.zip"
    with zipfile.ZipFile(path, "w") as file:
        for (name, boxes), picture in zip(ANNOTATIONS.items(), pictures(3), strict=True):
            file.writestr(f"BCCD/JPEGImages/{name}.jpg", encode(picture))
            file.writestr(f"BCCD/Annotations/{name}.xml", f"<annotation>{boxes}</annotation>")
        for split, names in (("train", "b"), ("val", "a"), ("test", "c")):
            file.writestr(f"BCCD/ImageSets/Main/{split}.txt", f"{names}\n")
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_splits_boxes_and_labels_without_degenerate_boxes(tmp_path, archive, pictures):
    splits = data.read_bccd(tmp_path, digest(archive))
    assert list(splits) == ["train", "val", "test"]
    assert [box.tolist() for box in splits["val"].boxes] == [[[1, 2, 5, 6]]]
    assert [label.tolist() for label in splits["train"].labels] == [[2, 1]]
    assert splits["test"].boxes[0].shape == (0, 4)
    expected = torch.from_numpy(pictures(3)).permute(0, 3, 1, 2)
    assert torch.equal(splits["val"].images, expected[:1])


def test_a_truncated_archive(tmp_path, archive):
    with pytest.raises(errors.DataError, match="a file with SHA-256"):
        data.read_bccd(tmp_path)
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(errors.DataError, match="the file is damaged or incomplete"):
        data.read_bccd(tmp_path, digest(archive))


@pytest.mark.slow
def test_the_real_data_set(real):
    splits = data.read_bccd(real)
    assert [len(split) for split in splits.values()] == [205, 87, 72]
    boxes = torch.cat([box for split in splits.values() for box in split.boxes])
    assert len(boxes) == 4888 - 2
    assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min() >= 0
    assert boxes[:, 2].max() <= 640 and boxes[:, 3].max() <= 480


def test_reduced_images_are_divided_into_two_splits(tmp_path, archive):
    loaded = read_reduced_bccd(tmp_path, digest(archive))
    assert loaded.x_train.shape == (2, 3, 2, 2) and loaded.x_test.shape == (1, 3, 2, 2)
    assert len(loaded.y_train) == 2 and len(loaded.y_test) == 1
    assert loaded.problem.size == (2, 2)
