"""`PiecewiseLinear`: a trainable piecewise-linear activation."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import TAILS, Curve, check_hinges, check_shapes
from hinged.curve.evaluate import is_uniform
from hinged.curve.fit_function import fit
from hinged.curve.placement.uniform_grid import check_range, uniform_grid
from hinged.curve.start_functions import Start, StartFunction, resolve_start
from hinged.kernels import evaluate_curves
from hinged.kernels.eager_calls import is_exporting
from hinged.nn.saved_state import ParametrizationDict, decode_tails, describe_mismatch, encode_tails

CALL = "hinged.PiecewiseLinear"
DEFAULT_RANGE = (-3.0, 3.0)


def piecewise_linear(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    dim: int = 1,
    tails: str = "linear",
    tail_slopes: Tensor | None = None,
) -> Tensor:
    """Apply one piecewise-linear curve per channel; the function that `PiecewiseLinear` computes.

    Between `hinges[k]` and `hinges[k+1]`, with `t = (x - h[k]) / (h[k+1] - h[k])`, the result is
    `(1 - t) v[k] + t v[k+1]`.

    Args:
        x: inputs; axis `dim` has size `C`, or any size if `C` is 1.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`; the order is not checked, because
            the check would have to wait for a GPU.
        dim: the channel axis of `x`.
        tails: `"linear"`, `"constant"` or `"free"`.
        tail_slopes: left and right slope for free tails, shape `(C, 2)`.

    Returns:
        A tensor of the shape, dtype and memory format of `x`.

    Raises:
        ArgumentError: shapes that do not match.
        DtypeError: tensors that are not floating point.

    >>> h = torch.tensor([-1.0, 0.0, 1.0])
    >>> piecewise_linear(torch.tensor([[-2.0, 0.25, 3.0]]), h.abs()[None], h)
    tensor([[2.0000, 0.2500, 3.0000]])
    """
    call = "hinged.piecewise_linear"
    check_shapes(call, values, hinges, tails, tail_slopes)
    return evaluate_curves(
        x, values, hinges, dim=dim, tails=tails, tail_slopes=tail_slopes, call=call
    )


class PiecewiseLinear(nn.Module):
    """A trainable piecewise-linear activation, with one curve per channel.

    The trained parameters are `values` `(C, K)`, the outputs at the fixed `hinges`; with free tails
    also `tail_slopes` `(C, 2)`. A layer started as ReLU, identity or |x| computes exactly that
    function, bit for bit, except for the sign of zeros.

    Args:
        channels: number of channels `C`; 1 means one curve for all channels.
        hinges: the number of hinges, or their positions `(K,)` or `(C, K)`, ascending.
        range: first and last hinge, if `hinges` is a number; widened as little as needed to put the
            kinks of `init` on hinges.
        init: the start function: a name in `hinged.curve.START_FUNCTIONS`, a callable on a
            tensor, an `nn.Module` or a `Curve`. Smooth functions are fitted by least squares;
            `start_error` is the largest difference over the range.
        dim: the channel axis of the input; -1 if the features are last.
        tails: `"linear"` (the end pieces continue), `"constant"` or `"free"` (trained slopes).
        inplace: accepted so that the layer can replace `nn.ReLU(inplace=True)`; the result is
            always a new tensor.
        device: the device of the parameters.
        dtype: the dtype of the parameters.

    Attributes:
        values: trained outputs at the hinges, shape `(C, K)`.
        hinges: positions, shape `(K,)` or `(C, K)`; a buffer.
        tail_slopes: trained slopes of free tails `(C, 2)`; None for other tails.
        start_error: largest absolute difference from `init` over the range; 0 if exact.

    Raises:
        ArgumentError: invalid hinges, range, channels or tails; the message says what is valid.
        UnknownNameError: an unknown `init`.

    >>> act = PiecewiseLinear(channels=64)
    >>> act
    PiecewiseLinear(64, hinges=9, range=(-3, 3), dim=1, tails=linear)
    >>> x = torch.randn(8, 64, 5, 5)
    >>> torch.equal(act(x), x.relu())
    True
    """

    hinges: Tensor
    values: nn.Parameter
    tail_slopes: nn.Parameter | None

    def __init__(
        self,
        channels: int = 1,
        hinges: int | Tensor | Sequence[float] = 9,
        range: Sequence[float] = DEFAULT_RANGE,
        init: Start = "relu",
        *,
        dim: int = 1,
        tails: str = "linear",
        inplace: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check_channels(channels)
        if tails not in TAILS:
            raise errors.unknown_name(f"{CALL}(tails=...)", tails, TAILS)
        dtype = _check_dtype(dtype)
        default_device = torch.get_default_device()
        device = default_device if device is None else device
        # Computed on the CPU even for a layer on the meta device. Setting the device makes each
        # operation slower, by a third of the whole constructor.
        on_cpu = contextlib.nullcontext() if default_device.type == "cpu" else torch.device("cpu")
        with on_cpu:
            function = resolve_start(init, f"{CALL}(init=...)")
            positions = _positions(hinges, range, function, tails, dtype)
            result = fit(function, positions, channels=channels, tails=tails, call=CALL)
        _warn_if_inexact(result.exact, function, positions)
        self.channels = int(channels)
        self.dim = dim
        self.tails = tails
        self.inplace = inplace
        self.start_error = result.error.max().item()
        self.register_buffer("hinges", positions.to(device))
        self.values = nn.Parameter(result.curve.values.to(device))
        slopes = result.curve.tail_slopes
        self.register_parameter(
            "tail_slopes", None if slopes is None else nn.Parameter(slopes.to(device))
        )
        self._note_uniform(is_uniform(positions))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the curves to `x` `(N, C, ...)`.

        The result is a new tensor with the shape, dtype and memory format of `x`.
        """
        hinges = self._get_tensor(self._buffers, "hinges")
        return evaluate_curves(
            x,
            self._get_tensor(self._parameters, "values"),
            hinges,
            dim=self.dim,
            tails=self.tails,
            tail_slopes=self._get_tensor(self._parameters, "tail_slopes"),
            uniform=self._is_uniform(hinges),
            call=CALL,
        )

    def curve(self) -> Curve:
        """Return the curves; they share memory and gradients with the parameters."""
        return Curve(self.hinges, self.values, self.tails, self.tail_slopes)

    def set_curve(self, curve: Curve) -> None:
        """Replace the curves of the layer: hinges, values and tails.

        Parameters that keep their shape are overwritten in place, so optimisers continue to train
        them. If the number of hinges or curves changes, the layer gets new parameters, with the
        dtype, device and `requires_grad` of the old ones; then make a new optimiser.

        Args:
            curve: `C` curves, or one for all channels.

        Raises:
            ArgumentError: another number of channels, a layer with parametrised values, or hinges
                that are equal in the layer's dtype. Nothing has changed then.

        >>> act = PiecewiseLinear(3)
        >>> act.set_curve(Curve(torch.tensor([-1.0, 1.0]), torch.tensor([[0.0, 2.0]])))
        >>> act, act(torch.tensor([[0.0, 1.0, 2.0]])).tolist()
        (PiecewiseLinear(1, hinges=2, range=(-1, 1), dim=1, tails=linear), [[1.0, 2.0, 3.0]])
        """
        call = f"{CALL}.set_curve(curve)"
        if curve.channels not in (1, self.channels):
            hint = f"expected {self.channels}, or one curve for all channels"
            got = f"{curve.channels} channels"
            raise errors.ArgumentError(errors.message(call, got, hint))
        if not {"values", "tail_slopes"} <= self._parameters.keys():
            got, hint = "a layer whose values are parametrised", "remove the parametrisation first"
            raise errors.ArgumentError(errors.message(call, got, hint))
        hinges = curve.hinges.detach().to(self.hinges, copy=True)
        check_hinges(hinges, call)
        self.hinges = hinges
        self.values = _overwrite_or_replace(self.values, curve.values)
        old = self.values if self.tail_slopes is None else self.tail_slopes
        slopes = curve.tail_slopes
        self.tail_slopes = None if slopes is None else _overwrite_or_replace(old, slopes)
        self.channels, self.tails = curve.channels, curve.tails
        self._note_uniform(is_uniform(hinges))

    def extra_repr(self) -> str:
        """Return the settings that `print` shows."""
        parts = [f"{self.channels}, hinges={self.hinges.shape[-1]}"]
        if not self.hinges.is_meta:
            parts.append(f"range=({self.hinges.min():g}, {self.hinges.max():g})")
        return ", ".join([*parts, f"dim={self.dim}", f"tails={self.tails}"])

    def get_extra_state(self) -> Tensor:
        """Return the tails, for `state_dict`."""
        return encode_tails(self.tails)

    def set_extra_state(self, state: Tensor) -> None:
        """Set the tails from a loaded state."""
        self.tails = decode_tails(state)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "parametrizations":
            value = ParametrizationDict(value)
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PiecewiseLinear:
        before, uniform = self.hinges, self._uniform_hinges is self.hinges
        after = fn(before)
        recast = after.dtype != before.dtype and not after.is_meta
        if recast and not (after.diff(dim=-1) > 0).all():
            got = "hinges so close together that some become equal in that dtype"
            hint = f"build the layer with dtype={after.dtype}, which spaces them, or keep float32"
            raise errors.ArgumentError(errors.message(f"{CALL}.to({after.dtype})", got, hint))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._note_uniform(is_uniform(self.hinges) if recast else uniform)
        return self

    def _get_tensor(self, tensors: Mapping[str, Tensor | None], name: str) -> Any:
        """Return `getattr(self, name)`, half a microsecond faster for names in `tensors`.

        Parametrised tensors are not in `tensors`.
        """
        return tensors[name] if name in tensors else getattr(self, name)

    def _note_uniform(self, uniform: bool) -> None:
        """Remember whether the present hinges are uniform.

        Reading the hinges in each `forward` would wait for a GPU. For other hinges, passed by
        `functional_call`, the layer does not know whether they are uniform.
        """
        self._uniform_hinges = self.hinges if uniform else None

    def _is_uniform(self, hinges: Tensor) -> bool:
        """Return whether these are the uniform hinges of the layer.

        A non-strict export replaces the hinges by a tensor without values; then the layer's own
        hinges decide.
        """
        own = self._uniform_hinges
        return hinges is own or (
            own is not None and is_exporting(if_unknown=False) and hinges.shape == own.shape
        )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load a state completely, or leave the layer unchanged if the state does not fit."""
        own = {
            name.removeprefix(prefix): tensor
            for name, tensor in state_dict.items()
            if name.startswith(prefix)
        }
        shape = (self.channels, self.hinges.shape[-1])
        call = f"{CALL}.load_state_dict({prefix.rstrip('.')})"
        mismatch = describe_mismatch(call, own, shape, self.hinges.dtype, self.tails)
        if mismatch is not None:
            error_msgs.append(mismatch)
            return
        parameters = {name for name, tensor in self._parameters.items() if tensor is not None}
        missing = (parameters | {"hinges"}) - own.keys()
        if strict and missing:
            missing_keys.extend(prefix + name for name in sorted(missing))
            return
        hinges = own.get("hinges")
        if hinges is not None and hinges.shape != self.hinges.shape:
            self.hinges = self.hinges.new_empty(hinges.shape)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        self._note_uniform(not self.hinges.is_meta and is_uniform(self.hinges))


def _overwrite_or_replace(parameter: nn.Parameter, new: Tensor) -> nn.Parameter:
    """Return the parameter with new contents, or a new parameter if the shape differs."""
    if parameter.shape != new.shape:
        return nn.Parameter(new.detach().to(parameter, copy=True), parameter.requires_grad)
    with torch.no_grad():
        parameter.copy_(new)
    return parameter


def _check_channels(channels: int) -> None:
    if isinstance(channels, bool) or not isinstance(channels, Integral) or channels < 1:
        hint = "expected a whole number, at least 1 (1: one curve for all channels)"
        raise errors.ArgumentError(errors.message(f"{CALL}(channels=...)", repr(channels), hint))


def _check_dtype(dtype: torch.dtype | None) -> torch.dtype:
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not dtype.is_floating_point:
        hint = "expected a floating-point dtype"
        raise errors.DtypeError(errors.message(f"{CALL}(dtype=...)", str(dtype), hint))
    return dtype


def _positions(
    hinges: int | Tensor | Sequence[float],
    range: Sequence[float],
    init: StartFunction,
    tails: str,
    dtype: torch.dtype,
) -> Tensor:
    if isinstance(hinges, Real):
        count: Any = hinges  # `uniform_grid` rejects numbers that are not whole.
        return uniform_grid(count, range, kinks=init.kinks, tails=tails, dtype=dtype, call=CALL)
    if range is not DEFAULT_RANGE and check_range(range, CALL) != DEFAULT_RANGE:
        hint = "the positions set the range: pass a number of hinges, or no range"
        got = f"range={tuple(range)} together with hinge positions"
        raise errors.ArgumentError(errors.message(f"{CALL}(range=...)", got, hint))
    try:
        positions = torch.as_tensor(hinges).detach().to("cpu", dtype, copy=True)
    except (TypeError, ValueError, RuntimeError):
        hint = "expected a number of hinges, or ascending positions (K,) or (C, K)"
        call = f"{CALL}(hinges=...)"
        raise errors.ArgumentError(errors.message(call, repr(hinges), hint)) from None
    check_hinges(positions, f"{CALL}(hinges=...)")
    return positions.squeeze(0)  # One row for all channels has shape (K,), also if given as (1, K).


def _warn_if_inexact(exact: bool, function: StartFunction, positions: Tensor) -> None:
    if exact:
        return
    has_hinge = [(positions == kink).any(dim=-1).all() for kink in function.kinks]
    if not all(has_hinge):
        kinks = ", ".join(f"{kink:g}" for kink in function.kinks)
        got = f"positions without a hinge at every kink of {function.name} ({kinks})"
        hint = (
            "the start is the closest fit, see start_error; add these positions for an exact start"
        )
        warnings.warn(
            errors.message(f"{CALL}(hinges=...)", got, hint),
            errors.InexactStartWarning,
            stacklevel=3,
        )
