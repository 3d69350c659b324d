import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import image_packs
from hinged.lab.data.readers.image_decoding import decode_image
from hinged.lab.problems import Classification
from tests.lab.data.encode_images import encode


@pytest.fixture
def pack(tmp_path, pictures):
    """A pack of six PNGs, the last one grey, and its pixels."""
    images = pictures(6)
    images[5] = images[5, :, :, :1]
    files = [encode(image) for image in images[:5]] + [encode(images[5, :, :, 0])]
    file = io.BytesIO()
    np.savez(
        file,
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        offset=np.cumsum([0, *map(len, files)]),
        label=np.array([0, 1, 2, 0, 1, 2], np.uint8),
        n_train=np.array(4),
        classes=np.array(["a", "b", "c"]),
    )
    (tmp_path / "pack.npz").write_bytes(file.getvalue())
    sha256 = hashlib.sha256(file.getvalue()).hexdigest()
    return image_packs.ImagePack("tiny", "pack.npz", sha256, "six pictures"), images


def test_encoded_images(tmp_path, pack):
    described, images = pack
    for _ in range(2):  # Decoded, then from the cache.
        splits = image_packs.read_encoded_pack(described, tmp_path)
        read = torch.cat([splits.x_train, splits.x_test]).numpy()
        np.testing.assert_array_equal(read, images.transpose(0, 3, 1, 2))
        assert splits.y_train.tolist() == [0, 1, 2, 0] and splits.y_test.tolist() == [1, 2]
        assert splits.problem == Classification(3, ("a", "b", "c"))


def test_a_pack_with_another_checksum_is_rejected(tmp_path, pack):
    described, _ = pack
    path = tmp_path / "pack.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        errors.DataError, match=r"a file with SHA-256 .* instead of .*copy it again"
    ):
        image_packs.read_encoded_pack(described, tmp_path)
    truncated = replace(described, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(errors.DataError, match=r"cannot be read .*zip"):
        image_packs.read_encoded_pack(truncated, tmp_path)


def test_a_missing_pack(tmp_path):
    with pytest.raises(errors.DataError, match=r"a folder without images/cifar10_jpeg\.npz; put"):
        data.load_data_set("cifar10-jpeg", tmp_path)
    with pytest.raises(errors.DataError, match="no folder of data sets"):
        data.load_data_set("cifar10-jpeg")


def test_the_jpeg_pack_is_never_called_cifar10():
    assert image_packs.CIFAR10_JPEG.name == "cifar10-jpeg"
    assert "never with figures published for CIFAR-10" in image_packs.CIFAR10_JPEG.about


def test_the_exact_subset(real):
    loaded = data.load_data_set("cifar10-exact-subset", real)
    assert loaded.x_train.shape == (5085, 3, 32, 32) and len(loaded.x_test) == 1017
    # CIFAR-10's own means; the standard error over 5,085 images is about half a unit.
    published = 255 * torch.tensor([0.4914, 0.4822, 0.4465])
    torch.testing.assert_close(loaded.mean, published, atol=1.5, rtol=0)


@pytest.fixture
def decode_only(monkeypatch):
    """Returns a function that limits decoding to some images of a pack; the others stay black.

    The files are known by their checksums, and decoding all of their 98,500 images takes 15 s.
    """

    def limit(indices, side):
        indices, black = set(indices), np.zeros((3, side, side), np.uint8)

        def decode(encoded, name):
            return decode_image(encoded, name) if int(name.split()[1]) in indices else black

        monkeypatch.setattr(image_packs, "decode_image", decode)

    return limit


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, train, test, classes",
    [("tiny-imagenet-20", 10000, 1000, 20), ("tiny-imagenet-50", 25000, 2500, 50)],
)
def test_tiny_imagenet(real, decode_only, name, train, test, classes):
    decode_only(range(0, train + test, 50), side=64)
    loaded = data.load_data_set(name, real)
    assert loaded.x_train.shape == (train, 3, 64, 64) and loaded.x_test.shape[0] == test
    assert loaded.y_train.bincount().tolist() == [train // classes] * classes
    assert (loaded.x_train[::50].flatten(1).float().std(dim=1) > 1).all()


@pytest.mark.slow
def test_cifar10_jpeg_has_the_exact_images_except_for_compression(real, decode_only):
    indices = np.load(real / "images" / "cifar10_exact_subset.npz")["test_index"]
    decode_only(50_000 + indices, side=32)
    loaded = data.load_data_set("cifar10-jpeg", real)
    assert len(loaded.x_train) == 50_000 and len(loaded.x_test) == 10_000
    exact = data.load_data_set("cifar10-exact-subset", real)
    assert torch.equal(loaded.y_test[indices], exact.y_test)
    difference = loaded.x_test[indices].float() - exact.x_test.float()
    assert 1 < difference.square().mean().sqrt() < 15
