import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hinged import errors
from hinged.lab import data
from hinged.lab.data import DataSet
from hinged.lab.data.readers import image_decoding
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings
from hinged.lab.networks import catalogue, pretrained, vision
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.problems import Classification
from hinged.lab.runs.run_trial import weights_digest

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HAS_DATA = pytest.mark.skipif("HINGED_DATA" not in os.environ, reason="HINGED_DATA is not set")
RESNET20 = NetworkSettings(kind="resnet20", pretrained="weights.pt")


def images(classes=3, side=8, channels=3):
    x = torch.randint(256, (6, channels, side, side), dtype=torch.uint8)
    y = torch.arange(6) % classes
    statistics = torch.full((channels,), 100.0), torch.full((channels,), 50.0)
    return DataSet("noise", "noise", x, y, x, y, Classification(classes), *statistics)


def resnet20(classes=3, seed=1):
    torch.manual_seed(seed)
    return vision.find_vision_network("resnet20").make(classes, 8)


def built(weights, activation="original", seed=0, pixels=None, network=RESNET20):
    pixels = pretrained.prepare_images(images() if pixels is None else pixels, network, weights)
    factory = ACTIVATIONS[activation](CurveSettings(init="same"))
    return catalogue.build_network(network, pixels, factory, seed, weights), pixels


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Save an object and return `pretrained.find_weights` for its file."""
    monkeypatch.chdir(tmp_path)

    def saved(content):
        torch.save(content, "weights.pt")
        return pretrained.find_weights(RESNET20)

    return saved


@pytest.mark.parametrize("wrap", ["plain", "module", "lightning"])
def test_a_file_gives_exactly_its_weights(read, wrap):
    state = resnet20().state_dict()
    content = {
        "plain": state,
        "module": {"state_dict": {f"module.{n}": t for n, t in state.items()}, "best": 91.0},
        "lightning": {"epoch": 3, "state_dict": {f"model.{n}": t for n, t in state.items()}},
    }[wrap]
    weights = read(content)
    model, _ = built(weights)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert weights.name.startswith("weights.pt (SHA-256 ")


@pytest.mark.slow
def test_a_head_for_other_classes_is_new_and_depends_on_the_seed_alone(read):
    """`test_catalogue` shows for every activation that the weights do not depend on it."""
    weights = read(resnet20(classes=10).state_dict())
    original, _ = built(weights)
    digests = {weights_digest(built(weights, name)[0]) for name in ("relu", "hinged", "prelu")}
    assert digests == {weights_digest(original)}
    assert weights_digest(built(weights, seed=1)[0]) not in digests
    assert torch.equal(original.layer1[0].conv1.weight, weights.state["layer1.0.conv1.weight"])


@pytest.mark.slow
def test_replaced_activations_do_not_change_the_function(read):
    weights = read(resnet20().state_dict())
    (original, pixels), (relu, _), (hinged, _) = (
        built(weights, name) for name in ("original", "relu", "hinged")
    )
    x = pixels.to_inputs(pixels.x_train)
    expected = original.eval()(x)
    assert torch.equal(relu.eval()(x), expected) and torch.equal(hinged.eval()(x), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bn1.weight"), "bn1.weight is missing"),
        (lambda s: s.update(more=torch.ones(1)), "more is not in the network"),
        (
            lambda s: s.update({"conv1.weight": torch.ones(16, 3, 5, 5)}),
            "conv1.weight has shape (16, 3, 5, 5) instead of (16, 3, 3, 3)",
        ),
    ],
)
def test_all_weights_except_the_head_must_match(read, change, message):
    state = resnet20(classes=10).state_dict()
    change(state)
    with pytest.raises(errors.ArgumentError) as refused:
        built(read(state))
    assert message in str(refused.value) and "saved from the same ResNet20" in str(refused.value)


def test_old_files_without_batch_counts_are_accepted(read):
    state = {n: t for n, t in resnet20().state_dict().items() if "num_batches" not in n}
    model, _ = built(read(state))
    assert torch.equal(model.conv1.weight, state["conv1.weight"])


def test_missing_damaged_and_empty_files_are_errors(read, tmp_path):
    with pytest.raises(errors.ArgumentError, match=r"weights\.pt, which does not exist; give imag"):
        pretrained.find_weights(RESNET20)
    with pytest.raises(errors.DataError, match="contains no state dict"):
        read({"epoch": 3})
    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(errors.DataError, match="cannot be read"):
            pretrained.read_weights_file(tmp_path / name)


def test_a_weights_file_holds_size_and_normalisation_of_the_images(tmp_path):
    model, pixels = resnet20(), replace(images(), side=12)
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "original-seed0.safetensors").write_bytes(
        pretrained.serialize_weights(model, pixels)
    )
    weights = pretrained.find_weights(NetworkSettings(kind="resnet20", pretrained=str(folder)))
    assert weights.side == 12
    assert weights.mean.tolist() == [100.0] * 3 and weights.std.tolist() == [50.0] * 3
    other = replace(pixels, side=None, mean=torch.zeros(3))
    fitted = pretrained.prepare_images(other, NetworkSettings(kind="resnet20"), weights)
    assert torch.equal(fitted.to_inputs(other.x_test), pixels.to_inputs(pixels.x_test))
    assert fitted.digest == other.digest
    (folder / "weights" / "original-seed1.safetensors").write_bytes(b"")
    with pytest.raises(errors.ArgumentError, match="a folder with 2 files in weights/"):
        pretrained.find_weights(NetworkSettings(kind="resnet20", pretrained=str(folder)))


def test_images_are_normalised_and_resized_for_the_weights(read):
    weights = replace(read(resnet20().state_dict()), side=5)
    grey = images(channels=1)
    x = pretrained.prepare_images(grey, RESNET20, weights).to_inputs(grey.x_train)
    rgb = grey.x_train.float().repeat(1, 3, 1, 1) / 255
    expected = (rgb - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    expected = F.interpolate(expected, (5, 5), mode="bilinear", antialias=True)
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)


def test_normalisation_of_grey_images_is_repeated(read):
    grey = images(channels=1)
    weights = replace(read(resnet20().state_dict()), mean=grey.mean, std=grey.std, side=None)
    x = pretrained.prepare_images(grey, RESNET20, weights).to_inputs(grey.x_train)
    assert torch.equal(x, grey.to_inputs(grey.x_train).repeat(1, 3, 1, 1))


def hub_file(monkeypatch, tmp_path, kind, name, state):
    monkeypatch.delenv("HINGED_DATA", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub" / "checkpoints" / name)
    return pretrained.find_weights(NetworkSettings(kind=kind, pretrained="imagenet"))


def test_imagenet_uses_a_file_that_torchvision_downloaded(monkeypatch, tmp_path):
    pytest.importorskip("torchvision")
    state = vision.resnet18(1000, 224).state_dict()
    weights = hub_file(monkeypatch, tmp_path, "resnet18", "resnet18-f37072fd.pth", state)
    assert weights.side == 224 and torch.equal(weights.state["fc.bias"], state["fc.bias"])
    network = NetworkSettings(kind="resnet18", pretrained="imagenet", image_size=40)
    model, pixels = built(weights, pixels=images(), network=network)
    assert pixels.sample_shape == (3, 40, 40)
    assert model.conv1.kernel_size == (7, 7) and model.fc.out_features == 3
    assert torch.equal(model.conv1.weight, state["conv1.weight"])


def test_a_failed_download_says_where_to_put_the_file(monkeypatch, tmp_path):
    models_ = pytest.importorskip("torchvision").models
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("HINGED_DATA", raising=False)

    def unreachable(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(type(models_.ResNet18_Weights.DEFAULT), "get_state_dict", unreachable)
    with pytest.raises(
        errors.DataError, match=r"download of the weights of resnet18 failed \(Name or service"
    ):
        pretrained.find_weights(NetworkSettings(kind="resnet18", pretrained="imagenet"))


def test_imagenet_is_not_published_for_every_network():
    pytest.importorskip("torchvision")
    with pytest.raises(
        errors.ArgumentError, match="imagenet for cnn, for which torchvision publishes"
    ):
        pretrained.find_weights(NetworkSettings(kind="cnn", pretrained="imagenet"))


def test_imagenet_weights_of_timm(monkeypatch):
    timm = pytest.importorskip("timm")
    made = timm.create_model("resnet10t")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: made)
    weights = pretrained.find_weights(NetworkSettings(kind="timm:resnet10t", pretrained="imagenet"))
    assert weights.side == made.pretrained_cfg["input_size"][-1]
    assert weights.mean.tolist() == pytest.approx([255 * m for m in made.pretrained_cfg["mean"]])
    assert torch.equal(weights.state["fc.weight"], made.fc.weight)


def test_a_cnn_starts_from_the_weights_of_another(tmp_path):
    digits = data.load_data_set("digits")
    network = NetworkSettings(width=2, depth=1)
    first = catalogue.build_network(network, digits, ACTIVATIONS["relu"](CurveSettings()), 3)
    (tmp_path / "cnn.safetensors").write_bytes(pretrained.serialize_weights(first, digits))
    weights = pretrained.read_weights_file(tmp_path / "cnn.safetensors")
    for name in ("relu", "hinged"):
        model = catalogue.build_network(
            network, digits, ACTIVATIONS[name](CurveSettings()), 0, weights
        )
        assert weights_digest(model) == weights_digest(first)


def test_bgr_weights_change_the_first_convolution_only():
    conv = nn.Conv2d(3, 4, 3, stride=2)
    pixels = torch.randint(256, (2, 3, 9, 9)).double()
    caffe = pixels.flip(1) - torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1)
    expected = conv.double()(caffe)
    state = {f"first.{name}": tensor.float() for name, tensor in conv.state_dict().items()}
    folded = pretrained.convert_bgr_weights(state, "first")
    x = (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    found = F.conv2d(x, folded["first.weight"].double(), folded["first.bias"].double(), stride=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def photographs(count):
    """The first images of the sample of ImageNet, `(count, 3, 224, 224)`, and their classes."""
    folder = Path(os.environ["HINGED_DATA"])
    with np.load(folder / "images" / "imagenet_sample_500.npz") as pack:
        whole, ends, labels = pack["jpeg"], pack["offset"], pack["label"]
    pixels = (
        image_decoding.decode_image(whole[a:b].tobytes(), "a sample")
        for a, b in pairwise(ends[: count + 1])
    )
    x = torch.from_numpy(image_decoding.stack_images(pixels, count, "the sample"))
    return x, torch.from_numpy(labels[:count]).long()


@pytest.mark.slow
@HAS_DATA
@pytest.mark.parametrize("kind", ["mobilenet_v2", "squeezenet1_0"])
def test_real_weights_recognise_real_images(kind):
    """Both networks recognise 21 of the first 25 images, as measured with torch on a CPU.

    With red and blue exchanged they recognise 15 and 10, with pixels from 0 to 1 it is 16 and 10.
    """
    pytest.importorskip("torchvision")
    x, y = photographs(25)
    network = NetworkSettings(kind=kind, pretrained="imagenet")
    weights = pretrained.find_weights(network)
    task = replace(images(1000), x_train=x[:2], y_train=y[:2])
    pixels = pretrained.prepare_images(task, network, weights)
    model = catalogue.build_network(
        network, pixels, ACTIVATIONS["original"](CurveSettings()), 0, weights
    )
    with torch.no_grad():
        outputs = model.eval()(pixels.to_inputs(x))
    assert (outputs.argmax(dim=1) == y).sum() >= 20
