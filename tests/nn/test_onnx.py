"""Export to ONNX: only standard operators, and ONNX Runtime computes the same as torch."""

import itertools

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hinged import PiecewiseLinear

pytestmark = [
    # From the exporters themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # The older exporter warns that shapes of tables are constants, which they are.
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]

LAYOUTS = [((3,), 1), ((3, 5), 1), ((5, 3), -1), ((3, 5, 2), 1), ((2, 5, 3), -1), ((3, 2, 2, 2), 1)]
TAILS = ("linear", "constant", "free")
BATCH = torch.export.Dim.DYNAMIC


def positions(kind, count):
    """Return a number of uniform hinges, or uneven positions for all or for each of 3 channels."""
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
    """Many layers in one module, so that one export covers all of them."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs):
        return tuple(layer(x) for layer, x in zip(self.layers, inputs, strict=True))


def every_layout():
    """Layers with every kind of hinges and tails, for inputs of 2 to 5 axes, and input sizes."""
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


def one_of_each():
    """A layer of each kind of hinges, with other tails and another layout, and their sizes."""
    kinds = ("uniform", "free", "free, per channel")
    sizes, axes = zip(*LAYOUTS[2:5], strict=True)
    combined = zip(kinds, ("free", "linear", "constant"), axes, strict=True)
    return Together([layer(kind, 9, tails, dim=dim) for kind, tails, dim in combined]).eval(), sizes


def inputs(sizes, batch):
    """Inputs inside and far outside the range; the first two are infinite."""
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


def run(session, args):
    named = {given.name: x.numpy() for given, x in zip(session.get_inputs(), args, strict=True)}
    return [torch.from_numpy(y) for y in session.run(None, named)]


@pytest.fixture(scope="module", params=[(True, 17), (True, 20), (False, 17)], ids=str)
def layers_in_onnx(request, tmp_path_factory):
    """Layers, the shapes of their inputs, the path of the ONNX file, and its graph.

    Opset 20 has one layer of each kind of hinges and each kind of tails only. The exporter
    translates the same operators for all opsets from 18 on, so more layers would repeat opset 17.
    """
    dynamo, opset = request.param
    torch.manual_seed(0)
    model, sizes = every_layout() if opset == 17 else one_of_each()
    path = str(tmp_path_factory.mktemp("onnx") / "layers.onnx")
    return model, sizes, path, exported(model, inputs(sizes, 4), path, opset, dynamo)


@pytest.mark.slow
def test_onnx_runtime_computes_what_torch_computes(layers_in_onnx):
    model, sizes, path, graph = layers_in_onnx
    assert {opset.domain for opset in graph.opset_import} == {""}
    assert not graph.functions
    session = onnxruntime.InferenceSession(path)
    for batch in (4, 2, 9):
        args = inputs(sizes, batch)
        with torch.no_grad():
            wanted = model(*args)
        for found, y in zip(run(session, args), wanted, strict=True):
            torch.testing.assert_close(found, y, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_nan_stays_nan(layers_in_onnx):
    _, sizes, path, _ = layers_in_onnx
    args = inputs(sizes, 4)
    for x in args:
        x[torch.rand_like(x) < 0.3] = torch.nan
        x.view(-1)[3:5] = torch.tensor([torch.nan, 1.0])
    for x, found in zip(args, run(onnxruntime.InferenceSession(path), args), strict=True):
        assert x.isnan().any() and torch.equal(found.isnan(), x.isnan())


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_strictly_exported_program_can_be_exported_to_onnx(tmp_path):
    model, (x,) = layer("uniform", 9, "free").eval(), inputs([(3, 4)], 4)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: BATCH},), strict=True)
    path = str(tmp_path / "layer.onnx")
    torch.onnx.export(program, (x,), path, opset_version=18, verbose=False)
    with torch.no_grad():
        (found,) = run(onnxruntime.InferenceSession(path), (x,))
        torch.testing.assert_close(found, model(x), rtol=1e-5, atol=1e-5)
