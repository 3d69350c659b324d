"""Networks whose activations are all curves, through all that a torch user does with a network."""

import copy
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
from hinged.lab._torchvision_operators import declare_missing
from hinged.lab.networks.vision import resnet18, vgg11

declare_missing()
from torchvision.models import MobileNetV3, VisionTransformer  # noqa: E402
from torchvision.models.mobilenetv3 import InvertedResidualConfig  # noqa: E402

from tests.processes import in_two_processes  # noqa: E402

# Of torch's own, not ours: the exporters, the compiler and what they import.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SITES = {"mlp": 2, "mobilenet": 8, "transformer": 2, "resnet18": 17, "vgg11": 10}


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 16), nn.ReLU(), nn.Linear(16, 16), nn.GELU(),
                         nn.Linear(16, 10))  # fmt: skip


def mobilenet():
    """MobileNetV3's blocks, a plain one and one that squeezes, behind its stem."""
    block = InvertedResidualConfig
    settings = [block(8, 3, 16, 8, True, "RE", 1, 1, 1), block(8, 3, 16, 8, False, "HS", 2, 1, 1)]
    return MobileNetV3(settings, last_channel=16, num_classes=10)


def transformer():
    model = VisionTransformer(image_size=32, patch_size=16, num_layers=2, num_heads=2,
                              hidden_dim=16, mlp_dim=24, num_classes=10)  # fmt: skip
    nn.init.normal_(model.heads.head.weight, 0.3)  # It starts at 0, which would stop all gradients.
    return model


NETWORKS = {
    "mlp": mlp,
    "mobilenet": mobilenet,
    "transformer": transformer,
    "resnet18": lambda: resnet18(10, 32),
    "vgg11": lambda: vgg11(10, 32),
}
every = pytest.mark.parametrize("name", NETWORKS)


def slow_but(*quick):
    """All networks, of which those that are not named take more than five seconds."""
    slow = pytest.mark.slow
    return pytest.mark.parametrize(
        "name", [name if name in quick else pytest.param(name, marks=slow) for name in NETWORKS]
    )


def images(batch=2):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def network(name):
    """The network converted, with curves that are no longer what they started as, in evaluation:
    with its dropout every run of a training would differ."""
    torch.manual_seed(3)
    model = hinged.convert(NETWORKS[name](), images())
    with torch.no_grad():
        for layer in curves(model):
            layer.values.add_(layer.hinges.max() / 30 * torch.randn_like(layer.values))
    return model.eval()


def curves(model):
    return [module for module in model.modules() if isinstance(module, PiecewiseLinear)]


def gradients(model, call=None):
    """The outputs and the gradients of all parameters."""
    model.zero_grad()
    y = (model if call is None else call)(images())
    y.square().mean().backward()
    return [y.detach(), *(parameter.grad.clone() for parameter in model.parameters())]


def assert_same(found, wanted, **tolerance):
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@every
def test_every_curve_gets_a_gradient(name):
    model = network(name)
    assert len(curves(model)) == SITES[name]
    assert all("a gate" in site.skipped for site in hinged.sites(model).skipped)
    y, *_ = gradients(model)
    assert y.shape == (2, 10) and y.isfinite().all()
    assert all(curve.values.grad.abs().sum() > 0 for curve in curves(model))


@every
def test_copies_and_files_compute_the_same(name):
    model = network(name)
    with torch.no_grad():
        wanted = model(images())
        assert torch.equal(copy.deepcopy(model)(images()), wanted)

        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        assert torch.equal(torch.load(file, weights_only=False)(images()), wanted)

        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = network(name)
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other(images()), wanted)


@every
def test_a_copy_is_trained_by_itself(name):
    model = network(name)
    before = [curve.values.detach().clone() for curve in curves(model)]
    other = copy.deepcopy(model)
    gradients(other)
    torch.optim.SGD(other.parameters(), lr=100.0).step()
    assert all(torch.equal(c.values, b) for c, b in zip(curves(model), before, strict=True))
    assert not any(torch.equal(c.values, b) for c, b in zip(curves(other), before, strict=True))


@every
def test_checkpointing_gives_the_same_gradients(name):
    model = network(name)
    found = gradients(model, lambda x: checkpoint(model, x, use_reentrant=False))
    assert_same(found, gradients(model), rtol=0, atol=0)


