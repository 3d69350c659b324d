"""Whole networks: a training step and inference with curves in place of every activation."""

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
from hinged.lab.bench.measurement import Entrant, Options, Say, measure, prepared, record
from hinged.lab.bench.record import Case, Record, Row
from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings
from hinged.lab.networks import vision
from hinged.lab.networks.activations import ACTIVATIONS, activation_parameters, replace_activations
from hinged.lab.networks.catalogue import build
from hinged.lab.problems import Classification
from hinged.lab.training.fit import memory_for_backward
from hinged.model import convert
from hinged.nn import param_groups

STEP, INFERENCE = "training step", "inference"
DEFAULT = ("relu", "gelu", "hinged")
_CLASSES = 10


@dataclass(frozen=True)
class Network:
    """One network with its batch.

    Attributes:
        name: the name of the case.
        about: what it is, with what was changed of it.
        make: returns it with `nn.ReLU`, for 10 classes.
        shape: of the batch, `(N, ...)`.
    """

    name: str
    about: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


def _of_the_lab(network: NetworkSettings, *shape: int) -> Callable[[], nn.Module]:
    images, labels = torch.zeros(1, *shape), torch.zeros(1, dtype=torch.long)
    data = DataSet("random", "noise", images, labels, images, labels, Classification(_CLASSES))
    return lambda: build(network, data, ACTIVATIONS["relu"](CurveSettings()), seed=0)


NETWORKS = (
    Network(
        "resnet18",
        "torchvision's ResNet18, 3 x 3 stem without max-pooling, 64 images of 32 x 32",
        partial(vision.resnet18, _CLASSES, 32),
        (64, 3, 32, 32),
    ),
    Network(
        "vgg11",
        "torchvision's VGG11, hidden layers of 512 units, 64 images of 32 x 32",
        partial(vision.vgg11, _CLASSES, 32),
        (64, 3, 32, 32),
    ),
    Network(
        "cnn",
        "three VGG blocks of 32, 64, 128 filters with batch normalisation, 64 images of 32 x 32",
        _of_the_lab(NetworkSettings(width=32, depth=3, batch_norm=True), 3, 32, 32),
        (64, 3, 32, 32),
    ),
    Network(
        "mlp",
        "three hidden layers of 512 units, 256 samples of 784 features",
        _of_the_lab(NetworkSettings(kind="mlp", width=512, depth=3), 784),
        (256, 784),
    ),
)


def run(
    options: Options,
    say: Say,
    *,
    activations: Sequence[str] = DEFAULT,
    hinges: int = 9,
    names: Sequence[str] = (),
) -> Record:
    """Measure all networks, or those named, with every activation.

    Args:
        options: how to measure.
        say: called with a line after each network.
        activations: names in `hinged.lab.networks.activations.ACTIVATIONS`; "relu" is the network as it
            comes, in place where it is so.
        hinges: hinges of every curve.
        names: of networks; all where empty.

    Raises:
        UnknownNameError: there is no such network or activation.
    """
    known = {network.name: network for network in NETWORKS}
    for name in names:
        if name not in known:
            raise errors.unknown_name("--model", name, known)
    for name in activations:
        if name not in ACTIVATIONS:
            raise errors.unknown_name("--activations", name, ACTIVATIONS)
    chosen = [network for network in NETWORKS if not names or network.name in names]

    def measured() -> Iterator[Case]:
        for network in chosen:
            yield measure_network(network, activations, hinges, options)

    return record("models", options, {"hinges": hinges}, measured, say)


def measure_network(
    network: Network, activations: Sequence[str], hinges: int, options: Options
) -> Case:
    """Time one network with every activation; the first is the baseline."""
    if options.quick:
        network = replace(network, shape=(2, *network.shape[1:]))
    entrants = [
        prepared(
            Row(name=label(name, hinges), family="curve" if name == "hinged" else "native"),
            partial(_entrant, network, name, hinges, options),
        )
        for name in activations
    ]
    case = Case(
        name=network.name,
        about=network.about,
        baseline=label(activations[0], hinges),
        quantities=[STEP, INFERENCE],
    )
    return measure(case, entrants, options)


def label(activation: str, hinges: int) -> str:
    """Return what tables call an activation."""
    return f"hinged K={hinges}" if activation == "hinged" else activation


def with_activation(model: nn.Module, x: Tensor, activation: str, hinges: int) -> nn.Module:
    """Return a network of ReLUs with an activation of the lab in their places; curves are put there
    as users do it."""
    if activation == "relu":
        return model
    if activation == "hinged":
        return convert(model, x, hinges)
    return replace_activations(model, x, ACTIVATIONS[activation](CurveSettings()))


def _entrant(network: Network, activation: str, hinges: int, options: Options, row: Row) -> Entrant:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network.make()
        x, y = torch.randn(network.shape), torch.randint(_CLASSES, network.shape[:1])
    model = with_activation(model, x, activation, hinges)
    model, x, y = model.to(options.device), x.to(options.device), y.to(options.device)
    row.parameters = sum(parameter.numel() for parameter in activation_parameters(model))
    inferring = copy.deepcopy(model).eval()
    return Entrant(
        row,
        calls={STEP: _training_step(model.train(), x, y), INFERENCE: partial(_infer, inferring, x)},
        kept=partial(memory_for_backward, model, x),
    )


def _training_step(model: nn.Module, x: Tensor, y: Tensor) -> timing.Call:
    """Return forward, loss, backward and an update by SGD with momentum. The rate is so small that
    thousands of steps on one batch leave the network as it is."""
    optimizer = torch.optim.SGD(param_groups(model, 1e-9), momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def _infer(model: nn.Module, x: Tensor) -> None:
    with torch.inference_mode():
        model(x)
