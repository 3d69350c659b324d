"""Measures the accuracy of trained networks before and after `hinged.convert`.

Usage: python benchmarks/converted_accuracy.py DATA [RECORD.json]

DATA is the folder that `HINGED_DATA` names. The ResNets, MobileNetV2 and SqueezeNet have public
weights. The small CNNs are trained here for a few minutes on CIFAR-10 in JPEG quality, because
their activations (GELU, SiLU, Hardswish) have no exact curves.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import hinged
from hinged import _torchvision_operators
from hinged.lab.experiment.environment import describe_environment
from hinged.lab.networks.resnet20 import BasicBlock, ResNet20

MEAN, STD = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
TRAINING_IMAGES, EPOCHS, BATCH = 15_000, 4, 100
SMOOTH = (nn.GELU, nn.SiLU, nn.Hardswish)

Task = tuple[str, nn.Module, Tensor, Tensor, Tensor]
"""A name, a trained network, the batch for `convert`, and the test images with their labels."""


def normalised(pixels: np.ndarray[Any, Any]) -> Tensor:
    """Return images of shape (N, 3, H, W) with values 0 to 255 in the units of the networks."""
    return (torch.from_numpy(pixels).float() / 255 - MEAN) / STD


def decoded(pack: Any, start: int, stop: int) -> np.ndarray[Any, Any]:
    """Return images of a pack of JPEG files, shape (N, 3, H, W)."""
    from PIL import Image

    offset, data = pack["offset"], pack["jpeg"]
    files = (data[offset[i] : offset[i + 1]].tobytes() for i in range(start, stop))
    images = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    return np.stack(images).transpose(0, 3, 1, 2)


def residual_networks(folder: Path) -> Iterator[Task]:
    """Yield the ResNets of CIFAR-10, with images that no compression has changed."""
    with np.load(folder / "images" / "cifar10_exact_subset.npz") as pack:
        train, test = normalised(pack["x_train"][:256]), normalised(pack["x_test"])
        labels = torch.from_numpy(pack["y_test"]).long()
    for more_blocks, file in ((0, "resnet20-12fca82f.th"), (6, "resnet56-4bfd9763.th")):
        saved = torch.load(folder / "weights" / file, map_location="cpu")["state_dict"]
        model = ResNet20()
        for stage, width in ((model.layer1, 16), (model.layer2, 32), (model.layer3, 64)):
            stage.extend(BasicBlock(width, width, 1) for _ in range(more_blocks))
        model.load_state_dict({name.removeprefix("module."): w for name, w in saved.items()})
        yield file.partition("-")[0], model, train, test, labels


def imagenet_networks(folder: Path) -> Iterator[Task]:
    """Yield MobileNetV2 and SqueezeNet, with 500 images of ImageNet."""
    _torchvision_operators.declare_missing()
    from torchvision import models

    with np.load(folder / "images" / "imagenet_sample_500.npz") as pack:
        pixels = decoded(pack, 0, len(pack["label"]))
        labels = torch.from_numpy(pack["label"]).long()
    model: nn.Module = models.mobilenet_v2()
    model.load_state_dict(torch.load(folder / "weights" / "mobilenet_v2-b0353104.pth"))
    images = normalised(pixels)
    yield "mobilenet_v2", model, images[:32], images, labels
    model = models.squeezenet1_0()
    file = "squeezenet1_0_deepcompressed_torchvision_names.pth"
    model.load_state_dict(torch.load(folder / "weights" / file))
    means = torch.tensor([104.0, 117.0, 123.0])[:, None, None]  # Blue, green, red.
    images = torch.from_numpy(pixels).float().flip(1) - means
    yield "squeezenet1_0", model, images[:32], images, labels


def small_network(activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a CNN of six convolutions with BatchNorm."""
    layers: list[nn.Module] = []
    sizes = [(3, 24, 1), (24, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1)]
    for before, after, stride in sizes:
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]
        layers.append(activation())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))


def train(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Train a network with AdamW and a learning rate that rises and falls."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    steps = EPOCHS * len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            batch = images[chosen]
            batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
            optimizer.zero_grad()
            functional.cross_entropy(model(batch), labels[chosen]).backward()
            optimizer.step()
            schedule.step()


def small_networks(folder: Path) -> Iterator[Task]:
    """Train and yield a small CNN for each smooth activation."""
    with np.load(folder / "images" / "cifar10_jpeg.npz") as pack:
        first = int(pack["n_train"])
        images = normalised(decoded(pack, 0, TRAINING_IMAGES))
        test = normalised(decoded(pack, first, len(pack["label"])))
        labels = torch.from_numpy(pack["label"]).long()
    for activation in SMOOTH:
        torch.manual_seed(0)
        model = small_network(activation)
        train(model, images, labels[:TRAINING_IMAGES])
        yield f"CNN with {activation.__name__}", model, images[:256], test, labels[first:]


@torch.no_grad()
def outputs(model: nn.Module, images: Tensor) -> Tensor:
    """Return the outputs of a network in evaluation mode."""
    return torch.cat([model.eval()(batch) for batch in images.split(100)])


def measure(model: nn.Module, batch: Tensor, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the accuracy of a network before and after conversion, and the agreement, in %."""
    before = outputs(model, images)
    hinged.convert(model, batch)
    after = outputs(model, images)
    first, second = before.argmax(dim=1), after.argmax(dim=1)
    shares = ((first == labels), (second == labels), (first == second))
    names = ("accuracy before", "accuracy after", "same predictions")
    found = {
        name: 100 * share.double().mean().item() for name, share in zip(names, shares, strict=True)
    }
    listed = [site.error for site in hinged.sites(model).converted]
    change = (after - before).abs().max().item()
    return {**found, "images": len(labels), "largest error": max(listed), "largest change": change}


def main(folder: Path, record: Path | None) -> None:
    """Measure all networks, print the figures, and write them to a file."""
    results = {}
    for tasks in (residual_networks, imagenet_networks, small_networks):
        for name, *task in tasks(folder):
            results[name] = measure(*task)
            print(name, {key: round(value, 4) for key, value in results[name].items()}, flush=True)
    if record is not None:
        contents = {"environment": describe_environment(), "results": results}
        record.write_text(json.dumps(contents, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