@every
def test_mixed_precision_trains(name):
    model = network(name)
    exact = model(images()).detach()
    with torch.autocast("cpu", torch.bfloat16):
        y = model(images())
    y.float().square().mean().backward()
    # Eight bits of mantissa, rounded anew at every layer.
    assert (y.float() - exact).norm() < 0.1 * exact.norm()
    for curve in curves(model):
        assert curve.values.grad.dtype == torch.float32
        assert curve.values.grad.isfinite().all() and curve.values.grad.abs().sum() > 0


@slow_but("mlp", "transformer")
@pytest.mark.parametrize("strict", [False, True])
def test_exported_programs_compute_the_same_for_any_batch(name, strict):
    torch._dynamo.reset()
    model = network(name)
    shapes = ({0: torch.export.Dim("batch", min=2)},)
    program = torch.export.export(model, (images(4),), dynamic_shapes=shapes, strict=strict)
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("hinged" in operator for operator in operators)
    assert not any("aten.ge" in operator for operator in operators)  # By arithmetic.
    with torch.no_grad():
        for batch in (2, 4, 7):
            assert_same(
                [program.module()(images(batch))], [model(images(batch))], rtol=1e-5, atol=1e-5
            )


def test_an_exported_program_runs_where_hinged_is_not_installed(tmp_path):
    model = network("transformer")
    with torch.no_grad():
        torch.save([images(), model(images())], tmp_path / "pair.pt")
    torch.export.save(torch.export.export(model, (images(),)), tmp_path / "network.pt2")
    code = (
        "import sys; sys.modules['hinged'] = None\n"  # Importing it is an error from now on.
        f"import torch; folder = {str(tmp_path)!r}\n"
        "x, y = torch.load(folder + '/pair.pt')\n"
        "found = torch.export.load(folder + '/network.pt2').module()(x)\n"
        "torch.testing.assert_close(found, y, rtol=1e-5, atol=1e-5); print('same')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "same\n", done.stderr


@slow_but("mlp", "mobilenet")
def test_onnx_runtime_computes_the_same_for_any_batch(name, tmp_path):
    model, path = network(name), str(tmp_path / "network.onnx")
    shapes = ({0: torch.export.Dim("batch", min=2)},)
    torch.onnx.export(model, (images(4),), path, dynamic_shapes=shapes, input_names=["images"],
                      opset_version=18, verbose=False)  # fmt: skip
    session = onnxruntime.InferenceSession(path)
    with torch.no_grad():
        for batch in (2, 4, 7):
            (found,) = session.run(None, {"images": images(batch).numpy()})
            wanted = model(images(batch))
            bound = 1e-5 * wanted.abs().max()
            assert (torch.from_numpy(found) - wanted).abs().max() <= bound


@slow_but("mlp")
def test_compiled_networks_compute_the_same(name):
    torch._dynamo.reset()
    model = network(name)
    wanted = model(images()).detach()
    error = (torch.compile(model)(images()).detach() - wanted).abs().max()
    assert error <= 1e-5 * wanted.abs().max()

    # In deeper networks, roundings that fall on another side of a hinge show in the gradients.
    if name in ("mlp", "mobilenet"):
        found = gradients(model, torch.compile(model))
        assert_same(found, gradients(model), rtol=1e-4, atol=1e-5)


# In float32, the kernels' own, deep networks have gradients that nearly cancel.
PARALLEL = {"mlp": (torch.float32, 1e-5)}
EXACT = (torch.float64, 1e-9)


def train_half(rank, folder, name):
    dtype, _ = PARALLEL.get(name, EXACT)
    parallel = DistributedDataParallel(network(name).to(dtype))
    parallel(images(4).to(dtype).chunk(2)[rank]).square().mean().backward()
    model = parallel.module
    torch.save([parameter.grad for parameter in model.parameters()], f"{folder}/{rank}.pt")


@slow_but("mlp")
def test_two_processes_have_the_gradients_of_the_whole_batch(name, tmp_path):
    in_two_processes(train_half, tmp_path, name)
    dtype, error = PARALLEL.get(name, EXACT)
    model = network(name).to(dtype)
    model(images(4).to(dtype)).square().mean().backward()
    wanted = [parameter.grad for parameter in model.parameters()]
    for rank in range(2):
        assert_same(torch.load(tmp_path / f"{rank}.pt"), wanted, rtol=100 * error, atol=error)
