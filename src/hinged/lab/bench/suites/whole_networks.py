"""The benchmark `hinged bench models`: whole networks with different activations."""

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
    """A network to measure, and the shape of its input batch.

    Attributes:
        name: the name of the network. It is also the name of its `Case` in the record.
        about: a description of the network and its batch.
        make: a function without arguments that returns the network, with `nn.ReLU` and 10 classes.
        shape: the shape of the input batch: `(N, C, H, W)` for images, `(N, F)` for features.
    """

    name: str
    about: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


def _lab_network(settings: NetworkSettings, *sample_shape: int) -> nn.Module:
    """Return a network of `hinged.lab.networks` with ReLU and 10 classes.

    Args:
        settings: the kind and size of the network.
        sample_shape: the shape of one sample, without the batch axis.
    """
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
    """Measure training step, inference and memory of networks with different activations.

    Args:
        options: rounds, threads, device and other settings of the measurement.
        show_progress: a function that is called with one line of text after each network.
        activations: names in `hinged.lab.networks.activations.ACTIVATIONS`. All times are compared
            with the times of the first activation. "relu" leaves the network unchanged, so in-place
            ReLUs stay in-place.
        hinges: the number of hinges of every curve.
        networks: names of the networks to measure. An empty sequence means all `NETWORKS`.

    Returns:
        A record with one `Case` for each network. The case has one row for each activation.

    Raises:
        UnknownNameError: if a name in `networks` or `activations` does not exist.
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
    """Measure training step, inference and memory of one network with each activation.

    Args:
        network: the network.
        activations: names in `ACTIVATIONS`. All are compared with the first activation.
        hinges: the number of hinges of every curve.
        options: rounds, threads, device and other settings of the measurement.

    Returns:
        A case with one row for each activation.
    """
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
    """Return the label of an activation in tables. For curves it contains the number of hinges."""
    return f"hinged K={hinges}" if activation == "hinged" else activation


def with_activation(model: nn.Module, x: Tensor, activation: str, hinges: int) -> nn.Module:
    """Replace every ReLU of a network by another activation, and return the network.

    Args:
        model: a network with `nn.ReLU`.
        x: an input batch of the network.
        activation: a name in `ACTIVATIONS`. "relu" leaves the network unchanged. "hinged" installs
            curves with `hinged.convert`, as users do.
        hinges: the number of hinges of every curve.
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
    """Return a function that runs one training step on a fixed batch.

    A step consists of forward pass, cross-entropy loss, backward pass and an update by SGD with
    momentum. The learning rate is 1e-9, so thousands of steps hardly change the network.
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
