"""`hinged bench models`: training step and inference of networks with other activations."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinged import errors
from hinged.lab.bench import timing
from hinged.lab.bench.measurement import (
    BenchmarkOptions,
    PreparedRow,
    ShowProgress,
    measure_case,
    prepare_row,
    run_benchmark,
)
from hinged.lab.bench.record import BenchmarkRecord, Case, Row
from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings
from hinged.lab.networks import vision
from hinged.lab.networks.activations import ACTIVATIONS, activation_parameters, replace_activations
from hinged.lab.networks.catalogue import build_network
from hinged.lab.problems import Classification
from hinged.lab.training.backward_memory import memory_for_backward
from hinged.model import convert
from hinged.nn import param_groups

TRAINING_STEP, INFERENCE = "training step", "inference"
DEFAULT_ACTIVATIONS = ("relu", "gelu", "hinged")
_CLASSES = 10


@dataclass(frozen=True)
class BenchmarkNetwork:
    """A network and the shape of its batch.

    Attributes:
        name: the name of the case.
        about: a description of the network and its batch.
        make: returns the network with `nn.ReLU`, for 10 classes.
        shape: the shape of the batch, `(N, ...)`.
    """

    name: str
    about: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


def _lab_network(settings: NetworkSettings, *sample_shape: int) -> nn.Module:
    """Return a network of `hinged.lab.networks` for samples of this shape."""
    images, labels = torch.zeros(1, *sample_shape), torch.zeros(1, dtype=torch.long)
    data = DataSet("random", "noise", images, labels, images, labels, Classification(_CLASSES))
    return build_network(settings, data, ACTIVATIONS["relu"](CurveSettings()), seed=0)


NETWORKS = (
    BenchmarkNetwork(
        "resnet18",
        "torchvision's ResNet18, 3 x 3 stem without max-pooling, 64 images of 32 x 32",
        partial(vision.resnet18, _CLASSES, 32),
        (64, 3, 32, 32),
    ),
    BenchmarkNetwork(
        "vgg11",
        "torchvision's VGG11, hidden layers of 512 units, 64 images of 32 x 32",
        partial(vision.vgg11, _CLASSES, 32),
        (64, 3, 32, 32),
    ),
    BenchmarkNetwork(
        "cnn",
        "three VGG blocks of 32, 64, 128 filters with batch normalisation, 64 images of 32 x 32",
        partial(_lab_network, NetworkSettings(width=32, depth=3, batch_norm=True), 3, 32, 32),
        (64, 3, 32, 32),
    ),
    BenchmarkNetwork(
        "mlp",
        "three hidden layers of 512 units, 256 samples of 784 features",
        partial(_lab_network, NetworkSettings(kind="mlp", width=512, depth=3), 784),
        (256, 784),
    ),
)


def benchmark_whole_networks(
    options: BenchmarkOptions,
    show_progress: ShowProgress,
    *,
    activations: Sequence[str] = DEFAULT_ACTIVATIONS,
    hinges: int = 9,
    networks: Sequence[str] = (),
) -> BenchmarkRecord:
    """Measure all networks, or only those named, with every activation.

    Args:
        options: how to measure.
        show_progress: called with a line after each network.
        activations: names in `hinged.lab.networks.activations.ACTIVATIONS`; the first is the
            baseline. "relu" leaves the network unchanged, with in-place ReLUs if it has them.
        hinges: the number of hinges of every curve.
        networks: names of networks; all if empty.

    Raises:
        UnknownNameError: a network or an activation does not exist.
    """
    known_networks = [network.name for network in NETWORKS]
    for name in networks:
        if name not in known_networks:
            raise errors.unknown_name("networks", name, known_networks)
    for name in activations:
        if name not in ACTIVATIONS:
            raise errors.unknown_name("activations", name, ACTIVATIONS)

    def measure() -> Iterator[Case]:
        for network in NETWORKS:
            if not networks or network.name in networks:
                yield measure_network(network, activations, hinges, options)

    return run_benchmark("models", options, {"hinges": hinges}, measure, show_progress)


def measure_network(
    network: BenchmarkNetwork, activations: Sequence[str], hinges: int, options: BenchmarkOptions
) -> Case:
    """Time one network with every activation; the first is the baseline."""
    if options.quick:
        network = replace(network, shape=(2, *network.shape[1:]))
    prepared = [
        prepare_row(
            Row(name=row_name(name, hinges), family="curve" if name == "hinged" else "native"),
            partial(_prepare, network, name, hinges, options),
        )
        for name in activations
    ]
    case = Case(
        name=network.name,
        about=network.about,
        baseline=row_name(activations[0], hinges),
        quantities=[TRAINING_STEP, INFERENCE],
    )
    return measure_case(case, prepared, options)


def row_name(activation: str, hinges: int) -> str:
    """Return the label of an activation in tables."""
    return f"hinged K={hinges}" if activation == "hinged" else activation


def with_activation(model: nn.Module, x: Tensor, activation: str, hinges: int) -> nn.Module:
    """Return a network of ReLUs with each ReLU replaced by an activation of the lab.

    Curves are installed by `hinged.convert`, as users do it.
    """
    if activation == "relu":
        return model
    if activation == "hinged":
        return convert(model, x, hinges)
    return replace_activations(model, x, ACTIVATIONS[activation](CurveSettings()))


def _prepare(
    network: BenchmarkNetwork, activation: str, hinges: int, options: BenchmarkOptions, row: Row
) -> PreparedRow:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network.make()
        x, y = torch.randn(network.shape), torch.randint(_CLASSES, network.shape[:1])
    model = with_activation(model, x, activation, hinges)
    model, x, y = model.to(options.device), x.to(options.device), y.to(options.device)
    row.parameters = sum(parameter.numel() for parameter in activation_parameters(model))
    calls: dict[str, timing.Call] = {
        INFERENCE: partial(_infer, copy.deepcopy(model).eval(), x),
        TRAINING_STEP: _training_step(model.train(), x, y),
    }
    return PreparedRow(row, calls, saved_bytes=partial(memory_for_backward, model, x))


def _training_step(model: nn.Module, x: Tensor, y: Tensor) -> timing.Call:
    """Return a step of forward, loss, backward and an update by SGD with momentum.

    The learning rate is so small that thousands of steps on one batch do not change the network.
    """
    optimizer = torch.optim.SGD(param_groups(model, 1e-9), momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def _infer(model: nn.Module, x: Tensor) -> None:
    with torch.inference_mode():
        model(x)
