import torch
from torch import nn

from hinged.lab.bench import memory


def test_relu_saves_its_output_and_gelu_its_input():
    x = torch.randn(16, 32)
    for module in (nn.ReLU(), nn.GELU()):
        assert memory.saved_bytes(module, x) == x.nbytes
    assert memory.saved_bytes(nn.Identity(), x) == 0


def test_the_peak_counts_tensors_that_exist_at_the_same_time():
    def call():
        first = torch.empty(1 << 20, dtype=torch.uint8)
        second = torch.empty(1 << 20, dtype=torch.uint8)
        del first, second
        return torch.empty(1 << 20, dtype=torch.uint8)

    assert memory.peak_bytes(call, "cpu") == 2 << 20


def test_the_profiler_writes_nothing_to_standard_error(capfd):
    memory.peak_bytes(lambda: torch.ones(3) + 1, "cpu")
    assert capfd.readouterr().err == ""
