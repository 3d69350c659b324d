"""Converted networks with torch features: copies, files, autocast, export, ONNX, compile, DDP."""

import copy
import functools
import io
import subprocess
import sys

import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import hinged
from hinged import PiecewiseLinear
from hinged._torchvision_operators import declare_missing

declare_missing()
from torchvision.models import MobileNetV3, ResNet, VisionTransformer  # noqa: E402
from torchvision.models.mobilenetv3 import InvertedResidualConfig  # noqa: E402
from torchvision.models.resnet import BasicBlock  # noqa: E402
from torchvision.models.vgg import VGG, cfgs, make_layers  # noqa: E402

from tests.processes import in_two_processes  # noqa: E402

# These warnings come from torch's exporters and compiler, not from hinged.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SITES = {"mlp": 2, "mobilenet": 8, "transformer": 2, "resnet": 9, "vgg11": 10}


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 16), nn.ReLU(), nn.Linear(16, 16), nn.GELU(),
                         nn.Linear(16, 10))  # fmt: skip


def mobilenet():
    """MobileNetV3 with two blocks: one without and one with squeeze and excitation."""
    block = InvertedResidualConfig
    settings = [block(8, 3, 16, 8, True, "RE", 1, 1, 1), block(8, 3, 16, 8, False, "HS", 2, 1, 1)]
    return MobileNetV3(settings, last_channel=16, num_classes=10)


def transformer():
    model = VisionTransformer(image_size=32, patch_size=16, num_layers=2, num_heads=2,
                              hidden_dim=16, mlp_dim=24, num_classes=10)  # fmt: skip
    nn.init.normal_(model.heads.head.weight, 0.3)  # With its zeros, all gradients would be 0.
    return model


