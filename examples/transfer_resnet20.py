"""Adapts a pretrained network to another task and trains only 3 % of its parameters.

A ResNet20 was pretrained on CIFAR-10. Here it learns Fashion-MNIST from 2,000 images. Only its
curves, normalisation layers and head (the last layer) are trained. For comparison, the same network
is also trained without curves. The trained parameters are saved to a file. The file is then loaded
into the pretrained network.

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
    """Return ResNet20 with pretrained weights and a randomly initialised head.

    Args:
        folder: the folder of the weights and data sets.
    """
    saved = torch.load(folder / "weights" / "resnet20-12fca82f.th", map_location="cpu")
    model = ResNet20()
    weights = {name.removeprefix("module."): w for name, w in saved["state_dict"].items()}
    model.load_state_dict(weights)
    torch.manual_seed(0)
    model.linear.reset_parameters()
    return model


def fashion(folder: Path, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Return the first images of Fashion-MNIST and their classes.

    Args:
        folder: the folder of the data sets.
        split: "train" for the training images, "t10k" for the test images.
        count: the number of images.

    Returns:
        Images `(count, 3, 32, 32)`, normalised as in pretraining, and classes `(count,)`.
    """
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
    """Train all parameters that require gradients, with AdamW and a one-cycle schedule.

    Args:
        model: the network.
        images: the training images `(N, 3, 32, 32)`.
        labels: their classes `(N,)`.
        epochs: the number of passes through the images.
    """
    groups = hinged.param_groups(model, lr=0.01, weight_decay=1e-4, samples=len(images))
    optimiser = torch.optim.AdamW(groups)
    steps = epochs * (len(images) // 50)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rates, total_steps=steps)
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
    """Return the logits `(N, 10)` of images `(N, 3, 32, 32)`."""
    model.eval()
    return torch.cat([model(batch) for batch in images.split(250)])


@dataclass(frozen=True)
class Result:
    """The result of one fine-tuning.

    Attributes:
        trained: the parameters that were trained.
        accuracy: the fraction of correctly classified test images.
        kilobytes: the size of the file with the trained parameters; 0 without curves.
        restored: whether the network loaded from the file computes the same outputs.
    """

    trained: hinged.model.TrainableParameters
    accuracy: float
    kilobytes: float
    restored: bool


def transfer(
    folder: Path, curves: bool, images: int = 2000, epochs: int = 4, test_images: int = 1000
) -> Result:
    """Fine-tune the pretrained network on Fashion-MNIST.

    With curves, the trained parameters are also saved to a file and loaded again.

    Args:
        folder: the folder of the weights and data sets.
        curves: whether the ReLUs are replaced by curves.
        images: the number of training images.
        epochs: the number of passes through the training images.
        test_images: the number of test images.
    """
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
    """Fine-tune the network without and with curves, and print the results."""
    folder = Path(os.environ["HINGED_DATA"])
    for curves in (False, True):
        result = transfer(folder, curves)
        print(result.trained)
        print(f"accuracy {result.accuracy:.1%} on 1,000 test images, one seed")
        if curves:
            same = f"the network loaded from the file has the same outputs: {result.restored}"
            print(f"size of the file: {result.kilobytes:.0f} kB; {same}")


if __name__ == "__main__":
    main()
