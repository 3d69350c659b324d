import numpy as np
import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import image_decoding, image_folders
from tests.lab.data.encode_images import encode


def fill(folder, pictures, kinds=("cat", "dog"), each=4, side=8, seed=0):
    drawn = pictures(len(kinds) * each, side, seed)
    for place, picture in enumerate(drawn):
        path = folder / kinds[place // each] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2)


@pytest.mark.parametrize("test", ["test", "val"])
def test_a_folder_of_two_splits(tmp_path, pictures, test):
    train, held = (
        fill(tmp_path / "train", pictures),
        fill(tmp_path / test, pictures, seed=1, each=2),
    )
    loaded = data.load_data_set(str(tmp_path))
    assert torch.equal(loaded.x_train, train) and torch.equal(loaded.x_test, held)
    assert loaded.y_train.tolist() == [0] * 4 + [1] * 4 and loaded.y_test.tolist() == [0, 0, 1, 1]
    assert loaded.problem.names == ("cat", "dog")


def test_a_folder_of_classes_is_divided(tmp_path, pictures):
    whole = fill(tmp_path, pictures, each=10)
    loaded = data.load_data_set(str(tmp_path))
    assert loaded.y_train.bincount().tolist() == [7, 7] and loaded.y_test.tolist().count(1) == 3
    assert loaded.problem.names == ("cat", "dog")
    both = torch.cat([loaded.x_train, loaded.x_test]).flatten(1)
    assert {tuple(row) for row in both.tolist()} == {
        tuple(row) for row in whole.flatten(1).tolist()
    }


def test_images_of_different_sizes(tmp_path, pictures):
    fill(tmp_path, pictures)
    for height, width in ((6, 30), (30, 6)):
        picture = np.full((height, width, 3), 9, np.uint8)
        (tmp_path / "cat" / "other.png").write_bytes(encode(picture))
        said = rf"images of 8 x 8 pixels and {height} x {width}.*:64"
        with pytest.raises(errors.DataError, match=said) as refused:
            data.load_data_set(str(tmp_path))
        assert str(refused.value).count("\n") == 0
    loaded = data.load_data_set(f"{tmp_path}:4")
    assert loaded.x_train.shape[1:] == (3, 4, 4)


@pytest.mark.parametrize("transpose", [False, True])
def test_of_a_long_image_the_middle_is_taken(transpose):
    """Its left quarter is black, its right quarter is white, and its middle is grey."""
    picture = np.repeat(np.array([0, 100, 100, 255], np.uint8), 6)[None, :, None]
    picture = np.broadcast_to(picture, (12, 24, 3))
    picture = picture.transpose(1, 0, 2) if transpose else picture
    scaled = image_decoding.decode_image(encode(picture.copy()), "a.png", 12)
    assert scaled.shape == (3, 12, 12) and (scaled == 100).all()


@pytest.mark.parametrize("transpose", [False, True])
def test_of_an_odd_number_of_pixels_the_smaller_half_is_cut_off_first(transpose):
    picture = np.broadcast_to(np.arange(7, dtype=np.uint8)[None, :, None], (4, 7, 3))
    picture = picture.transpose(1, 0, 2) if transpose else picture
    cut = image_decoding.decode_image(encode(picture.copy()), "a.png", 4)[0]
    assert (cut.T if transpose else cut)[0].tolist() == [1, 2, 3, 4]


def test_images_that_do_not_fit_into_memory(monkeypatch):
    def no_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(image_decoding.np, "empty", no_memory)
    message = "got 1,000 images of 20 x 30 pixels, which do not fit into memory; make smaller"
    with pytest.raises(errors.DataError, match=message):
        image_decoding.stack_images([np.zeros((3, 20, 30), np.uint8)], 1000, "cats")


def test_a_changed_image_is_decoded_again(tmp_path, pictures):
    fill(tmp_path / "train", pictures), fill(tmp_path / "test", pictures)
    first = image_folders.read_image_folder(tmp_path)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(encode(np.zeros((8, 8, 3), np.uint8)))
    assert not torch.equal(image_folders.read_image_folder(tmp_path).x_train[0], first.x_train[0])


def test_a_truncated_image(tmp_path, pictures):
    fill(tmp_path, pictures)
    path = tmp_path / "dog" / "5.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(errors.DataError, match=r"5\.png`: got a file that cannot be read"):
        image_folders.read_image_folder(tmp_path)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(
        errors.DataError, match="a folder without images in class folders; put the images"
    ):
        image_folders.read_image_folder(tmp_path)


def test_a_class_that_only_the_test_split_has(tmp_path, pictures):
    fill(tmp_path / "train", pictures), fill(tmp_path / "test", pictures, kinds=("cat", "fox"))
    with pytest.raises(errors.DataError, match="classes without training images: fox"):
        image_folders.read_image_folder(tmp_path)
