"""Reads the data that a user passes: splits them into batches, each with its call of the model."""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.model.observation.model_call import ModelCall, is_movable

CallModel = Callable[[nn.Module, Any], Any]
"""Type of a function that calls a model with a batch."""

MANY = 1000
"""Number of batches after which a user is warned that the data may have no end."""

_LIST_ANNOTATION = re.compile(r"(typing\.|collections\.abc\.)?([Ll]ist|Sequence)\b")


@dataclass(frozen=True)
class Batches:
    """The data that a user passed, in one of the forms that `hinged.convert` describes.

    Attributes:
        data: one batch, or an iterable of batches.
        caller: the name of the public function that got the data, for error messages.
        function: the user's function that calls the model with a batch. None to call the model with
            the inputs that the batch holds.
        limit: the largest number of batches to use. None for all.
    """

    data: Any
    caller: str
    function: CallModel | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.function is not None and not callable(self.function):
            hint = "expected a function of the model and a batch, which calls the model"
            self._reject("call", errors.shown(self.function), hint)
        if self.limit is not None and not errors.is_whole_number(self.limit, 1):
            hint = "expected a whole number of batches, at least 1, or None for all"
            self._reject("batches", errors.shown(self.limit), hint)

    def calls(self, model: nn.Module) -> Iterator[ModelCall]:
        """Yield the call of the model for each batch, with inputs on the model's device.

        Raises:
            ArgumentError: if there are no batches, or a batch has another form.

        Warns:
            ManyBatchesWarning: if an iterable without a length yields very many batches.
        """
        parameter = next(model.parameters(), None)
        device = torch.device("cpu") if parameter is None else parameter.device
        forward = _Forward(model)
        count = 0
        for batch in itertools.islice(self._split(forward), self.limit):
            yield self._call(batch, forward).to(device)
            count += 1
            if count == MANY and self.limit is None:
                self._warn_of_many()
        if not count:
            hint = "pass a DataLoader or a list of batches; an iterator can be used only once"
            self._reject("data", "no batches", hint)

    def _split(self, forward: _Forward) -> Iterable[Any]:
        """Return an iterable of the batches."""
        data = self.data
        if self._is_one_batch(forward):
            return [data]
        if not isinstance(data, Iterable):
            hint = (
                "expected one batch (a tensor, a pair or a mapping), or an iterable of batches, "
                "such as DataLoader(dataset, batch_size=64); "
                "for other inputs, pass call=lambda model, batch: ..."
            )
            self._reject("data", errors.class_of(data), hint)
        return data

    def _is_one_batch(self, forward: _Forward) -> bool:
        data = self.data
        if isinstance(data, Mapping | tuple) or is_movable(data):
            return True
        if self.function is None:
            return forward.takes_list and _is_list_of_inputs(data)
        return isinstance(data, str) or not isinstance(data, Iterable)

    def _call(self, batch: Any, forward: _Forward) -> ModelCall:
        """Return the call of the model with a batch.

        The inputs of a pair `(inputs, targets)` are its first entry.
        """
        if self.function is not None:
            return ModelCall((batch,), {}, self.function)
        call = forward.call_with_inputs(batch)
        if call is None and isinstance(batch, tuple | list) and batch:
            if batch is self.data and len(batch) > 2:
                hint = (
                    "expected one batch as a pair (inputs, targets), or several batches as a list"
                )
                self._reject("data", f"a tuple of length {len(batch)}", hint)
            call = forward.call_with_inputs(batch[0]) or forward.call_with_sequence(batch[0])
        if call is None:
            hint = (
                "expected a tensor (torch.as_tensor makes one), a mapping, or a pair (inputs, "
                "targets) whose inputs are a tensor, a mapping or a tuple of arguments; for other "
                "inputs, pass call=lambda model, batch: ..."
            )
            self._reject("data", f"a batch that is {errors.class_of(batch)}", hint)
        return call

    def _reject(self, argument: str, got: str, hint: str) -> NoReturn:
        raise errors.ArgumentError(errors.message(f"{self.caller}({argument}=...)", got, hint))

    def _warn_of_many(self) -> None:
        try:
            len(self.data)
        except TypeError:
            got = f"{MANY} batches so far, from data without a length"
            hint = "if the data have no end, pass batches=..., the number of batches to use"
            text = errors.message(f"{self.caller}(data=...)", got, hint)
            warnings.warn(text, errors.ManyBatchesWarning, stacklevel=3)


class _Forward:
    """What the signature of a model's `forward` says about its arguments."""

    def __init__(self, model: nn.Module) -> None:
        try:
            self._signature: inspect.Signature | None = inspect.signature(model.forward)
        except (TypeError, ValueError):  # Some compiled functions have no signature.
            self._signature = None
        parameters = self._signature.parameters if self._signature else {}
        first = next(iter(parameters.values()), None)
        self.takes_list = first is not None and _is_list(first.annotation)

    def call_with_inputs(self, x: Any) -> ModelCall | None:
        """Return the call with one input or with a mapping; None for everything else.

        One input is a tensor, an object with a method `to`, or a list if `forward` takes a list.
        """
        if self.takes_list and _is_list_of_inputs(x):
            return ModelCall((list(x),), {})
        if isinstance(x, Mapping):
            return ModelCall((), dict(x)) if self._takes_by_name(x) else ModelCall((x,), {})
        return ModelCall((x,), {}) if is_movable(x) else None

    def call_with_sequence(self, x: Any) -> ModelCall | None:
        """Return the call with a tuple or a list of arguments; None for everything else.

        A DataLoader turns tuples into lists, so a list holds arguments too. If `forward` does not
        take so many arguments, the list is one argument.
        """
        if isinstance(x, tuple) and x:
            return ModelCall(x, {})
        if isinstance(x, list) and x and not isinstance(x[0], str | int | float):
            return ModelCall(tuple(x), {}) if self._accepts(*x) else ModelCall((x,), {})
        return None

    def _takes_by_name(self, x: Mapping[Any, Any]) -> bool:
        """Whether the entries of a mapping are keyword arguments.

        If not, the mapping is the one argument of `forward`: no parameter has the name of a key.
        """
        if self._signature is None or not all(isinstance(key, str) for key in x):
            return self._signature is None
        named = any(key in self._signature.parameters for key in x)
        return named or self._accepts(**x) or not self._accepts(x)

    def _accepts(self, *args: Any, **kwargs: Any) -> bool:
        if self._signature is None:
            return True
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError:
            return False
        return True


def _is_list(annotation: Any) -> bool:
    """Whether an annotation is a list, such as `list[Tensor]`, also as a string."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _LIST_ANNOTATION.match(text) is not None


def _is_list_of_inputs(x: Any) -> bool:
    """Whether `x` is a list or tuple of tensors (such as images), or of mappings."""
    if is_movable(x) or not isinstance(x, tuple | list) or not x:
        return False
    return any(all(isinstance(each, kind) for each in x) for kind in (Tensor, Mapping))
