import torch
from torch import nn

from hinged.lab.training.backward_memory import memory_for_backward
from tests.lab.training.trainings import network


def test_inputs_and_outputs_of_layers_are_counted_once():
    x = torch.randn(8, 3)
    linear = nn.Linear(3, 5)
    # A linear layer keeps its input, a ReLU its output.
    assert memory_for_backward(linear, x) == 8 * 3 * 4
    stack = nn.Sequential(linear, nn.ReLU())
    assert memory_for_backward(stack, x) == 8 * 3 * 4 + 8 * 5 * 4


def test_the_network_stays_unchanged():
    model = network("prelu", batch_norm=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    memory_for_backward(model, torch.randn(16, 1, 8, 8))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
