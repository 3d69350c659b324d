"""Follows the outputs of activations through a model: into layers, products, and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.model.conversion.activation_functions import name_of
from hinged.model.conversion.contained_tensors import tensors_in
from hinged.model.conversion.operations import (
    CONSTANT,
    DETACHING,
    ELEMENTWISE,
    JOINING,
    LAYERS,
    LOSSES,
    NORMS,
    NOT_FOR_NEGATIVES,
    PRODUCTS,
    SCALING,
    SHAPED_LIKE_ANOTHER,
    UNFILLED,
    plain_name,
)
from hinged.model.conversion.source_location import calling_frames, first_argument


@dataclass(frozen=True, slots=True)
class Origin:
    """Says from what one tensor was computed.

    Sets of executions of activations are integers: bit `i` stands for execution `i`.

    Attributes:
        depends_on_data: whether the tensor depends on the inputs of the model.
        has_fractions: whether the dtype is a floating-point or complex dtype.
        parameters: `id`s of parameters: those of the last layers on the way to this tensor, and of
            norms after them. If the tensor does not depend on the data, all parameters from which
            it was computed.
        variable: a number for the tensor `u` of which this tensor is an elementwise function
            `f(u)`. The function has no parameters, and is the same for all elements.
        applied: the executions of which this function `f` consists.
        alone: the executions whose output this tensor is, perhaps after operations that use no
            other tensor that depends on data, such as a transpose, a mean or a multiplication by 2.
        scaled: those of them after which there are only operations such as `2 * x + 1`, means, and
            transposes.
        since_layer: the executions on which this tensor depends without a layer in between.
        earlier: all executions on which this tensor depends.
        trained: those of them through which gradients of this tensor flow.
    """

    depends_on_data: bool
    has_fractions: bool = True
    parameters: frozenset[int] = frozenset()
    variable: int = 0
    applied: int = 0
    alone: int = 0
    scaled: int = 0
    since_layer: int = 0
    earlier: int = 0
    trained: int = 0


class DataFlow:
    """Records from what every tensor of a running model was computed.

    Args:
        frozen: `id`s of parameters that are not trained.

    Attributes:
        executions: the number of executions of activations so far.
        feeding_layers: the executions after which a layer with parameters comes.
        feeding_trained: the executions after which a layer with trained parameters comes, perhaps
            after other layers.
        factors: the executions whose output is multiplied by another tensor that depends on data.
        not_negative: the executions to whose output a function such as `sqrt` is applied, perhaps
            after operations such as `2 * x + 1`.
        composed: the executions that are part of a composed activation. It is an elementwise
            function that multiplies two functions of the same tensor, such as `x * sigmoid(x)`.
    """

    def __init__(self, frozen: Iterable[int] = ()) -> None:
        self._frozen = frozenset(frozen)
        self._origins = WeakTensorKeyDictionary()
        self._variables = 0
        self.executions = 0
        self.feeding_layers = 0
        self.feeding_trained = 0
        self.factors = 0
        self.not_negative = 0
        self.composed = 0

    def mark_inputs(self, tensors: Iterable[Tensor]) -> None:
        """Record that the given tensors are inputs of the model, unless they are known as data."""
        for tensor in tensors:
            if not (self.is_known(tensor) and self.origin_of(tensor).depends_on_data):
                self._set([tensor], Origin(True))

    def mark_constants(self, tensors: Iterable[Tensor], *, are_parameters: bool = False) -> None:
        """Record that the given tensors do not depend on the inputs of the model."""
        for tensor in tensors:
            parameters = frozenset([id(tensor)] if are_parameters else ())
            self._origins[tensor] = Origin(False, parameters=parameters)

    def origin_of(self, x: Tensor) -> Origin:
        """Return the origin of a tensor.

        If no traced function has made the tensor, it may depend on all executions so far.
        """
        origin: Origin | None = self._origins.get(x)
        if origin is None and isinstance(x, nn.Parameter):  # Of a module outside of the model.
            self.mark_constants([x], are_parameters=True)
            origin = self._origins[x]
        elif origin is None:
            self._set([x], Origin(True))
            all_earlier = (1 << self.executions) - 1
            origin = replace(self._origins[x], earlier=all_earlier, trained=all_earlier)
            self._origins[x] = origin
        return origin

    def is_trained(self, parameters: frozenset[int]) -> bool:
        """Return whether one of the parameters with these `id`s is trained."""
        return not parameters <= self._frozen

    def is_known(self, x: Tensor) -> bool:
        """Return whether a traced function has made the tensor."""
        return x in self._origins

    def note_execution(self, x: Tensor, y: Tensor, others: Iterable[Tensor] = ()) -> int:
        """Record that an activation was executed, and return the number of the execution.

        Args:
            x: the input of the activation.
            y: its output.
            others: other arguments of the activation that are tensors, such as slopes.
        """
        old, number = self.origin_of(x), self.executions
        bit = 1 << number
        self.executions += 1
        is_function_of_variable = not any(map(self._is_varied, others))
        self._origins[y] = Origin(
            old.depends_on_data,
            parameters=old.parameters,
            variable=old.variable if is_function_of_variable else self._new_variable(),
            applied=old.applied | bit if is_function_of_variable else 0,
            alone=old.alone | bit,
            scaled=bit,
            since_layer=old.since_layer | bit,
            earlier=old.earlier | bit,
            trained=(old.trained | bit) if _records_gradients() else 0,
        )
        return number

    def is_composed_activation(self, x: Tensor, y: Tensor) -> bool:
        """Return whether the tensor `y` is a composed activation of the tensor `x`."""
        old, new = self.origin_of(x), self.origin_of(y)
        return (
            old.variable == new.variable
            and not (x.is_nested or y.is_nested)
            and x.shape == y.shape
            and bool(new.applied & ~old.applied & self.composed)
        )

    def note_layer(self, inputs: list[Tensor], outputs: list[Tensor], of: Iterable[Tensor]) -> None:
        """Record that a layer with the parameters `of` has computed `outputs` from `inputs`."""
        origins = [self.origin_of(x) for x in inputs]
        parameters = frozenset(map(id, of)).union(*(each.parameters for each in origins))
        self._set_layer_output(origins, parameters, outputs)

    def follow(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        """Record the origin of all tensors that a torch function has returned or overwritten.

        Args:
            function: the torch function that was called.
            args: the positional arguments of the call.
            kwargs: the keyword arguments of the call.
            result: what the function returned.
        """
        full_name = name_of(function)
        name = plain_name(full_name)
        outputs = tensors_in((result, args[:1] if name == "setitem" else ()))
        if not outputs or name in UNFILLED:
            return
        given = {key: value for key, value in kwargs.items() if key != "out"}
        inputs = [] if name in CONSTANT else tensors_in((args, given))
        inputs = inputs[:1] if name in SHAPED_LIKE_ANOTHER else inputs
        origins = [self.origin_of(x) for x in inputs]
        data = [each for each in origins if each.depends_on_data]
        # Masks and indices only select numbers of the other tensors.
        data = [each for each in data if each.has_fractions] or data
        constants = _parameters_of(each for each in origins if not each.depends_on_data)
        if not data:
            self._set(outputs, Origin(False, parameters=constants))
        elif name in LAYERS and constants:
            parameters = constants | (_parameters_of(data) if name in NORMS else frozenset())
            self._set_layer_output(data, parameters, outputs)
        else:
            if name in PRODUCTS or name in LAYERS:
                self._note_product(name, data)
            if name in NOT_FOR_NEGATIVES:
                self.not_negative |= data[0].scaled
            origin = _origin_of_result(name, data, constants)
            self._set(outputs, origin)
            if self._is_elementwise(name, inputs, data, outputs):
                self._keep_variable(name, data, outputs[0])
        if name == "setitem" or full_name == f"{name}_":
            self._note_write(outputs[0])

    def _set_layer_output(
        self, data: list[Origin], parameters: frozenset[int], outputs: list[Tensor]
    ) -> None:
        self.feeding_layers |= _union(each.since_layer for each in data)
        if self.is_trained(parameters):
            self.feeding_trained |= _union(each.earlier for each in data)
        self._set(
            outputs,
            replace(_origin_of_mixture(data), parameters=parameters),
        )

    def _note_product(self, name: str, data: list[Origin]) -> None:
        """Record which executions are factors of a product, or parts of a composed activation."""
        for index, each in enumerate(data):
            others = data[:index] + data[index + 1 :]
            if name in ELEMENTWISE and any(each.variable == other.variable for other in others):
                self.composed |= _union(each.applied ^ other.applied for other in others)
            elif others:
                # In `y * g(y)`, `g(y)` is the gate of `y`.
                self.factors |= each.alone & ~_union(other.earlier for other in others)

    def _is_elementwise(
        self, name: str, inputs: list[Tensor], data: list[Origin], outputs: list[Tensor]
    ) -> bool:
        """Return whether a function has computed one tensor from one variable, and constants that
        are the same for all elements."""
        return (
            name in ELEMENTWISE
            and not any(x.is_nested for x in (*inputs, *outputs))
            and len({each.variable for each in data}) == len(outputs) == 1
            and any(x.shape == outputs[0].shape for x in inputs)
            and not any(map(self._is_varied, inputs))
        )

    def _is_varied(self, x: Tensor) -> bool:
        """Return whether a tensor is a constant with several elements, or has parameters."""
        origin = self.origin_of(x)
        return not origin.depends_on_data and (x.numel() > 1 or bool(origin.parameters))

    def _keep_variable(self, name: str, data: list[Origin], output: Tensor) -> None:
        applied = _union(each.applied for each in data)
        if name == "erf":  # The function of the normal distribution in a GELU that is written out.
            applied |= 1 << self.executions
            self.executions += 1
        origin: Origin = self._origins[output]
        self._origins[output] = replace(origin, variable=data[0].variable, applied=applied)

    def _set(self, tensors: list[Tensor], origin: Origin) -> None:
        trained = origin.trained if _records_gradients() else 0
        for tensor in tensors:
            variable = self._new_variable()
            if tensor.is_floating_point() or tensor.is_complex():
                new = replace(origin, variable=variable, trained=trained, has_fractions=True)
            else:
                new = Origin(origin.depends_on_data, False, origin.parameters, variable)
            self._origins[tensor] = new

    def _note_write(self, x: Tensor) -> None:
        """Record that a function has written into `x`, and so into the tensor whose view `x` is."""
        base = x._base
        if base is not None and base in self._origins:
            self._origins[base] = _origin_of_result("cat", [self._origins[base], self._origins[x]])

    def _new_variable(self) -> int:
        self._variables += 1
        return self._variables

    def finish(self, output: Any) -> tuple[int, int, int]:
        """Return which executions the output shows, which are part of losses, and which get
        gradients.

        Args:
            output: the output of the model. Gradients can come from it, and from all other tensors
                that still exist: the model has stored them, for example as an additional loss.

        Returns:
            Three sets of executions: those whose output the model returns, those that contribute to
            a returned number, and to no other returned tensor, with no layer in between, and those
            through which gradients flow.
        """
        tensors = tensors_in(output)
        returned = _union(self.origin_of(x).alone for x in tensors)
        in_numbers = _union(self.origin_of(x).since_layer for x in tensors if x.dim() == 0)
        in_others = _union(self.origin_of(x).since_layer for x in tensors if x.dim() > 0)
        in_losses = in_numbers & ~in_others
        return returned, in_losses, _union(each.trained for each in self._origins.values())


def _origin_of_result(
    name: str, data: Iterable[Origin], constants: frozenset[int] = frozenset()
) -> Origin:
    """Return the origin of the result of a function that is not a layer.

    Args:
        name: the name of the function.
        data: the origins of its inputs that depend on data.
        constants: the `id`s of the parameters among its inputs.
    """
    origins = list(data)
    stays_alone = len(origins) == 1 or name in JOINING
    is_scaled = len(origins) == 1 and name in SCALING
    if name in LOSSES or name.endswith("_loss"):
        return _origin_of_mixture(origins)
    return Origin(
        True,
        parameters=_parameters_of(origins) | constants,
        alone=_union(each.alone for each in origins) if stays_alone else 0,
        scaled=origins[0].scaled if is_scaled else 0,
        since_layer=_union(each.since_layer for each in origins),
        earlier=_union(each.earlier for each in origins),
        trained=0 if name in DETACHING else _union(each.trained for each in origins),
    )


def _origin_of_mixture(data: Iterable[Origin]) -> Origin:
    """Return the origin of the output of a layer or loss, which is unlike its inputs `data`."""
    origins = list(data)
    earlier = _union(each.earlier for each in origins)
    return Origin(True, earlier=earlier, trained=_union(each.trained for each in origins))


def _union(sets: Iterable[int]) -> int:
    return reduce(or_, sets, 0)


def _parameters_of(origins: Iterable[Origin]) -> frozenset[int]:
    return frozenset[int]().union(*(each.parameters for each in origins))


def _records_gradients() -> bool:
    """Return whether gradients flow through the operation that is executed now.

    In the function `forward` of an `autograd.Function`, torch turns the recording of gradients off,
    although gradients flow through the function. Checkpointing uses such a function.
    """
    return torch.is_grad_enabled() or any(
        isinstance(first_argument(frame), torch.autograd.function.FunctionCtx)
        for frame in calling_frames()
    )
