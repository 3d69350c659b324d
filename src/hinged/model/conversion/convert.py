"""Replaces the activations of a model by trainable curves, and puts them back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.curve.start_functions import Start
from hinged.model.conversion.candidates import find_candidates
from hinged.model.conversion.decisions import Decision, Settings, Where, decide
from hinged.model.conversion.install import (
    ORIGINALS,
    Originals,
    Replacements,
    install,
    undo_on_error,
    uninstall,
    update_optimizers,
)
from hinged.model.conversion.output_check import describe_difference, run_converted
from hinged.model.conversion.sites import forget_sites, record_sites
from hinged.model.conversion.unsupported_models import reject_unsupported
from hinged.model.observation.run_model import ModelInputs
from hinged.nn import PiecewiseLinear

CALL = "hinged.convert"


def convert(
    model: nn.Module,
    data: Any,
    hinges: int = 9,
    *,
    init: Start = "same",
    spread: float = 3.0,
    sharing: str = "channel",
    tails: str = "linear",
    where: Where | None = None,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
    optimizers: Optimizer | Sequence[Optimizer] = (),
) -> nn.Module:
    """Replace every activation of a model by trainable curves that start as the same function.

    The model runs over `data` once, without gradients, to find every call of an activation:
    modules, modules that are used several times, functions and methods (`F.relu(x)`, `x.relu_()`),
    also in loops. Each becomes a `PiecewiseLinear` with one curve per channel. Its hinges cover the
    mean +- `spread` standard deviations of its inputs. The channel axis is found by following the
    layers that produce the inputs.

    Parameters, buffers, other keys of `state_dict`, class, methods, hooks, training flags and
    random state do not change. Activations that cannot be converted stay; `hinged.sites(model)`
    lists all sites with the reasons.

    Piecewise-linear activations (ReLU, leaky ReLU, PReLU, ReLU6, hardtanh, hardsigmoid ...) are
    reproduced exactly. For smooth ones (GELU, SiLU ...) the curve is the closest fit, and `sites`
    lists its error. Gates (a sigmoid, hardsigmoid or tanh that multiplies another tensor) and
    bounded outputs of the model are converted only if `gates` is true.

    Args:
        model: any module; it is changed in place.
        data: one batch or an iterable of batches, such as a DataLoader. A batch is the input of the
            model (a tensor), its keyword arguments (a dictionary), or a pair. The first part of a
            pair is one of these or a tuple of positional arguments; the second part is the targets.
        hinges: number of hinges `K` of each curve.
        init: start of the curves: `"same"` for the function that they replace, or any `init` of
            `PiecewiseLinear` for all sites.
        spread: half the range, in standard deviations.
        sharing: `"channel"` for one curve per channel, `"layer"` for one curve per site.
        tails: as in `PiecewiseLinear`.
        where: takes a `Site` and returns whether to convert it.
        gates: convert gates and bounded outputs, too.
        activations: your own module classes that are elementwise activations as a whole.
        optimizers: one or several optimisers that train the model. The curves are added to the
            first one, in a group with the settings of `hinged.param_groups`; parameters of the
            replaced activations are removed. Make learning-rate schedulers afterwards.

    Returns:
        The model. If the model itself is an activation, the curves that replace it.

    Raises:
        ArgumentError: the model is wrapped, compiled or scripted, there are no data, or the
            settings cannot work (such as too few hinges for a site). The model is then unchanged.

    Warns:
        NoEffectWarning: there was nothing to convert.

    >>> import hinged, torch
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
    >>> model = convert(model, x)
    >>> torch.allclose(model(x), before)
    True
    >>> [(site.name, site.activation, site.channels) for site in hinged.sites(model)]
    [('hinged.relu_1', 'ReLU()', 8)]
    """
    settings = Settings(hinges, init, spread, sharing, tails)
    settings.check(CALL)
    reject_unsupported(model, CALL)
    search = find_candidates(model, data, CALL, gates=gates, activations=activations)
    decisions = decide(model, search.candidates, settings, CALL, where)
    converted, output = _install_reachable(model, decisions, search.inputs)
    replacements = _replacements(decisions)
    if not replacements:
        got = f"a {type(model).__name__} with {len(decisions)} activations, none to convert"
        hint = "hinged.sites(model, data) lists them and the reasons"
        message = errors.message(f"{CALL}(model)", got, hint)
        warnings.warn(message, errors.NoEffectWarning, stacklevel=2)
        return model
    still_used = {id(each.candidate.call.module) for each in decisions if each.layer is None}
    update_optimizers(optimizers, replacements, still_used)
    difference = describe_difference(search.output, output, same_function=init == "same")
    record_sites(converted, [each.site for each in decisions], [*search.notes, difference])
    return converted


def _replacements(decisions: list[Decision]) -> Replacements:
    return [(each.candidate, each.layer) for each in decisions if each.layer is not None]


class _UnreachedError(Exception):
    """The converted model does not call some of the curves."""


def _install_reachable(
    model: nn.Module, decisions: list[Decision], inputs: ModelInputs
) -> tuple[nn.Module, Any]:
    """Install the curves, and verify on the first batch that the model calls them.

    A model may call an activation through a reference that the search cannot see, such as a plain
    list of modules. If it does not call some curves, the installation is undone, and repeated
    without them.

    Returns:
        The converted model and its output for the first batch; None if no curves are left.
    """
    while replacements := _replacements(decisions):
        try:
            with undo_on_error(model):
                converted = install(model, replacements)
                layers = [layer for _, layer in replacements]
                output, called = run_converted(converted, layers, inputs)
                unreached = [
                    each
                    for each in decisions
                    if each.layer and each.candidate.in_first_batch and each.layer not in called
                ]
                if unreached:
                    raise _UnreachedError
                return converted, output
        except _UnreachedError:
            for each in unreached:
                each.skip(
                    "the model calls it through another reference, so a curve in its place would "
                    "not be reached"
                )
    return model, None


def revert(model: nn.Module) -> nn.Module:
    """Put the original activations back that `convert` replaced, and drop the curves.

    Outputs and `state_dict` are then bit for bit those of the model before the conversion, except
    for what its other parameters have learned since.

    Args:
        model: a converted model, or a part of one; it is changed in place.

    Returns:
        The model.

    Raises:
        ArgumentError: nothing in the model was converted.

    >>> import torch
    >>> model = convert(nn.Sequential(nn.Linear(2, 3), nn.GELU()), torch.randn(8, 2))
    >>> revert(model)[1]
    GELU(approximate='none')
    """
    if isinstance(model, PiecewiseLinear) and ORIGINALS in vars(model):
        originals: Originals = vars(model)[ORIGINALS]
        return originals.modules[""].train(model.training)
    changed = [module for module in model.modules() if ORIGINALS in vars(module)]
    if not changed:
        got, hint = f"a {type(model).__name__} without converted sites", "convert it first"
        raise errors.ArgumentError(errors.message("hinged.revert(model)", got, hint))
    for module in changed:
        uninstall(module)
    forget_sites(model)
    return model
