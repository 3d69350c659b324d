"""`PiecewiseLinear`: a trainable piecewise-linear activation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from hinged import errors
from hinged.curve.curve import TAILS, Curve, check_hinges
from hinged.curve.evaluate import check_input, is_uniform
from hinged.curve.fit_function import fit
from hinged.curve.start_functions import Start, resolve_start
from hinged.kernels import evaluate_curves
from hinged.nn.hinge_spacing import HingeSpacing
from hinged.nn.layer_arguments import (
    CALL,
    DEFAULT_RANGE,
    check_channels,
    check_device,
    check_dim,
    check_dtype,
    hinge_positions,
    warn_if_inexact,
)
from hinged.nn.saved_state import (
    ParametrizationDict,
    decode_tails,
    describe_mismatch,
    encode_tails,
    one_row,
    overwrite_or_replace,
)
from hinged.nn.tracing import call_in_graph, refuse_script
from hinged.nn.weight_decay import curve_layers_alive


class PiecewiseLinear(nn.Module):
    """A trainable piecewise-linear activation, with one curve per channel.

    A curve has fixed positions on the input axis, the hinges, and one trained output at each hinge.
    Between two neighbouring hinges the curve is a straight line (a piece). The range is the
    interval from the first to the last hinge. Left and right of the range the curve is a straight
    line too (a tail).

    The layer starts as the function `init`. If `init` is ReLU, the identity or |x|, the outputs at
    the start equal the outputs of this function bit for bit, except for the sign of zeros.

    Args:
        channels: number of channels `C`, the size of axis `dim` of the input. 1 means one curve for
            all channels, with inputs of any shape. None takes the number from the first input: the
            layer is then a lazy module of torch, so call the model once before you create an
            optimizer.
        hinges: the number `K` of hinges of each curve, or their ascending positions, shape `(K,)`
            for all channels together or `(C, K)`.
        range: positions of the first and the last hinge, `(low, high)`, if `hinges` is a number.
            The range is widened as little as needed to put a hinge at each kink of `init` (a
            position where the slope jumps).
        init: the start function: a name in `hinged.curve.START_FUNCTIONS`, a function or an
            `nn.Module` that takes a tensor and acts on each element separately, or a
            `hinged.Curve`. A smooth function is fitted by least squares.
        dim: the channel axis of the input; use -1 if the channels are the last axis.
        tails: `"linear"` (the first and the last piece continue), `"constant"` (the first and the
            last value continue) or `"free"` (straight lines with trained slopes).
        inplace: no effect, accepted because `nn.ReLU` has it. The result is always a new tensor.
        device: the device of the parameters. None means the default device of torch.
        dtype: the dtype of the parameters. None means the default dtype of torch.

    Attributes:
        values: the trained outputs at the hinges, a parameter of shape `(C, K)`.
        hinges: the positions of the hinges, a buffer of shape `(K,)` or `(C, K)`.
        tail_slopes: the trained slopes of the left and the right tail, a parameter of shape
            `(C, 2)`, with free tails. None with other tails.
        start_error: the largest absolute difference between the curves at the start and `init` over
            the range, or over the inputs that `hinged.convert` saw. It is 0 if the start is exact
            except for rounding.

    Raises:
        ArgumentError: if `channels`, `hinges`, `range`, `init`, `dim` or `device` is not valid.
        UnknownNameError: if the name given as `init` or `tails` does not exist.
        DtypeError: if `dtype` is not a floating-point dtype.

    Warns:
        InexactStartWarning: if `hinges` are positions, and some kink of `init` has no hinge.

    >>> import hinged, torch
    >>> act, x = hinged.PiecewiseLinear(channels=64), torch.randn(8, 64, 5, 5)
    >>> act
    PiecewiseLinear(64, hinges=9, range=(-3, 3), dim=1, tails=linear)
    >>> torch.equal(act(x), x.relu())
    True
    """

    hinges: Tensor
    values: nn.Parameter
    tail_slopes: nn.Parameter | None
    # Called with the layer and its input in forward passes: see `hinged.nn.input_observer`.
    _observer: Callable[[PiecewiseLinear, Any], None] | None = None

    def __init__(
        self,
        channels: int | None = 1,
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
        is_lazy = channels is None and type(self) is PiecewiseLinear
        channels = 1 if is_lazy else check_channels(channels)
        if tails not in TAILS:
            raise errors.unknown_name(f"{CALL}(tails=...)", tails, TAILS)
        dtype = check_dtype(dtype)
        check_dim(dim, CALL)
        device = check_device(device)
        default_device = torch.get_default_device()
        # The start is computed on the CPU, even for a layer on the meta device. The device context
        # is set only if it is needed, because it makes the constructor slower by a third.
        on_cpu = contextlib.nullcontext() if default_device.type == "cpu" else torch.device("cpu")
        with on_cpu:
            function = resolve_start(init, f"{CALL}(init=...)")
            positions = hinge_positions(hinges, range, function, tails, dtype)
            result = fit(function, positions, channels=channels, tails=tails, call=CALL)
        warn_if_inexact(result.exact, function, positions)
        self.channels = channels
        self.dim = dim
        self.tails = tails
        self.inplace = inplace
        self.start_error = 0.0 if result.exact else result.error.max().item()
        self.register_buffer("hinges", positions.to(device))
        self.values = nn.Parameter(result.curve.values.to(device))
        slopes = result.curve.tail_slopes
        self.register_parameter(
            "tail_slopes", None if slopes is None else nn.Parameter(slopes.to(device))
        )
        self._spacing = HingeSpacing(self.hinges, is_uniform(positions))
        self._start = one_row(result.curve)
        curve_layers_alive.add(id(self), self)
        if is_lazy:
            LazyPiecewiseLinear.take_over(self)

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs of the curves for the inputs.

        The result is a new tensor with the shape, dtype and memory format of `input`, which has
        this name in the activation modules of torch, too.
        """
        if isinstance(input, Proxy):
            return call_in_graph(self, input)
        if self._observer is not None:
            self._observer(self, input)
        hinges = self._get_tensor(self._buffers, "hinges")
        return evaluate_curves(
            input,
            self._get_tensor(self._parameters, "values"),
            hinges,
            dim=self.dim,
            tails=self.tails,
            tail_slopes=self._get_tensor(self._parameters, "tail_slopes"),
            uniform=self._spacing.is_uniform,
            call=CALL,
        )

    def __prepare_scriptable__(self) -> NoReturn:
        """Refuse `torch.jit.script`, which calls this method."""
        refuse_script()

    def curve(self) -> Curve:
        """Return the curves as a `hinged.Curve` whose tensors are the layer's parameters, not
        copies."""
        return Curve(self.hinges, self.values, self.tails, self.tail_slopes)

    def set_curve(self, curve: Curve) -> None:
        """Replace the curves of the layer: hinges, values and tails.

        Parameters that keep their shape are overwritten in place, so an optimizer continues to
        train them. If the number of hinges or of curves changes, the layer gets new parameters with
        the dtype, device and `requires_grad` of the old parameters. You must then create a new
        optimizer.

        Args:
            curve: curves for the layer's `C` channels, or one curve for all channels. A layer with
                one curve can get any number of curves.

        Raises:
            ArgumentError: if the number of channels does not match, if the values of the layer are
                parametrised, or if different hinges become equal when they are rounded to the
                layer's dtype. The layer is then unchanged.

        >>> act = PiecewiseLinear(3)
        >>> act.set_curve(Curve(torch.tensor([-1.0, 1.0]), torch.tensor([[0.0, 2.0]])))
        >>> act, act(torch.tensor([[0.0, 1.0, 2.0]])).tolist()
        (PiecewiseLinear(1, hinges=2, range=(-1, 1), dim=1, tails=linear), [[1.0, 2.0, 3.0]])
        """
        call = f"{CALL}.set_curve(curve)"
        if 1 not in (curve.channels, self.channels) and curve.channels != self.channels:
            hint = f"expected curves for {self.channels} channels, or one curve for all channels"
            got = f"curves for {curve.channels} channels"
            raise errors.ArgumentError(errors.message(call, got, hint))
        if not {"values", "tail_slopes"} <= self._parameters.keys():
            got = "a layer whose values are parametrised"
            hint = "remove the parametrisation first (torch.nn.utils.parametrize)"
            raise errors.ArgumentError(errors.message(call, got, hint))
        # Tensors made in inference mode cannot be trained.
        with torch.inference_mode(self.values.is_inference()):
            hinges = curve.hinges.detach().to(self.hinges, copy=True)
            check_hinges(hinges, call)
            self.hinges = hinges
            self.values = overwrite_or_replace(self.values, curve.values)
            old = self.values if self.tail_slopes is None else self.tail_slopes
            slopes = curve.tail_slopes
            self.tail_slopes = None if slopes is None else overwrite_or_replace(old, slopes)
            self.channels, self.tails = curve.channels, curve.tails
            self._spacing = HingeSpacing(hinges, is_uniform(hinges))

    def start_as(self, curve: Curve, error: float) -> None:
        """Replace the curves of the layer, and those that `reset_parameters` restores.

        Args:
            curve: the new curves, as for `set_curve`.
            error: the new `start_error`.
        """
        self.set_curve(curve)
        self._start, self.start_error = one_row(curve), error

    def reset_parameters(self) -> None:
        """Restore the curves that the layer had when it was created or converted.

        Use it after `to_empty`, for a layer from the meta device. If the number of hinges has
        changed since, the layer gets new parameters.

        >>> act = PiecewiseLinear(3, device="meta").to_empty(device="cpu")
        >>> act.reset_parameters()
        >>> act(torch.tensor([[-1.0, 0.0, 2.0]])).tolist()
        [[0.0, 0.0, 2.0]]
        """
        start, slopes = self._start, self._start.tail_slopes
        rows = (max(self.channels, start.channels), -1)
        slopes = None if slopes is None else slopes.expand(rows)
        self.set_curve(Curve(start.hinges, start.values.expand(rows), start.tails, slopes))

    def extra_repr(self) -> str:
        """Return the settings that `print` shows for the layer."""
        parts = [f"{self.channels}, hinges={self.hinges.shape[-1]}"]
        if not self.hinges.is_meta:
            parts.append(f"range=({self.hinges.min():g}, {self.hinges.max():g})")
        return ", ".join([*parts, f"dim={self.dim}", f"tails={self.tails}"])

    def get_extra_state(self) -> Tensor:
        """Return the kind of tails as a number in a tensor, for `state_dict`."""
        return encode_tails(self.tails)

    def set_extra_state(self, state: Tensor) -> None:
        """Set the kind of tails from the tensor in a loaded state."""
        self.tails = decode_tails(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        curve_layers_alive.add(id(self), self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "parametrizations":
            value = ParametrizationDict(value)
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PiecewiseLinear:
        before, uniform = self.hinges, self._spacing.is_uniform(self.hinges)
        after = fn(before)
        recast = after.dtype != before.dtype and not after.is_meta
        if recast and not (after.diff(dim=-1) > 0).all():
            got = f"hinges so close together that some become equal in {after.dtype}"
            hint = f"create the layer with dtype={after.dtype}, or keep dtype={before.dtype}"
            raise errors.ArgumentError(errors.message(f"{CALL}.to({after.dtype})", got, hint))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        has_values = not (recast or before.is_meta)
        self._spacing = HingeSpacing(self.hinges, uniform if has_values else None)
        return self

    def _get_tensor(self, tensors: Mapping[str, Tensor | None], name: str) -> Any:
        """Return the layer's tensor `name`. `tensors` is `self._parameters` or `self._buffers`.

        Reading the dictionary is half a microsecond faster than reading the attribute. A
        parametrised tensor is not in the dictionary, so it is read from the attribute.
        """
        return tensors[name] if name in tensors else getattr(self, name)

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
        """Load the tensors of a saved state, or none if the state does not fit the layer.

        None are loaded either if a trained tensor is missing, because the others would make another
        curve of it. A state without hinges is loaded onto the hinges of the layer. As in torch, an
        error for missing tensors is raised after the others are loaded.
        """
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
        if dict(self.named_parameters()).keys() - own.keys():
            # The tensors of the layer itself are loaded, so that torch lists what is missing.
            kept = self.state_dict(keep_vars=True)
            state_dict = state_dict | {prefix + name: kept[name] for name in kept.keys() & own}
        elif "hinges" in own and own["hinges"].shape != self.hinges.shape:
            self.hinges = self.hinges.new_empty(own["hinges"].shape)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        self._spacing = HingeSpacing(self.hinges)


class LazyPiecewiseLinear(LazyModuleMixin, PiecewiseLinear):
    """A `PiecewiseLinear` that takes its number of channels from its first input.

    It is made by `PiecewiseLinear(None)`. After the first call, it is a `PiecewiseLinear`.
    """

    cls_to_become = PiecewiseLinear

    @classmethod
    def take_over(cls, layer: PiecewiseLinear) -> None:
        """Turn a layer with one channel into a lazy layer."""
        layer.__class__ = cls
        for name, parameter in layer._parameters.items():
            if parameter is not None:
                factory: dict[str, Any] = {"device": parameter.device, "dtype": parameter.dtype}
                unknown = UninitializedParameter(**factory)
                setattr(layer, name, unknown)
        lazy: Any = layer
        lazy._initialize_hook = lazy.register_forward_pre_hook(
            lazy._infer_parameters, with_kwargs=True
        )
        lazy._load_hook = lazy._register_load_state_dict_pre_hook(lazy._lazy_load_hook)

    def initialize_parameters(self, x: Tensor) -> None:
        """Create the curves for the channels of the first input."""
        if not self.has_uninitialized_params():
            self.channels = self.values.shape[0]
            return
        check_input(x, 1, self.dim, CALL)
        if not -x.dim() <= self.dim < x.dim():
            got = f"a tensor of shape {tuple(x.shape)} with dim={self.dim}"
            hint = "expected an input with the channels on axis dim: change dim="
            raise errors.ArgumentError(errors.message(f"{CALL}(x)", got, hint))
        self._materialize(x.shape[self.dim])

    def reset_parameters(self) -> None:
        """Restore the start if the number of channels is known, and do nothing otherwise."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def _materialize(self, channels: int) -> None:
        self.channels = channels
        for name, parameter in self._parameters.items():
            if isinstance(parameter, UninitializedParameter):
                start: Tensor = getattr(self._start, name)
                shape = (channels, start.shape[1])
                parameter.materialize(shape, self.hinges.device, self.hinges.dtype)
                with torch.no_grad():
                    parameter.copy_(start)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        values = state_dict.get(f"{prefix}values")
        if isinstance(values, UninitializedParameter):
            return  # The saved layer has had no input either.
        if values is not None and values.dim() == 2 and self.has_uninitialized_params():
            self._materialize(values.shape[0])
        super()._load_from_state_dict(state_dict, prefix, *others)
