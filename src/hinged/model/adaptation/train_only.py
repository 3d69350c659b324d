"""`train_only`: freezes all but a few parameters of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from hinged import errors
from hinged.model.adaptation.model_parts import modules_by_name, norm_layers
from hinged.nn import curve_layers

CALL = "hinged.train_only"


@dataclass(frozen=True)
class TrainableParameters:
    """How many parameters `train_only` left trainable; `str` gives a sentence.

    Attributes:
        total: number of parameters of the model.
        by_kind: number of trainable parameters in `"curves"`, `"norm"` and `"head"`.
        head: names of the modules that are the head.
    """

    total: int
    by_kind: dict[str, int]
    head: tuple[str, ...]

    @property
    def trained(self) -> int:
        """The number of trainable parameters."""
        return sum(self.by_kind.values())

    def __str__(self) -> str:
        names = {"norm": "normalisation", "head": f"head ({', '.join(self.head)})"}
        kinds = (f"{names.get(kind, kind)} {n:,}" for kind, n in self.by_kind.items() if n)
        share = f"{self.trained / self.total:.2%}"
        trained = f"{self.trained:,} of {self.total:,} parameters trained ({share})"
        return f"{trained}: {', '.join(kinds)}"


def train_only(
    model: nn.Module,
    curves: bool = True,
    head: bool | str | Sequence[str] = True,
    norm: bool = True,
) -> TrainableParameters:
    """Freeze a model except for its curves, its normalisation layers and its head.

    Only `requires_grad` of the parameters is set. Dropout and BatchNorm's running statistics still
    follow the training flag; `model.eval()` stops them. Call this before you make the optimiser.
    `hinged.save_curves(model, path, also=head)` saves the trained parameters.

    Args:
        model: any module.
        curves: train the values of `PiecewiseLinear` layers (and the slopes of free tails).
        head: True for the last `nn.Linear` of the model, names of modules, or False for no head.
        norm: train weights and biases of BatchNorm, LayerNorm, GroupNorm, InstanceNorm, RMSNorm.

    Returns:
        The number of trainable parameters, in total and by kind. A shared parameter counts once.

    Raises:
        ArgumentError: `curves=True` for a model without curves, `head=True` for a model without
            `nn.Linear`, or nothing left to train. Nothing has changed then.
        UnknownNameError: a head that the model does not have.

    >>> import hinged
    >>> act = hinged.PiecewiseLinear(8)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), act, nn.Linear(8, 3))
    >>> print(train_only(model))
    115 of 155 parameters trained (74.19%): curves 72, normalisation 16, head (3) 27
    >>> model[0].weight.requires_grad, model[2].values.requires_grad
    (False, True)
    """
    heads = _heads(model, head)
    modules: dict[str, Iterable[nn.Module]] = {
        "curves": curve_layers(model, f"{CALL}(curves=True)").values() if curves else (),
        "norm": norm_layers(model).values() if norm else (),
        "head": heads.values(),
    }
    chosen = _parameters_by_kind(modules)
    if not any(chosen.values()):
        hint = "expected something to train: curves, head or norm"
        got = f"curves={curves}, head={head!r}, norm={norm}, which select no parameters"
        raise errors.ArgumentError(errors.message(f"{CALL}(...)", got, hint))
    model.requires_grad_(False)
    for parameters in chosen.values():
        for parameter in parameters:
            parameter.requires_grad_()
    counts = {kind: sum(p.numel() for p in chosen[kind]) for kind in chosen}
    return TrainableParameters(sum(p.numel() for p in model.parameters()), counts, tuple(heads))


def _parameters_by_kind(
    modules: dict[str, Iterable[nn.Module]],
) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of each kind; one that belongs to several kinds goes to the first."""
    taken: set[int] = set()
    chosen: dict[str, list[nn.Parameter]] = {kind: [] for kind in modules}
    for kind, members in modules.items():
        for parameter in (p for module in members for p in module.parameters()):
            if id(parameter) not in taken:
                taken.add(id(parameter))
                chosen[kind].append(parameter)
    return chosen


def _heads(model: nn.Module, head: bool | str | Sequence[str]) -> dict[str, nn.Module]:
    if not isinstance(head, bool):
        return modules_by_name(model, head, f"{CALL}(head=...)")
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    if head and not linear:
        got = f"head=True for a {type(model).__name__} without nn.Linear"
        hint = "name its head, as in head='classifier.1', or give head=False"
        raise errors.ArgumentError(errors.message(f"{CALL}(head=...)", got, hint))
    return dict(linear[-1:]) if head else {}
