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
    layers: Mapping[str, PiecewiseLinear],
    unused: Iterable[nn.Parameter],
) -> None:
    """Add the parameters of curves to the first optimizer, and remove unused ones from all.

    Args:
        optimizers: the optimizers; there may be none.
        layers: the curve layers, by their names in the model.
        unused: parameters of replaced activations that the model does not use any more.
    """
    if optimizers:
        replace_parameters(optimizers, dict.fromkeys(unused))
        add_curves(optimizers[0], layers)


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
