"""Networks that are made in one thread while another trains."""

import threading

import pytest
import torch

import hinged
from hinged.nn.constraints import _after_optimizer_step
from hinged.nn.input_observer import observe_inputs, observers_by_values
from hinged.nn.weight_decay import warn_of_decay


def make_layers(count):
    layers = [hinged.PiecewiseLinear(1, 3) for _ in range(count)]
    for layer in layers:
        observe_inputs(layer)
        hinged.constrain(layer, monotone=True)
    return layers


@pytest.mark.slow
@pytest.mark.usefixtures("quick_turns")
def test_an_optimizer_looks_through_all_curves_while_others_are_made():
    kept = make_layers(1500)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    thread = threading.Thread(target=make_layers, args=(200,))
    thread.start()
    while thread.is_alive():
        assert len(observers_by_values()) >= len(kept)
        warn_of_decay(optimizer)
        _after_optimizer_step(optimizer, (), {})
