"""Layers in ONNX: standard operators alone, and ONNX Runtime computes what torch computes."""

import itertools

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hinged import PiecewiseLinear

pytestmark = [
    # Of the exporters themselves, not of what is exported.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # The older exporter takes the shapes of tables for what they are, constants, and says so.
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]

LAYOUTS = [((3,), 1), ((3, 5), 1), ((5, 3), -1), ((3, 5, 2), 1), ((2, 5, 3), -1), ((3, 2, 2, 2), 1)]
TAILS = ("linear", "constant", "free")
BATCH = torch.export.Dim.DYNAMIC


def positions(kind, count):
    """A count for uniform hinges, or uneven positions, common or for each of 3 channels."""
    if kind == "uniform":
        return count
    steps = 0.1 + torch.rand((3, count) if kind == "free, per channel" else (count,))
    even = steps.cumsum(-1)
    return 4 * (even / even[..., -1:] - 0.5)


def layer(kind, count, tails, channels=3, dim=1):
    made = PiecewiseLinear(channels, positions(kind, count), init="gelu", dim=dim, tails=tails)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


class Together(nn.Module):
    """Many layers beside each other, so that one export covers them all."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs):
        return tuple(layer(x) for layer, x in zip(self.layers, inputs, strict=True))


def every_layout():
    """Layers of every kind of hinges and tails over layouts of 2 to 5 axes, and sizes of theirs."""
    kinds = itertools.product(("uniform", "free", "free, per channel"), TAILS)
    layouts = itertools.cycle(LAYOUTS)
    counts = itertools.cycle((3, 9, 4, 5, 33))
    layers, sizes = [], []
    for (kind, tails), (size, dim), count in zip(kinds, layouts, counts, strict=False):
        layers.append(layer(kind, count, tails, dim=dim))
        sizes.append(size)
    for kind, (size, dim) in zip(("uniform", "free"), layouts, strict=False):
        layers.append(layer(kind, 9, "linear", channels=1, dim=dim))
        sizes.append(size)
    return Together(layers).eval(), sizes


def inputs(sizes, batch):
    """Numbers inside and far outside the range, the first ones infinite."""
    drawn = [5 * torch.randn(batch, *size) for size in sizes]
    for x in drawn:
        x.view(-1)[:3] = torch.tensor([torch.inf, -torch.inf, 1000.0])
    return tuple(drawn)


def exported(model, args, path, opset, dynamo=True):
    names = [f"x{i}" for i in range(len(args))]
    settings = {"opset_version": opset, "input_names": names, "dynamo": dynamo}
    if dynamo:
        batches = ({0: BATCH},) * len(args)
        shapes = (batches,) if isinstance(model, Together) else batches
        settings |= {"dynamic_shapes": shapes, "verbose": False}
    else:
        settings |= {"dynamic_axes": {name: {0: "batch"} for name in names}}
    torch.onnx.export(model, args, path, **settings)
    onnx.checker.check_model(path)
    return onnx.load(path)


def run(path, args):
    session = onnxruntime.InferenceSession(path)
    named = {given.name: x.numpy() for given, x in zip(session.get_inputs(), args, strict=True)}
    return [torch.from_numpy(y) for y in session.run(None, named)]


@pytest.mark.parametrize("dynamo, opset", [(True, 17), (True, 20), (False, 17)])
def test_the_runtime_computes_what_torch_computes(tmp_path, dynamo, opset):
    model, sizes = every_layout()
    path = str(tmp_path / "layers.onnx")
    graph = exported(model, inputs(sizes, 4), path, opset, dynamo)
    assert {opset.domain for opset in graph.opset_import} == {""}
    assert not graph.functions
    for batch in (4, 2, 9):
        args = inputs(sizes, batch)
        with torch.no_grad():
            wanted = model(*args)
        for found, y in zip(run(path, args), wanted, strict=True):
            torch.testing.assert_close(found, y, rtol=1e-5, atol=1e-5)


def test_what_is_not_a_number_stays_so(tmp_path):
    model = Together([layer("uniform", 9, "linear"), layer("free", 9, "constant")]).eval()
    x = torch.tensor([[torch.nan, 1.0, torch.nan], [0.5, torch.nan, 2.0]])
    path = str(tmp_path / "layers.onnx")
    exported(model, (torch.ones(4, 3),) * 2, path, 18)
    for found in run(path, (x, x)):
        assert torch.equal(found.isnan(), x.isnan())


def test_uniform_hinges_are_found_by_arithmetic_and_tables_are_constants(tmp_path):
    counts = []
    for count in (5, 33):
        path = str(tmp_path / f"{count}.onnx")
        nodes = exported(layer("uniform", count, "linear").eval(), inputs([(3, 4)], 4), path, 18)
        counts.append(len(nodes.graph.node))
        tables = {tuple(tensor.dims) for tensor in nodes.graph.initializer}
        assert (3 * (count + 1),) in tables  # Slopes and intercepts of all lines, and no values.
        assert (3, count) not in tables
    assert counts[0] == counts[1] <= 20


def test_a_strictly_exported_program_becomes_onnx_too(tmp_path):
    model, (x,) = layer("uniform", 9, "free").eval(), inputs([(3, 4)], 4)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: BATCH},), strict=True)
    path = str(tmp_path / "layer.onnx")
    torch.onnx.export(program, (x,), path, opset_version=18, verbose=False)
    with torch.no_grad():
        torch.testing.assert_close(run(path, (x,))[0], model(x), rtol=1e-5, atol=1e-5)
