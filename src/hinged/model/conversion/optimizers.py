"""Updates optimizers after activations were replaced by curves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import nn
from torch.optim import Optimizer

from hinged.nn import PiecewiseLinear
from hinged.nn.parameter_groups import add_curves, replace_parameters
from hinged.nn.schedulers import schedulers_of


def update_optimizers(
    optimizers: Sequence[Optimizer],
    model: nn.Module,
    layers: Mapping[str, PiecewiseLinear],
    unused: Iterable[nn.Parameter],
) -> None:
    """Add the parameters of curves to the optimizers, and remove unused ones from all.

    Args:
        optimizers: the optimizers; there may be none.
        model: the model.
        layers: the curve layers, by their names in the model.
        unused: parameters of replaced activations that the model does not use any more.
    """
    if not optimizers:
        return
    replace_parameters(optimizers, dict.fromkeys(unused))
    by_optimizer: dict[int, dict[str, PiecewiseLinear]] = {}
    for name, layer in layers.items():
        index = _find_optimizer(optimizers, model, name)
        by_optimizer.setdefault(index, {})[name] = layer
    for index, own in by_optimizer.items():
        add_curves(optimizers[index], own)


def _find_optimizer(optimizers: Sequence[Optimizer], model: nn.Module, name: str) -> int:
    """Return the index of the first optimizer that trains the part of the model around a layer.

    The part is the smallest module around the layer of which an optimizer trains parameters. For a
    model without such a module, the index is 0.
    """
    trained = [{id(p) for g in each.param_groups for p in g["params"]} for each in optimizers]
    while name:
        name = name.rpartition(".")[0]
        part = {id(parameter) for parameter in model.get_submodule(name).parameters()}
        for index, each in enumerate(trained):
            if part & each:
                return index
    return 0


@contextlib.contextmanager
def optimizers_restored_on_error(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Restore optimizers and their schedulers if the `with` block raises an error."""
    holders = [group for each in optimizers for group in each.param_groups]
    holders += [vars(scheduler) for each in optimizers for scheduler in schedulers_of(each)]
    lists = [each.param_groups for each in optimizers]
    lists += [entry for holder in holders for entry in holder.values() if isinstance(entry, list)]
    copies = [list(entries) for entries in lists]
    states = [dict(each.state) for each in optimizers]
    try:
        yield
    except BaseException:
        for entries, copied in zip(lists, copies, strict=True):
            entries[:] = copied
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.state.update(state)
        raise
