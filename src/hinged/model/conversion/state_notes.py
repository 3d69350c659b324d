"""Describes states of a model in which its curves may not be what the user expects."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

_MOST_NAMES = 3


def frozen_parts(model: nn.Module) -> list[str]:
    """Return the names of the largest submodules that have parameters, of which none is trained.

    If no parameter of the model is trained, the list is empty: the user will train its curves only.
    """
    if not any(each.requires_grad for each in model.parameters()):
        return []
    found: list[str] = []
    for name, module in model.named_modules():
        is_inside = bool(found) and name.startswith(f"{found[-1]}.")
        trained = [each.requires_grad for each in module.parameters()]
        if trained and not any(trained) and not is_inside:
            found.append(name)
    return found


def describe_frozen_parts(parts: Iterable[str], converted: Iterable[str]) -> list[str]:
    """Return sentences for the user, at most one, about curves in parts that are frozen.

    Args:
        parts: the names of these parts, from `frozen_parts`.
        converted: the names of all sites with curves.
    """
    names = list(converted)
    counts = {part: sum(name.startswith(f"{part}.") for name in names) for part in parts}
    found = [part for part, count in counts.items() if count]
    if not found:
        return []
    total = sum(counts.values())
    return [
        f"{total} of {len(names)} sites with curves are in parts whose parameters are frozen "
        f"({_shown(found)}). These curves are trained. To leave out such a part, as the network of "
        f"a perceptual loss, use where=lambda site: not site.name.startswith({f'{found[0]}.'!r})."
    ]


def describe_untrained_norms(model: nn.Module) -> list[str]:
    """Return sentences for the user, at most one, about batch normalisation without statistics.

    In evaluation mode, it leaves its inputs as they are until it has been trained. The inputs of
    the activations behind it can then be much smaller or larger than in training.

    Args:
        model: the model, in the mode in which the inputs of its activations were measured.
    """
    norms = {
        name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)
    }
    names = [name for name, norm in norms.items() if _is_untrained(norm)]
    if not names:
        return []
    return [
        f"Batch normalisation in evaluation mode has never been trained ({_shown(names)}), so it "
        "did not normalise, and the hinges suit such inputs. Convert the model in training mode or "
        "after a training, or call hinged.calibrate after it."
    ]


def _is_untrained(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    if norm.training or mean is None or variance is None or is_lazy(mean):
        return False
    return not bool(mean.any()) and bool((variance == 1).all())


def _shown(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
