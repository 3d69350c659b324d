"""Checks that the argument `model` of a function is a model, and says what to pass instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from hinged import errors


def check_model(model: Any, call: str) -> None:
    """Raise `ArgumentError` unless `model` is an `nn.Module`.

    Args:
        model: what the user passed as the model.
        call: the name of the public function, for the error message.

    >>> check_model(nn.ReLU(), "hinged.convert")
    >>> check_model("resnet18", "hinged.convert")
    Traceback (most recent call last):
    hinged.errors.ArgumentError: `hinged.convert(model)`: got the text 'resnet18'; build the model \
first and pass it, for example model = torchvision.models.resnet18().
    """
    if isinstance(model, nn.Module):
        return
    got, hint = _say_what_to_pass(model, call)
    raise errors.ArgumentError(errors.message(f"{call}(model)", got, hint))


def _say_what_to_pass(given: Any, call: str) -> tuple[str, str]:
    """Return what the user passed in place of a model, and what to pass instead."""
    if isinstance(given, type) and issubclass(given, nn.Module):
        name = given.__name__
        return f"the class {name}", f"make a model of this class first: model = {name}(...)"
    if isinstance(given, str):
        name = given if given.isidentifier() else "resnet18"
        example = f"for example model = torchvision.models.{name}()"
        return f"the text {given!r}", f"build the model first and pass it, {example}"
    if isinstance(given, Optimizer):
        return f"the optimizer {type(given).__name__}", "pass the model that it trains"
    if isinstance(given, Mapping):
        hint = "build the model first, load it with model.load_state_dict(...), and pass the model"
        return f"{errors.class_of(given)}, which is not a model", hint
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)}", "the model is the first argument"
    if isinstance(given, Iterable):
        hint = f"pass the model itself, not its parameters: {call}(model, ...)"
        return f"{errors.class_of(given)}, which is not a model", hint
    return errors.shown(given), "expected a model, which is a torch.nn.Module"
