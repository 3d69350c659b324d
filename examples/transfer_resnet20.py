"""Adapts a pretrained network to another task by 3 % of its parameters.

A ResNet20 that was pretrained on CIFAR-10 learns Fashion-MNIST from 2,000 images. Only its curves,
normalisation and head are trained. For comparison, the same network is trained without curves. The
trained parts are saved to a file and loaded into the pretrained network again.

    HINGED_DATA=<folder> python examples/transfer_resnet20.py

The folder must contain `weights/resnet20-12fca82f.th` (github.com/akamaster/pytorch_resnet_cifar10)
and `images/fashion-mnist/*.gz` (github.com/zalandoresearch/fashion-mnist).
"""

from __future__ import annotations

import gzip
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import hinged
from hinged.lab.networks.resnet20 import ResNet20

HEAD = "linear"


def pretrained(folder: Path) -> ResNet20:
    """Return the network with the public weights, and a head for a new task."""
    saved = torch.load(folder / "weights" / "resnet20-12fca82f.th", map_location="cpu")
    model = ResNet20()
    weights = {name.removeprefix("module."): w for name, w in saved["state_dict"].items()}
    model.load_state_dict(weights)
    torch.manual_seed(0)
    model.linear.reset_parameters()
    return model


def fashion(folder: Path, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Return the first images `(count, 3, 32, 32)`, scaled as in pretraining, and their classes."""
    stem = folder / "images" / "fashion-mnist" / split
    with gzip.open(f"{stem}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16, count=count * 784)
    with gzip.open(f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8, count=count)
    grey = torch.from_numpy(pixels.astype(np.float32)).view(count, 1, 28, 28) / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    images = (functional.pad(grey, (2, 2, 2, 2)) - mean) / std
    return images, torch.from_numpy(labels.astype(np.int64))


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Train the parameters that require gradients by AdamW under a one-cycle schedule."""
    optimiser = torch.optim.AdamW(hinged.param_groups(model, lr=0.01, weight_decay=1e-4))
    steps = epochs * (len(images) // 50)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    random = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=random).split(50):
            if len(batch) == 50:
                optimiser.zero_grad()
                functional.cross_entropy(model(images[batch]), labels[batch]).backward()
                optimiser.step()
                schedule.step()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of images."""
    model.eval()
    return torch.cat([model(batch) for batch in images.split(250)])


@dataclass(frozen=True)
class Result:
    """Result of one fine-tuning: trained parameters, accuracy, size of the file, and whether the
    restored network gives the same outputs."""

    trained: hinged.model.TrainableParameters
    accuracy: float
    kilobytes: float
    restored: bool


def transfer(
    folder: Path, curves: bool, images: int = 2000, epochs: int = 4, test_images: int = 1000
) -> Result:
    """Fine-tune with or without curves, save the trained parts, and restore them from the file."""
    train_images, train_labels = fashion(folder, "train", images)
    model, fresh = pretrained(folder), pretrained(folder)
    if curves:
        model, fresh = (hinged.convert(each, train_images[:250]) for each in (model, fresh))
    trained = hinged.train_only(model, curves=curves, head=HEAD)
    train(model, train_images, train_labels, epochs)
    test_images, test_labels = fashion(folder, "t10k", test_images)
    logits = predict(model, test_images)
    kilobytes, restored = 0.0, True
    if curves:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "fashion.safetensors"
            hinged.save_curves(model, path, also=HEAD)
            hinged.load_curves(fresh, path)
            kilobytes = path.stat().st_size / 1000
        restored = torch.equal(predict(fresh, test_images), logits)
    accuracy = (logits.argmax(dim=1) == test_labels).double().mean().item()
    return Result(trained, accuracy, kilobytes, restored)


def main() -> None:
    """Fine-tune with and without curves and print the results."""
    folder = Path(os.environ["HINGED_DATA"])
    for curves in (False, True):
        result = transfer(folder, curves)
        print(result.trained)
        print(f"accuracy {result.accuracy:.1%} on 1,000 test images, one seed")
        if curves:
            same = f"the same outputs from the file: {result.restored}"
            print(f"saved in {result.kilobytes:.0f} kB; {same}")


if __name__ == "__main__":
    main()
