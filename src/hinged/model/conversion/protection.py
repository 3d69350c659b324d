"""Says which activations must stay in a model, such as gates and the outputs of the model."""

from __future__ import annotations

from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import UNSUITABLE

BOUNDED = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softplus)
"""Activations that often serve as gates, or turn numbers into probabilities or positive numbers."""
GATES = (*BOUNDED, nn.Hardtanh)
"""Activations that can be gates. ReLU6, which is a `Hardtanh`, is part of many hard sigmoids."""

NO_GRADIENT = "training does not reach it: no gradient of the model's outputs flows through it"
ONLY_EVALUATION = "training does not reach it: only evaluation executes it"


def reason_to_skip(call: ActivationCall, gates: bool) -> str:
    """Return why curves cannot replace the activation of a call; empty if they can.

    Args:
        call: the call.
        gates: whether gates and bounded outputs can be replaced.
    """
    if call.conflict:
        return call.conflict
    if call.location.in_other_module:
        return (
            f"{call.location.description} calls a module that the model does not contain: make it "
            "once, as an attribute of the model"
        )
    if not call.dtype.is_floating_point:
        return f"its input has dtype {call.dtype}, which is not a floating-point dtype"
    if type(call.native) in UNSUITABLE:
        return UNSUITABLE[type(call.native)]
    if not call.depends_on_data:
        return "its input does not depend on the data"
    if call.overwrites_used_input:
        return "it writes into its input, and the model reads the input again later"
    if call.input_is_overwritten:
        return (
            "the model overwrites its input later, and curves need this input for their gradients: "
            "write x = x + y in place of x += y"
        )
    return call.untrained or ("" if gates else _reason_to_protect(call))


def _reason_to_protect(call: ActivationCall) -> str:
    """Return why a trained curve would harm where the activation is; empty if it would not."""
    if call.is_composed:
        return (
            "part of a longer activation, such as x * sigmoid(x): write the longer one as a module "
            "of its own, and it becomes one curve (gates=True converts this part alone)"
        )
    if call.must_not_be_negative:
        return (
            "its output goes into a function such as sqrt or log, which has no value for negative "
            "numbers (gates=True converts it)"
        )
    if call.is_in_loss and not call.feeds_layer:
        return (
            "part of one number that the model returns, such as a loss, and no layer with "
            "parameters follows it (gates=True converts it)"
        )
    if isinstance(call.native, GATES) and call.is_gate:
        return "a gate: its output is multiplied by another tensor (gates=True converts it)"
    if isinstance(call.native, BOUNDED):
        if call.is_output:
            return "the model's output, bounded (gates=True converts it)"
        if not call.feeds_layer:
            return "bounded, and no layer with parameters follows it (gates=True converts it)"
        if not call.feeds_trained:
            return "bounded, and only frozen layers follow it (gates=True converts it)"
    return ""
