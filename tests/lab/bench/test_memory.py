import torch
from torch import nn

from hinged.lab.bench import memory


def test_relu_keeps_its_output_and_gelu_its_input():
    x = torch.randn(16, 32)
    for module in (nn.ReLU(), nn.GELU()):
        assert memory.kept(module, x) == x.nbytes
    assert memory.kept(nn.Identity(), x) == 0


def test_the_peak_counts_what_is_held_at_once():
    def call():
        first = torch.empty(1 << 20, dtype=torch.uint8)
        second = torch.empty(1 << 20, dtype=torch.uint8)
        del first, second
        return torch.empty(1 << 20, dtype=torch.uint8)

    assert memory.peak(call, "cpu") == 2 << 20


def test_nothing_is_written_to_standard_error_meanwhile(capfd):
    memory.peak(lambda: torch.ones(3) + 1, "cpu")
    assert capfd.readouterr().err == ""
