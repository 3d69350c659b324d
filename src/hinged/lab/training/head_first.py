"""Training of the head alone, before the rest of a network is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import TrainingSettings

_FEATURE_BATCH = 125
"""Number of samples per forward pass while the inputs of the head are computed."""
_SEED_STEP = 100_019


class _Head(NamedTuple):
    """A head, with the inputs from which the outputs of the whole network can be computed.

    Attributes:
        inputs: one row for each training sample.
        outputs: a function that computes the outputs of the network for rows of `inputs`.
    """

    inputs: Tensor
    outputs: Callable[[Tensor], Tensor]


def train_head(
    model: nn.Module, head: Sequence[str], data: DataSet, settings: TrainingSettings, seed: int
) -> dict[str, dict[str, Tensor]]:
    """Train the head of a network on the training split, and return its trained parameters.

    The rest of the network is in evaluation mode and does not change, and images are not augmented.
    The inputs of the head are therefore computed only once. If the head has several modules or
    several inputs, or if more than the last layers of an `nn.Sequential` follow it, the whole
    network is evaluated for each batch instead.

    Training the head before the other layers keeps these from being changed to fit random outputs.

    Source: Kumar, Raghunathan, Jones, Ma and Liang, "Fine-tuning can distort pretrained features
    and underperform out-of-distribution" (ICLR 2022).

    Args:
        model: the network. Its head is trained in place, and all other parameters are frozen.
        head: names of the modules in the head, which computes the outputs.
        data: the data set.
        settings: `head_epochs`, `head_lr`, `batch_size` and `label_smoothing` are used. The
            optimizer is Adam with a one-cycle schedule.
        seed: decides the order of the samples.

    Returns:
        The state dict of each module in the head, on the CPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval().requires_grad_(False)
    parts = {name: model.get_submodule(name) for name in head}
    for part in parts.values():
        part.requires_grad_()
    whole = _Head(data.x_train, lambda x: model(data.to_inputs(x.to(device))))
    _fit(_cached_head(model, head, data, device) or whole, parts, data, settings, seed)
    model.cpu()
    return {name: part.state_dict() for name, part in parts.items()}


def _fit(
    head: _Head, parts: dict[str, nn.Module], data: DataSet, settings: TrainingSettings, seed: int
) -> None:
    """Train the modules of a head by Adam."""
    count = len(head.inputs)
    steps = settings.head_epochs * -(-count // settings.batch_size)
    parameters = [parameter for part in parts.values() for parameter in part.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.head_lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.head_lr, steps)
    generator = torch.Generator().manual_seed(_SEED_STEP * seed)
    for _ in range(settings.head_epochs):
        order = torch.randperm(count, generator=generator)
        for rows in order.split(settings.batch_size):
            outputs = head.outputs(head.inputs[rows.to(head.inputs.device)])
            targets = data.y_train[rows].to(outputs.device)
            optimizer.zero_grad()
            data.problem.loss(outputs, targets, settings.label_smoothing).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def _cached_head(
    model: nn.Module, names: Sequence[str], data: DataSet, device: torch.device
) -> _Head | None:
    """Return the head with its inputs for all training samples.

    None means that the outputs of the network are not a function of these inputs alone.
    """
    if len(names) != 1:
        return None
    calls: list[tuple[Tensor, ...]] = []
    head, rest = model.get_submodule(names[0]), _from_head_on(model, names[0])
    hook = head.register_forward_pre_hook(lambda _module, inputs: calls.append(inputs))
    try:
        batches = (data.to_inputs(x.to(device)) for x in data.x_train.split(_FEATURE_BATCH))
        outputs = [model(batch) for batch in batches]
    finally:
        hook.remove()
    if len(calls) != len(outputs) or any(len(inputs) != 1 for inputs in calls):
        return None
    found, shape = rest(calls[0][0]), outputs[0].shape[1:]
    if found.numel() != outputs[0].numel() or not torch.equal(
        found.view_as(outputs[0]), outputs[0]
    ):
        return None
    inputs = torch.cat([inputs for (inputs,) in calls])
    return _Head(inputs, lambda x: rest(x).reshape(len(x), *shape))


def _from_head_on(model: nn.Module, name: str) -> nn.Module:
    """Return the head, with the layers after it if it is in an `nn.Sequential`."""
    parent, _, child = name.rpartition(".")
    container = model.get_submodule(parent)
    if not isinstance(container, nn.Sequential):
        return model.get_submodule(name)
    names = [name for name, _ in container.named_children()]
    return container[names.index(child) :]