class NarrowResNet(ResNet):
    """A ResNet of the usual blocks, one per stage, with an eighth of the channels."""

    def __init__(self):
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=10)
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.maxpool = nn.Identity()
        self.fc = nn.Linear(64, 10)

    def _make_layer(self, block, planes, *args, **kwargs):
        if planes == 64:  # The first stage.
            self.inplanes = 8
        return super()._make_layer(block, planes // 8, *args, **kwargs)


def vgg11():
    """A VGG11 with a sixteenth of the channels and a small classifier."""
    layers = [size if size == "M" else size // 16 for size in cfgs["A"]]
    model = VGG(make_layers(layers), num_classes=10, init_weights=False)
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier[0] = nn.Linear(32, 16)
    model.classifier[3] = nn.Linear(16, 16)
    model.classifier[6] = nn.Linear(16, 10)
    return model


NETWORKS = {
    "mlp": mlp,
    "mobilenet": mobilenet,
    "transformer": transformer,
    "resnet": NarrowResNet,
    "vgg11": vgg11,
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def slow_except(*quick):
    """Parametrise over all networks and mark those as slow that are not named."""
    slow = pytest.mark.slow
    return pytest.mark.parametrize(
        "name", [name if name in quick else pytest.param(name, marks=slow) for name in NETWORKS]
    )


def images(batch=2):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def network(name):
    """Return the converted network with changed curves.

    It is in evaluation mode, because dropout would make every run different.
    """
    torch.manual_seed(3)
    model = hinged.convert(NETWORKS[name](), images())
    with torch.no_grad():
        for layer in curves(model):
            layer.values.add_(layer.hinges.max() / 30 * torch.randn_like(layer.values))
    return model.eval()


def curves(model):
    return [module for module in model.modules() if isinstance(module, PiecewiseLinear)]


def gradients(model, call=None):
    """Return the output and the gradients of all parameters."""
    model.zero_grad()
    y = (model if call is None else call)(images())
    y.square().mean().backward()
    return [y.detach(), *(parameter.grad.clone() for parameter in model.parameters())]


def assert_close(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.slow
@every_network
def test_every_curve_gets_a_gradient(name):
    model = network(name)
    assert len(curves(model)) == SITES[name]
    assert all("a gate" in site.skipped for site in hinged.sites(model).skipped)
    y, *_ = gradients(model)
    assert y.shape == (2, 10) and y.isfinite().all()
    assert all(curve.values.grad.abs().sum() > 0 for curve in curves(model))


@pytest.mark.slow
@every_network
def test_copies_and_files_compute_the_same(name):
    model = network(name)
    with torch.no_grad():
        expected = model(images())
        assert torch.equal(copy.deepcopy(model)(images()), expected)

        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        assert torch.equal(torch.load(file, weights_only=False)(images()), expected)

        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = network(name)
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other(images()), expected)


@pytest.mark.slow
@every_network
def test_a_copy_is_trained_by_itself(name):
    model = network(name)
    before = [curve.values.detach().clone() for curve in curves(model)]
    other = copy.deepcopy(model)
    gradients(other)
    torch.optim.SGD(other.parameters(), lr=100.0).step()
    assert all(torch.equal(c.values, b) for c, b in zip(curves(model), before, strict=True))
    assert not any(torch.equal(c.values, b) for c, b in zip(curves(other), before, strict=True))


@pytest.mark.slow
@every_network
def test_checkpointing_gives_the_same_gradients(name):
    model = network(name)
    found = gradients(model, lambda x: checkpoint(model, x, use_reentrant=False))
    assert_close(found, gradients(model), rtol=0, atol=0)


@pytest.mark.slow
@every_network
def test_mixed_precision_trains(name):
    model = network(name)
    exact = model(images()).detach()
    with torch.autocast("cpu", torch.bfloat16):
        y = model(images())
    y.float().square().mean().backward()
    # bfloat16 has eight bits of mantissa, and every layer rounds.
    assert (y.float() - exact).norm() < 0.1 * exact.norm()
    for curve in curves(model):
        assert curve.values.grad.dtype == torch.float32
        assert curve.values.grad.isfinite().all() and curve.values.grad.abs().sum() > 0


BATCH = ({0: torch.export.Dim("batch", min=2)},)


@functools.cache
def exported(name, strict):
    return torch.export.export(network(name), (images(4),), dynamic_shapes=BATCH, strict=strict)


@pytest.mark.slow
@slow_except("mlp", "transformer")
@pytest.mark.parametrize("strict", [False, True])
def test_exported_programs_compute_the_same_for_any_batch(name, strict):
    model, program = network(name), exported(name, strict)
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("hinged" in operator for operator in operators)
    assert not any("aten.ge" in operator for operator in operators)  # No search for the piece.
    with torch.no_grad():
        for batch in (2, 4, 7):
            x = images(batch)
            assert_close([program.module()(x)], [model(x)], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_an_exported_program_runs_where_hinged_is_not_installed(tmp_path):
    model = network("transformer")
    with torch.no_grad():
        torch.save([images(), model(images())], tmp_path / "pair.pt")
    torch.export.save(exported("transformer", False), tmp_path / "network.pt2")
    code = (
        "import sys; sys.modules['hinged'] = None\n"  # Importing it is an error from now on.
        f"import torch; folder = {str(tmp_path)!r}\n"
        "x, y = torch.load(folder + '/pair.pt')\n"
        "found = torch.export.load(folder + '/network.pt2').module()(x)\n"
        "torch.testing.assert_close(found, y, rtol=1e-5, atol=1e-5); print('same')\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout == "same\n", process.stderr


@pytest.mark.slow
@slow_except("mlp", "transformer")
def test_onnx_runtime_computes_the_same_for_any_batch(name, tmp_path):
    model, path = network(name), str(tmp_path / "network.onnx")
    settings = {"input_names": ["images"], "opset_version": 18, "verbose": False}
    if name == "mlp":
        torch.onnx.export(model, (images(4),), path, dynamic_shapes=BATCH, **settings)
    else:  # Exporting the model itself would repeat the export to a program.
        torch.onnx.export(exported(name, False), (), path, **settings)
    session = onnxruntime.InferenceSession(path)
    with torch.no_grad():
        for batch in (2, 4, 7):
            (found,) = session.run(None, {"images": images(batch).numpy()})
            expected = model(images(batch))
            bound = 1e-5 * expected.abs().max()
            assert (torch.from_numpy(found) - expected).abs().max() <= bound


@pytest.mark.slow
@every_network
def test_compiled_networks_compute_the_same(name):
    model = network(name)
    expected_y, *expected = gradients(model)
    compiled = torch.compile(model)
    if name in ("mlp", "mobilenet"):
        y, *found = gradients(model, compiled)
        assert_close(found, expected, rtol=1e-4, atol=1e-5)
    else:
        # In deeper networks, the gradients change if rounding moves a number across a hinge.
        y = compiled(images()).detach()
    assert (y - expected_y).abs().max() <= 1e-5 * expected_y.abs().max()


# In float32, which the kernels use, the gradients of deep networks nearly cancel.
PARALLEL = {"mlp": (torch.float32, 1e-5)}
EXACT = (torch.float64, 1e-9)


def train_halves(rank, folder):
    for name in NETWORKS:
        dtype, _ = PARALLEL.get(name, EXACT)
        parallel = DistributedDataParallel(network(name).to(dtype))
        parallel(images(4).to(dtype).chunk(2)[rank]).square().mean().backward()
        parameters = parallel.module.parameters()
        torch.save([parameter.grad for parameter in parameters], f"{folder}/{name}-{rank}.pt")


@pytest.fixture(scope="module")
def parallel_gradients(tmp_path_factory):
    """The gradients of every network in two processes, each with half of the batch."""
    folder = tmp_path_factory.mktemp("parallel")
    in_two_processes(train_halves, folder)
    return {
        name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)] for name in NETWORKS
    }


@pytest.mark.slow
@every_network
def test_two_processes_have_the_gradients_of_the_whole_batch(name, parallel_gradients):
    dtype, error = PARALLEL.get(name, EXACT)
    model = network(name).to(dtype)
    model(images(4).to(dtype)).square().mean().backward()
    expected = [parameter.grad for parameter in model.parameters()]
    for found in parallel_gradients[name]:
        assert_close(found, expected, rtol=100 * error, atol=error)
