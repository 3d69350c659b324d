"""Optimizer parameter groups with separate settings for curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, TypeGuard

from torch import Tensor, nn
from torch.optim import Optimizer

from hinged import errors
from hinged.nn.metric_steps import in_metric, train_in_metric
from hinged.nn.model_argument import check_model
from hinged.nn.piecewise_linear import PiecewiseLinear
from hinged.nn.schedulers import schedule_last_group
from hinged.nn.travel import describe_short_travel

CURVE_LR_FACTOR = 4.0
"""Default ratio of the learning rate of curves in their metric to the learning rate of weights."""

MOST_CURVE_LR = 0.05
"""Largest default learning rate of curves in their metric. Optimizers such as SGD have learning
rates of another kind, which would be too large for curves."""

ACTIVATION_LR_FACTOR = 2.0
"""Default ratio of the learning rate of all other parameters of activations to that of weights, and
of curves that are trained without their metric."""

SMOOTHING = 0.03
"""Default factor of the roughness in the metric of curves."""

MOST_CURVE_DECAY = 2.0
"""Largest default factor of the pull of curves to their start."""

DECAYED_SAMPLES = 2000
"""The number of training samples from which on the default factor of the pull falls."""

ASSUMED_SAMPLES = 10_000
"""The number of training samples that is assumed if it is not given."""

_CALL = "hinged.param_groups"
_COUNTED = {"samples": "training samples", "steps": "optimizer steps of the training"}
# The settings of a group that are learning rates. All but "lr" are added by schedulers.
_LEARNING_RATES = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")


def param_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.0,
    *,
    curve_lr: float | None = None,
    smoothing: float | None = SMOOTHING,
    curve_decay: float | None = None,
    activation_lr: float | None = None,
    curve_types: tuple[type[nn.Module], ...] = (PiecewiseLinear,),
    samples: int | None = None,
    steps: int | None = None,
) -> list[dict[str, Any]]:
    """Return optimizer groups for a model: the weights, the curves, and other activations.

    Any optimizer of torch may train the groups. The curves are trained in their metric, whatever
    the optimizer is: steps of a curve are measured as changes of a function, not hinge by hinge
    (`hinged.curve.metric`). Their steps do not depend on the number of hinges or on the unit of the
    inputs. With `smoothing=None`, the optimizer trains the values of the curves like any other
    parameters.

    Values with a parametrization of torch have no metric: the optimizer trains them itself, in the
    group of other activations.

    With several processes, curves are measured on the inputs of all processes of the default group
    of `torch.distributed`.

    Args:
        model: any module. Parameters that do not require gradients are left out of the groups.
        lr: learning rate of the weights.
        weight_decay: weight decay of the weights. Other groups have no weight decay, because it
            would pull the values of curves towards 0, and not towards their start.
        curve_lr: learning rate of the curves. In their metric, a step changes the outputs of a
            curve by about `curve_lr` times the scale of its inputs: their standard deviation, or an
            eighth of the range of the hinges if that is larger. None means four times `lr`, but at
            most 0.05. With `smoothing=None`, None means twice `lr`.
        smoothing: how stiff curves are where they have few inputs: the factor of the roughness in
            the metric. None trains the curves without their metric.
        curve_decay: pulls curves back to their start: in each step, by `curve_lr * curve_decay`
            times their distance, divided by the number of inputs that a curve gets from one sample
            (pixels or tokens; 1 in an MLP). Networks on images therefore feel next to no pull. The
            pull fades where gradients become small, because the network fits its data. The first
            axis of the inputs counts the samples. It needs the metric. None chooses by the number
            of training samples: 2 up to 2,000 samples, and `2 * (2000 / samples)^1.5` for more.
        samples: the number of training samples. It serves only for the default of `curve_decay`.
            None means that it is not known: 10,000 are assumed.
        activation_lr: learning rate of the other parameters of activations: slopes of free tails
            and parameters of other `curve_types`. None means twice `lr`.
        curve_types: module types whose parameters count as parameters of activations. Add
            `nn.PReLU` to include its slopes.
        steps: the number of optimizer steps of the whole training. If it is given, a warning says
            whether curves in their metric can travel far enough to change. They travel at most
            about `curve_lr * steps` scales of their inputs, and less with a falling rate. They
            often go much less far, because steps in different directions cancel.

    Returns:
        A list of dictionaries for a `torch.optim` optimizer, each with `name` (`"weights"`,
        `"curves"` or `"activations"`), `params`, `lr` and `weight_decay`. The group of curves also
        has `smoothing` and `curve_decay`. A group without parameters is left out.

    Raises:
        ArgumentError: if `model` is not a module, if none of its parameters requires gradients, if
            a number is negative, infinite or not a number, if `smoothing` is 0, if `curve_decay` is
            given with `smoothing=None`, or if `samples` or `steps` is not a whole number above 0.

    Warns:
        ShortTravelWarning: if `curve_lr * steps` is below 0.1.
        FrozenCurvesWarning: if the model is one of peft, and all its curves are frozen.

    >>> import hinged
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(3, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> groups = hinged.param_groups(model, 1e-3, weight_decay=0.01)
    >>> [(group["name"], group["lr"], group["weight_decay"]) for group in groups]
    [('weights', 0.001, 0.01), ('curves', 0.004, 0.0)]
    """
    check_model(model, _CALL)
    _check_settings(
        lr=lr,
        weight_decay=weight_decay,
        curve_lr=curve_lr,
        smoothing=smoothing,
        curve_decay=curve_decay,
        activation_lr=activation_lr,
    )
    _check_counts(samples=samples, steps=steps)
    _check_types(curve_types)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        got = "a model with every parameter frozen"
        hint = "set requires_grad=True for the parameters to train"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    layers = [layer for layer in model.modules() if isinstance(layer, PiecewiseLinear)]
    _warn_if_frozen(model, layers)
    values = {id(layer._parameters.get("values")) for layer in layers}
    activations = {id(p) for p in parameters_of(model, curve_types)} - values
    weights = {
        "name": "weights",
        "params": [p for p in trainable if id(p) not in values | activations],
        "lr": lr,
        "weight_decay": weight_decay,
    }
    decay = default_curve_decay(samples) if curve_decay is None else curve_decay
    curves = curve_group([p for p in trainable if id(p) in values], weights, smoothing, decay)
    others = _group_like(weights, "activations", [p for p in trainable if id(p) in activations])
    for group, rate in ((curves, curve_lr), (others, activation_lr)):
        group["lr"] = group["lr"] if rate is None else rate
    if smoothing is not None:
        train_in_metric(model)
    if steps is not None:
        _warn_of_short_travel(curves, steps)
    return [group for group in (weights, curves, others) if group["params"]]


def _warn_if_frozen(model: nn.Module, layers: list[PiecewiseLinear]) -> None:
    """Warn if peft has frozen all curves. It freezes all weights that it does not know."""
    frozen = not any(each.requires_grad for layer in layers for each in layer.parameters())
    is_peft = any(type(each).__module__.startswith("peft.") for each in model.modules())
    if layers and frozen and is_peft:
        got = "a model of peft whose curves are all frozen"
        hint = (
            "to train them, name their layers in modules_to_save of the configuration of peft, or "
            "convert the model after get_peft_model"
        )
        message = errors.message(f"{_CALL}(model)", got, hint)
        warnings.warn(message, errors.FrozenCurvesWarning, stacklevel=3)


def _warn_of_short_travel(curves: Mapping[str, Any], steps: int) -> None:
    """Warn if the curves of a group can hardly change in this number of steps."""
    if curves["params"] and in_metric(curves):
        call, rate = f"{_CALL}(steps=...)", float(curves["lr"])
        short = describe_short_travel(rate * steps, steps, "curve_lr", rate)
        if short is not None:
            warnings.warn(f"`{call}`: {short}.", errors.ShortTravelWarning, stacklevel=3)


def _check_counts(**counts: int | None) -> None:
    """Raise `ArgumentError` unless the counts are whole numbers above 0, or None."""
    for name, count in counts.items():
        if count is not None and not errors.is_whole_number(count, 1):
            hint = f"expected the number of {_COUNTED[name]}, a whole number above 0"
            call = f"{_CALL}({name}=...)"
            raise errors.ArgumentError(errors.message(call, errors.shown(count), hint))


def _check_types(curve_types: Any) -> None:
    """Raise `ArgumentError` unless the argument is a class of modules, or a tuple of them."""
    types = curve_types if isinstance(curve_types, tuple) else (curve_types,)
    if not all(isinstance(each, type) and issubclass(each, nn.Module) for each in types):
        hint = "expected a tuple of module classes, such as (hinged.PiecewiseLinear, nn.PReLU)"
        call = f"{_CALL}(curve_types=...)"
        raise errors.ArgumentError(errors.message(call, errors.shown(curve_types), hint))


def _check_settings(**numbers: float | Tensor | None) -> None:
    """Raise `ArgumentError` unless the settings are finite numbers, or tensors of one such number,
    of at least 0. The smoothing must be above 0. Settings other than `lr` and `weight_decay` may be
    None."""
    for name, number in numbers.items():
        if number is None and name not in ("lr", "weight_decay"):
            continue
        call = f"{_CALL}({name}=...)"
        if not _is_finite(number) or number < 0:
            hint = "expected a finite number of 0 or more"
            raise errors.ArgumentError(errors.message(call, errors.shown(number), hint))
        if name == "smoothing" and number == 0:
            hint = "expected a number above 0, or None to train curves without their metric"
            raise errors.ArgumentError(errors.message(call, errors.shown(number), hint))
    if numbers["smoothing"] is None and numbers["curve_decay"]:
        got = f"curve_decay={errors.shown(numbers['curve_decay'])} with smoothing=None"
        hint = "leave out smoothing=None: only training in the metric pulls curves to their start"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))


def _is_finite(value: object) -> TypeGuard[float | Tensor]:
    """Return whether a value is a finite number, or a tensor of one."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and bool(value.isfinite())
    return isinstance(value, Real) and math.isfinite(value)


def curve_group(
    values: Iterable[nn.Parameter],
    weights: Mapping[str, Any],
    smoothing: float | None = SMOOTHING,
    curve_decay: float | None = None,
) -> dict[str, Any]:
    """Return an optimizer group for the values of curves, with the settings of the weights' group.

    The learning rate is `CURVE_LR_FACTOR` times that of the weights, or `MOST_CURVE_LR` if that is
    less. The weight decay is 0.

    Args:
        values: the parameters `values` of curve layers.
        weights: the optimizer group of the weights.
        smoothing: the factor of the roughness in the metric. None trains the curves without their
            metric. The learning rate is then `ACTIVATION_LR_FACTOR` times that of the weights.
        curve_decay: the factor of the pull to the start; None for `default_curve_decay()`.

    >>> weights = {"params": [], "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}
    >>> group = curve_group([], weights)
    >>> group["lr"], group["momentum"], group["weight_decay"]
    (0.04, 0.9, 0.0)
    """
    if smoothing is None:
        return _group_like(weights, "curves", values)
    largest = max(weights[key] for key in _LEARNING_RATES if key in weights)
    factor = min(CURVE_LR_FACTOR, MOST_CURVE_LR / largest) if largest > 0 else CURVE_LR_FACTOR
    group = _group_like(weights, "curves", values, factor)
    decay = default_curve_decay() if curve_decay is None else curve_decay
    return {**group, "smoothing": smoothing, "curve_decay": decay}


def default_curve_decay(samples: int | None = None) -> float:
    """Return the default factor of the pull of curves to their start.

    The fewer samples, the more noise curves would fit. The factor is `MOST_CURVE_DECAY` up to
    `DECAYED_SAMPLES` samples. It falls with `(DECAYED_SAMPLES / samples)^1.5` above, because
    curves that learn from many samples for many steps would otherwise be held back. The exponent
    was found in experiments.

    Args:
        samples: the number of training samples; None for `ASSUMED_SAMPLES`.

    >>> default_curve_decay(500), round(default_curve_decay(12_000), 3)
    (2.0, 0.136)
    """
    share = DECAYED_SAMPLES / (ASSUMED_SAMPLES if samples is None else samples)
    return MOST_CURVE_DECAY * float(min(1.0, share**1.5))


def _group_like(
    group: Mapping[str, Any],
    name: str,
    parameters: Iterable[nn.Parameter],
    factor: float = ACTIVATION_LR_FACTOR,
) -> dict[str, Any]:
    """Return a group with the settings of another group, without weight decay, and with learning
    rates multiplied by `factor`."""
    inherited = {key: group[key] for key in group if key not in ("params", "param_names")}
    rates = {key: factor * group[key] for key in _LEARNING_RATES if key in group}
    return {**inherited, **rates, "name": name, "params": list(parameters), "weight_decay": 0.0}


def add_curves(optimizer: Optimizer, layers: Mapping[str, PiecewiseLinear]) -> None:
    """Add the parameters of curve layers to an optimizer, in groups like those of `param_groups`.

    If the optimizer has a group named "curves" or "activations", the new group gets the settings of
    that group. Otherwise, its settings are derived from the group named "weights", or from the
    first group if no group has this name. Schedulers of the optimizer schedule the new groups too.

    Args:
        optimizer: the optimizer.
        layers: the curve layers, by their names in the model.
    """
    named = {group.get("name"): group for group in reversed(optimizer.param_groups)}
    weights = named.get("weights", optimizer.param_groups[0])
    values = {f"{name}.values".strip("."): layer.values for name, layer in layers.items()}
    slopes = {
        f"{name}.tail_slopes".strip("."): layer.tail_slopes
        for name, layer in layers.items()
        if layer.tail_slopes is not None
    }
    if "curves" in named:
        old, group = named["curves"], _group_like(named["curves"], "curves", (), factor=1.0)
    else:
        old, group = weights, curve_group((), weights)
    _add_group(optimizer, group, values, old)
    if slopes:
        old = named.get("activations", weights)
        _add_group(optimizer, _slope_group(named, weights), slopes, old)
    for layer in layers.values():
        train_in_metric(layer)


def _add_group(
    optimizer: Optimizer,
    group: dict[str, Any],
    parameters: Mapping[str, nn.Parameter],
    old: Mapping[str, Any],
) -> None:
    """Add a group to an optimizer and to its schedulers.

    Args:
        optimizer: the optimizer.
        group: the settings of the group.
        parameters: the parameters of the group, by name.
        old: the group that the settings are derived from.
    """
    has_names = "param_names" in optimizer.param_groups[0]
    listed = list(parameters.items()) if has_names else list(parameters.values())
    optimizer.add_param_group({**group, "params": listed})
    ratios = [float(group[key] / old[key]) for key in _LEARNING_RATES if old.get(key)]
    schedule_last_group(optimizer, old, max(ratios, default=1.0))


def _slope_group(
    named: Mapping[Any, Mapping[str, Any]], weights: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an optimizer group for slopes of free tails, which are not trained in the metric."""
    if "activations" in named:
        return _group_like(named["activations"], "activations", (), factor=1.0)
    in_metric = "smoothing" in weights  # All weights are frozen: this is the group of the curves.
    factor = ACTIVATION_LR_FACTOR / (CURVE_LR_FACTOR if in_metric else 1.0)
    group = _group_like(weights, "activations", (), factor)
    return {key: group[key] for key in group if key not in ("smoothing", "curve_decay")}


def parameters_of(model: nn.Module, types: tuple[type[nn.Module], ...]) -> list[nn.Parameter]:
    """Return the parameters of all modules of the given types, in the order of the model."""
    return [
        parameter
        for module in model.modules()
        if isinstance(module, types)
        for parameter in module.parameters()
    ]


def replace_parameters(
    optimizers: Optimizer | Iterable[Optimizer],
    replacements: Mapping[nn.Parameter, nn.Parameter | None],
) -> None:
    """Replace parameters in optimizers, and remove the optimizer state of the old parameters.

    Args:
        optimizers: one optimizer or several.
        replacements: for each old parameter the new parameter, or None to remove the old one. Old
            parameters that no optimizer trains are ignored.

    >>> import torch
    >>> old, new = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    >>> optimizer = torch.optim.SGD([old], lr=0.1)
    >>> replace_parameters(optimizer, {old: new})
    >>> optimizer.param_groups[0]["params"][0] is new
    True
    """
    for optimizer in [optimizers] if isinstance(optimizers, Optimizer) else optimizers:
        for group in optimizer.param_groups:
            new = [replacements.get(parameter, parameter) for parameter in group["params"]]
            # Lists are changed in place because some optimizers keep a second reference to them.
            for key in ("params", "param_names") if "param_names" in group else ("params",):
                entries = new if key == "params" else group[key]
                kept = zip(entries, new, strict=True)
                group[key][:] = [entry for entry, parameter in kept if parameter is not None]
        for old in replacements:
            optimizer.state.pop(old, None)
