"""`train_only`: freezes a model except for its curves, normalisation layers and head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from hinged import errors
from hinged.model.adaptation.model_parts import modules_by_name, norm_layers
from hinged.nn import check_model, curve_layers

CALL = "hinged.train_only"


@dataclass(frozen=True)
class TrainableParameters:
    """How many parameters `train_only` left trainable. `str` returns a sentence.

    A parameter means a single number here, not a tensor.

    Attributes:
        total: the number of parameters of the model.
        by_kind: the number of trainable parameters of each kind: `"curves"`, `"norm"` and `"head"`.
        head: names of the modules that form the head.
    """

    total: int
    by_kind: dict[str, int]
    head: tuple[str, ...]

    @property
    def trained(self) -> int:
        """The number of trainable parameters: curves, normalisation and head together."""
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
    """Freeze all parameters of a model except for its curves, normalisation layers and head.

    Curves are the trainable piecewise-linear functions of `PiecewiseLinear` layers. The head is the
    last layers, which map features to outputs. `train_only` sets only the `requires_grad` of the
    parameters. Dropout and the running statistics of BatchNorm stay active; `model.eval()` stops
    them. Call `train_only` before you create the optimizer. `hinged.save_curves` writes the trained
    parameters to a small file; name the head in its argument `also`.

    Args:
        model: any module. `requires_grad` of all its parameters is set.
        curves: whether to train the values of `PiecewiseLinear` layers, and the slopes of their
            tails if these are free.
        head: the modules that form the head and are trained. True means the last `nn.Linear` of the
            model. A name or a list of names selects the modules with these names. False means that
            no head is trained.
        norm: whether to train weights and biases of normalisation layers (BatchNorm, LayerNorm,
            GroupNorm, InstanceNorm and RMSNorm).

    Returns:
        A `TrainableParameters` object with the number of trainable parameters of each kind. A
        parameter that belongs to several modules counts once.

    Raises:
        ArgumentError: if `curves` is True but the model has no curves; if `head` is True but the
            model has no `nn.Linear`; or if no parameters are selected. The model is then unchanged.
        UnknownNameError: if `head` contains a name that no module of the model has.

    >>> import hinged
    >>> from torch import nn
    >>> act = hinged.PiecewiseLinear(8)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), act, nn.Linear(8, 3))
    >>> print(hinged.train_only(model))
    115 of 155 parameters trained (74.19%): curves 72, normalisation 16, head (3) 27
    >>> model[0].weight.requires_grad, model[2].values.requires_grad
    (False, True)
    """
    check_model(model, CALL)
    errors.check_flags(CALL, curves=curves, norm=norm)
    heads = _heads(model, head)
    modules: dict[str, Iterable[nn.Module]] = {
        "curves": curve_layers(model, CALL).values() if curves else (),
        "norm": norm_layers(model).values() if norm else (),
        "head": heads.values(),
    }
    chosen = _parameters_by_kind(modules)
    if not any(chosen.values()):
        hint = "select parameters to train: set curves, head or norm"
        got = f"curves={curves}, head={head!r} and norm={norm}, which select no parameters"
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
    """Return the parameters of each kind (`"curves"`, `"norm"` and `"head"`), without duplicates.

    A parameter that belongs to several kinds of modules is returned for the first kind only.
    """
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
        hint = "pass the name of its head, such as head='classifier.1', or head=False"
        raise errors.ArgumentError(errors.message(f"{CALL}(head=...)", got, hint))
    return dict(linear[-1:]) if head else {}
