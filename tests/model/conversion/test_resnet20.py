"""A ResNet20 with public weights: its ReLUs become curves and ReLUs again, without any change."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import hinged
from hinged.lab.networks.resnet20 import ResNet20


def pretrained_network(folder):
    model = ResNet20()
    saved = torch.load(folder / "weights" / "resnet20-12fca82f.th", map_location="cpu")
    weights = {name.removeprefix("module."): w for name, w in saved["state_dict"].items()}
    model.load_state_dict(weights)
    return model.eval()


def exact_images(folder):
    with np.load(folder / "images" / "cifar10_exact_subset.npz") as pack:
        pixels, labels = torch.from_numpy(pack["x_test"]), torch.from_numpy(pack["y_test"]).long()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    return (pixels.float() / 255 - mean) / std, labels


@torch.no_grad()
def logits(model, images):
    return torch.cat([model(batch) for batch in images.split(128)])


@pytest.mark.slow
@pytest.mark.skipif("HINGED_DATA" not in os.environ, reason="HINGED_DATA names no folder of data")
def test_the_logits_of_a_pretrained_resnet20_do_not_change_by_a_bit_at_tolerance_0():
    folder = Path(os.environ["HINGED_DATA"])
    images, labels = exact_images(folder)
    model = pretrained_network(folder)
    expected = logits(model, images)
    assert (expected.argmax(dim=1) == labels).sum() == 932  # of 1,017
    hinged.convert(model, images[:256])
    assert len(hinged.sites(model).converted) == 19
    assert torch.equal(logits(model, images), expected)
    assert hinged.share(model, 0.0).parameters == (6192, 171)
    assert torch.equal(logits(model, images), expected)
    assert hinged.simplify(model, 0.0).parameters == (171, 57)
    assert torch.equal(logits(model, images), expected)
    result = hinged.to_native(model, 0.0)
    assert set(result.replaced.values()) == {"relu"} and len(result.replaced) == 19
    assert torch.equal(logits(model, images), expected)
    hinged.revert(model)
    assert torch.equal(logits(model, images), expected) and "hinged" not in model._modules
