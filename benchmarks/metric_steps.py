"""Times training steps of AdamW with curves in their metric, without it, and with ReLU.

Usage: python benchmarks/metric_steps.py [RECORD.json]

A call takes ten steps, because inputs are measured in every tenth step. Calls of the three kinds
are interleaved. The results are the medians and quartiles of the ratios of the first to the others.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from result_files import record_heading, write_record
from torch import Tensor, nn
from torch.nn import functional

import hinged
from hinged.lab.bench.machine_load import load_average
from hinged.lab.bench.timing import ratio_quartiles, time_interleaved
from hinged.lab.networks.resnet20 import ResNet20
from hinged.lab.training.stopwatch import Stopwatch
from hinged.nn.parameter_groups import SMOOTHING

STEPS = 10
ROUNDS = 41
RELU, WITHOUT, WITH = "with ReLU", "without the metric", "in the metric"

Task = tuple[nn.Module, Tensor, Callable[[Tensor], Tensor]]


def mlp() -> Task:
    """Return the network of the study of tables, with one batch and its loss."""
    model = nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    y = torch.randn(64, 1)
    return model, torch.randn(64, 8), lambda outputs: functional.mse_loss(outputs, y)


def cnn(width: int, *, batch_norm: bool) -> Task:
    """Return a CNN of two VGG blocks for images of 32 x 32 pixels, with one batch and its loss."""
    layers: list[nn.Module] = []
    channels = 3
    for filters in (width, width, 2 * width, 2 * width):
        layers.append(nn.Conv2d(channels, filters, 3, padding=1))
        layers.extend([nn.BatchNorm2d(filters)] if batch_norm else [])
        layers.append(nn.ReLU())
        channels = filters
        if len([layer for layer in layers if isinstance(layer, nn.ReLU)]) % 2 == 0:
            layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 64, 10))
    return model, torch.randn(64, 3, 32, 32), _classification(64)


def resnet20() -> Task:
    """Return a ResNet20 with a batch of images of 32 x 32 pixels and its loss."""
    return ResNet20(10), torch.randn(32, 3, 32, 32), _classification(32)


TASKS: dict[str, Callable[[], Task]] = {
    "MLP of tables, batch 64": mlp,
    "CNN, 2 blocks, 8 filters, batch 64": lambda: cnn(8, batch_norm=False),
    "CNN, 2 blocks, 16 filters, normalised, batch 64": lambda: cnn(16, batch_norm=True),
    "ResNet20, batch 32": resnet20,
}


def _classification(samples: int) -> Callable[[Tensor], Tensor]:
    y = torch.randint(10, (samples,))
    return lambda outputs: functional.cross_entropy(outputs, y)


def training(task: Callable[[], Task], kind: str) -> Callable[[], None]:
    """Return a function that takes ten steps with a network, or with curves in it."""
    torch.manual_seed(0)
    model, x, loss = task()
    if kind != RELU:
        model = hinged.convert(model, x)
    smoothing = SMOOTHING if kind == WITH else None
    optimizer = torch.optim.AdamW(hinged.param_groups(model, 1e-4, smoothing=smoothing))

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(model(x)).backward()
            optimizer.step()

    return steps


def main() -> None:
    """Time all tasks, print the ratios, and write them into a record."""
    torch.set_num_threads(1)
    load = load_average()
    cases = []
    for name, task in TASKS.items():
        calls = {kind: training(task, kind) for kind in (RELU, WITHOUT, WITH)}
        seconds = time_interleaved(calls, ROUNDS, stopwatch=Stopwatch(gpu=False), limit=60)
        ratios = {kind: ratio_quartiles(seconds[WITH], seconds[kind]) for kind in (WITHOUT, RELU)}
        step = 1e3 * statistics.median(seconds[RELU]) / STEPS
        print(f"{name}: {step:.3f} ms with ReLU; steps in the metric take")
        for kind, (median, low, high) in ratios.items():
            print(f"    {median:.3f} ({low:.3f} to {high:.3f}) times as long as {kind}")
        cases.append({"name": name, "ratios": ratios, "seconds": seconds})
    if len(sys.argv) > 1:
        record = {
            **record_heading(),
            "load": [load, load_average()],
            "steps": STEPS,
            "cases": cases,
        }
        write_record(Path(sys.argv[1]), record)


if __name__ == "__main__":
    main()
