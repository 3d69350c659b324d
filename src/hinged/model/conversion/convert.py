"""Replaces the activations of a model by trainable curves, or restores the original ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.curve.start_functions import Start
from hinged.model.conversion.candidates import find_candidates
from hinged.model.conversion.checked_install import install_checked, replacements_in
from hinged.model.conversion.decisions import (
    DEFAULT_HINGES,
    Decision,
    Hinges,
    Settings,
    Where,
    decide,
)
from hinged.model.conversion.install import (
    ORIGINALS,
    Replacements,
    is_converted,
    module_before,
    undo_on_error,
    uninstall,
)
from hinged.model.conversion.left_behind import describe_state_hooks, freeze
from hinged.model.conversion.named_activations import Activation, check_activations
from hinged.model.conversion.optimizers import optimizers_restored_on_error, update_optimizers
from hinged.model.conversion.sites import Sites, forget_sites, record_sites
from hinged.model.conversion.state_notes import (
    describe_frozen_parts,
    describe_untrained_norms,
    frozen_parts,
)
from hinged.model.conversion.unsupported_models import reject_unsupported
from hinged.model.observation.batches import Batches, CallModel
from hinged.nn import PiecewiseLinear, check_model
from hinged.nn.optimizers_argument import check_optimizers
from hinged.nn.site import check_where

CALL = "hinged.convert"


def convert(
    model: nn.Module,
    data: Any,
    hinges: Hinges = DEFAULT_HINGES,
    *,
    init: Start = "same",
    spread: float = 3.0,
    sharing: str = "channel",
    tails: str = "linear",
    where: Where | None = None,
    gates: bool = False,
    activations: Sequence[Activation] = (),
    optimizers: Optimizer | Sequence[Optimizer] = (),
    call: CallModel | None = None,
    batches: int | None = None,
) -> nn.Module:
    """Replace every activation of a model by a `PiecewiseLinear` that starts as this activation.

    A `PiecewiseLinear` applies a trainable piecewise-linear function, called a curve, to each
    channel. A curve bends only at fixed positions, called hinges.

    `convert` runs the model over `data` without gradients, and finds every activation that the
    model executes: modules, functions such as `F.relu(x)`, and methods such as `x.relu_()`, also in
    loops. A module that the source code calls several times gets separate curves for each call. In
    a loop over layers, the n-th execution of an activation has the n-th curve, so the data should
    not decide which passes of the loop execute it. The hinges cover the mean +- `spread` standard
    deviations of the activation's inputs. `convert` follows the operations that produce the input
    to find its channel axis. If the axis cannot be found, one curve serves all channels.

    Piecewise-linear activations (ReLU, leaky ReLU, PReLU, ReLU6, hardtanh, hardsigmoid) are
    reproduced exactly, and the outputs of the model stay the same. Smooth activations (GELU, SiLU,
    tanh and others) have no exact curve. Their curves start as the closest fit to the inputs (least
    squares), and the outputs of the model change a little. Their hinges cover a wider range if this
    makes the fit closer. An activation that cannot be converted stays in the
    model. `print(hinged.sites(model))` shows every activation, the error of its fit, why it was not
    converted, and how much the outputs have changed.

    The rest of the model does not change: other parameters, buffers and attributes, the class,
    methods, hooks, training flags and the random state.

    Args:
        model: any module. It is changed in place.
        data: one batch, or an iterable of batches such as a DataLoader. A batch is one input, a
            mapping of keyword arguments, or a pair `(inputs, targets)` whose targets are ignored.
            One input is a tensor, or an object with a method `to`, such as a batch of graphs. The
            inputs of a pair are one input, a mapping, or a tuple of arguments. A mapping is the one
            argument if `forward` does not take its keys by name. A list of tensors is one argument
            if `forward` declares its first parameter as a list. For all else, use `call`.
            If the data decide what the model executes, give batches that reach all of it.
        hinges: the number of hinges `K` of each curve. To give sites different numbers, pass a
            dictionary of numbers by name of the site (other sites get 9), or a function that takes
            a `Site` and returns the number.
        init: the function that the curves start as. `"same"` means the activation that is replaced.
            You can also give a name, a function, a module or a `Curve`, as for `PiecewiseLinear`.
            All curves then start as this function.
        spread: half the distance from the first to the last hinge, in standard deviations of the
            inputs.
        sharing: `"channel"` for one curve per channel, or `"layer"` for one curve for all channels
            of an activation.
        tails: how curves continue beyond the first and last hinge: `"linear"` (the outermost pieces
            continue), `"constant"` (the outermost values continue) or `"free"` (trained slopes).
        where: a function that takes a `Site` (the description of one activation) and returns
            whether to convert this activation. None converts all.
        gates: whether to convert activations too that must keep their bounds. A gate is a sigmoid,
            hardsigmoid, tanh, softplus, ReLU6 or hardtanh whose output is multiplied by another
            tensor. A bounded output is a sigmoid, hardsigmoid, tanh or softplus after which no
            layer with parameters comes, or between trained layers and layers that are all frozen.
            Others are activations whose output goes into a function such as `sqrt` or `log`, and
            those of a loss that the model returns as one number.
        activations: your own activations, which act on each element separately: module classes,
            Python functions, and functions of torch such as `torch.sin`. With `torch.clamp`, calls
            such as `x.clamp(min=0)` are replaced too. Each module of these classes and each call of
            these functions is replaced as a whole.
        optimizers: one or several optimizers that train the model. The parameters of the curves are
            added to the optimizer that trains the part of the model around them (the first, if
            several do), in a group with the settings of `hinged.param_groups`, or with those of an
            earlier group of curves. Parameters of the replaced activations are removed from all
            optimizers. Learning-rate schedulers of torch and timm that the optimizer already has
            schedule the new group too: its rates stay in proportion to those of the weights. None
            changes no optimizer.
        call: a function that takes the model and a batch, and calls the model, as in
            `call=lambda model, batch: model(batch.image, scale=2)`. The batch is on the model's
            device. With `call`, a batch can be of any kind. A pair is passed whole.
        batches: the largest number of batches to use. None uses all. Give it for data that have no
            end.

    Returns:
        The model (the same object). If the model itself is an activation, the new
        `PiecewiseLinear`.

    Raises:
        ArgumentError: if the model is on the meta device, wrapped (as in DistributedDataParallel),
            spread over processes (as by `fully_shard`), compiled, scripted or exported; if `data`
            has no batches; or if a setting cannot work, such as too few hinges for an activation.
            The model is then unchanged.
        ConversionError: if all curves start exactly as their activations, but the outputs of the
            first batch change by more than rounding. The model is then unchanged.

    Warns:
        NoEffectWarning: if no activation was converted.
        ChangedOutputsWarning: if smooth activations were converted, and an output of the first
            batch changes by more than a quarter of the largest output.
        ManyBatchesWarning: if data without a length yield very many batches.

    >>> import hinged, torch
    >>> from torch import nn
    >>> class Network(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(3, 8, 3)
    ...         self.head = nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         x = self.conv(x).relu().mean(dim=(2, 3))
    ...         return self.head(x)
    >>> model, x = Network(), torch.randn(4, 3, 9, 9)
    >>> before = model(x)
    >>> model = hinged.convert(model, x)
    >>> torch.allclose(model(x), before)
    True
    >>> [(site.name, site.activation, site.channels) for site in hinged.sites(model)]
    [('hinged.relu_1', 'ReLU()', 8)]
    """
    settings = Settings(hinges, init, spread, sharing, tails)
    reject_unsupported(model, CALL)
    settings.check(CALL)
    errors.check_flags(CALL, gates=gates)
    check_where(where, CALL)
    check_activations(activations, CALL)
    given = check_optimizers(optimizers, CALL)
    source = Batches(data, CALL, call, batches)
    search = find_candidates(model, source, gates=gates, activations=activations)
    decisions = decide(model, search.candidates, settings, CALL, where)
    frozen = frozen_parts(model)
    with undo_on_error(model), optimizers_restored_on_error(given):
        installed = install_checked(model, decisions, search.first, settings)
        replacements = replacements_in(decisions)
        if not replacements:
            message = errors.message(f"{CALL}(model)", *_say_why_nothing_changed(model, decisions))
            warnings.warn(message, errors.NoEffectWarning, stacklevel=2)
            return model
        layers = _by_name(installed.model, replacements)
        update_optimizers(given, installed.model, layers, installed.unused)
        found = tuple(each.site for each in decisions)
        notes = (
            *search.notes,
            *freeze(installed.model, installed.unused),
            *describe_state_hooks(decisions),
            *describe_frozen_parts(frozen, [site.name for site in found if not site.skipped]),
            *describe_untrained_norms(model),
            installed.note,
        )
        record_sites(installed.model, Sites(found, notes, tuple(search.unreached)))
    return installed.model


def _by_name(model: nn.Module, replacements: Replacements) -> dict[str, PiecewiseLinear]:
    """Return the curve layers that were put into a model, by their names in the model."""
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(layer)]: layer for _, layer in replacements}


def _say_why_nothing_changed(model: nn.Module, decisions: list[Decision]) -> tuple[str, str]:
    """Return which model `convert` got that it did not change, and what the user can do."""
    got = errors.class_of(model)
    layers = [module for module in model.modules() if isinstance(module, PiecewiseLinear)]
    if layers and not decisions:
        got += f" that has {sum(layer.channels for layer in layers)} curves already, in place of"
        got += " all its activations"
        can_revert = any(map(is_converted, model.modules()))
        return got, (
            "hinged.revert(model) restores the activations, and you can then convert them again"
            if can_revert
            else "train it as it is"
        )
    if not decisions:
        hint = "name your own activations in activations=[...], if the model has some"
        return f"{got} that applies no activation to these data", hint
    hint = "print(hinged.sites(model, data)) shows each activation and the reason"
    return f"{got} with {len(decisions)} activations, of which none can be converted", hint


def revert(model: nn.Module) -> nn.Module:
    """Remove the curves that `convert` put into a model, and restore the original activations.

    The outputs and the `state_dict` are then equal to those before the conversion, bit for bit.
    This holds only if the other parameters have not been trained since the conversion.

    Args:
        model: a converted model, or a submodule of one. It is changed in place.

    Returns:
        The model (the same object). If `model` is a `PiecewiseLinear` that `convert` returned for a
        single activation module, the original module.

    Raises:
        ArgumentError: if the model contains no curves that `convert` has put in.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = hinged.convert(nn.Sequential(nn.Linear(2, 3), nn.GELU()), torch.randn(8, 2))
    >>> hinged.revert(model)[1]
    GELU(approximate='none')
    """
    check_model(model, "hinged.revert")
    if isinstance(model, PiecewiseLinear) and ORIGINALS in vars(model):
        return module_before(model)
    changed = [module for module in model.modules() if is_converted(module)]
    if not changed:
        got = f"{errors.class_of(model)} in which no activation was converted"
        hint = "only a model that hinged.convert has changed can be reverted"
        if isinstance(model, PiecewiseLinear):
            got, hint = "a curve layer", "pass the model, or the submodule that contains the layer"
        raise errors.ArgumentError(errors.message("hinged.revert(model)", got, hint))
    for module in changed:
        uninstall(module)
    forget_sites(model)
    return model
