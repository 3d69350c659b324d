"""Models with unusual buffers or parameters, and models that compute derivatives themselves."""

import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear

ROWS = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


def curves(model):
    return [module for module in model.modules() if isinstance(module, PiecewiseLinear)]


class WithBuffer(nn.Module):
    def __init__(self, buffer):
        super().__init__()
        self.lin, self.act, self.norm = nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8)
        self.register_buffer("own", buffer)

    def forward(self, x):
        return self.norm(self.act(self.lin(x))) + self.own.to_dense().float().sum()


BUFFERS = {
    "expanded": torch.arange(8.0).expand(16, 8),
    "expanded scalar": torch.tensor(-torch.inf).expand(3).isinf(),
    "overlapping": torch.arange(6).unfold(0, 3, 1),
    "sparse": torch.eye(3).to_sparse(),
    "nan": torch.tensor([torch.nan]),
    "expanded nan": torch.tensor([torch.nan]).expand(3),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_buffers_of_any_kind_keep_their_numbers(kind):
    model, before = WithBuffer(BUFFERS[kind]), BUFFERS[kind].clone()
    hinged.convert(model, ROWS)
    hinged.diagnose(model, ROWS)
    torch.testing.assert_close(model.own, before, rtol=0, atol=0, equal_nan=True)
    assert model.own is BUFFERS[kind] and model.norm.num_batches_tracked == 0
    assert torch.equal(model.norm.running_mean, torch.zeros(8))


def lazy_classifier():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(),
                         nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.LeakyReLU())  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_lazy_modules_get_their_parameters_and_keep_their_running_means(training):
    x = torch.randn(6, 3, 8, 8)
    model = lazy_classifier().train(training)
    torch.manual_seed(2)
    expected = torch.rand(1)
    torch.manual_seed(2)
    hinged.convert(model, [x, 2 * x])
    assert torch.equal(torch.rand(1), expected)
    assert [layer.channels for layer in curves(model)] == [4, 5]
    for norm in (model[1], model[5]):
        assert norm.num_batches_tracked == 0 and not norm.running_mean.any()
        assert torch.equal(norm.running_var, torch.ones_like(norm.running_var))
    hinged.revert(model)
    assert type(model[0]) is nn.Conv2d and type(model[2]) is nn.ReLU


class Forces(nn.Module):
    """Computes the negative gradient of an energy, like models of molecules."""

    def __init__(self, act):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 1))

    def forward(self, x):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=self.training)
        return -slope


class ForcesOfInput(Forces):
    """Expects inputs that require gradients."""

    def forward(self, x):
        assert x.requires_grad, "x must have requires_grad=True"
        energy = self.net(x)
        return energy, torch.autograd.grad(energy.sum(), x, create_graph=True)[0]


class Penalised(nn.Module):
    """Returns its output with the length of its gradient, which a hook of the input stores."""

    def __init__(self, act):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), act, nn.Linear(8, 1))

    def forward(self, x):
        x = x.clone().requires_grad_()
        found = []
        x.register_hook(found.append)
        y = self.net(x)
        y.sum().backward(retain_graph=True, inputs=[x])
        return y + found[0].square().sum()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [Forces, ForcesOfInput, Penalised])
def test_models_that_compute_derivatives_are_converted(kind, training):
    torch.manual_seed(0)
    model, x = kind(nn.ReLU()).train(training), ROWS.clone().requires_grad_()
    before = model(x)
    hinged.convert(model, x)
    torch.testing.assert_close(model(x), before)
    hinged.calibrate(model, x)
    assert len(hinged.diagnose(model, x).layers) == (1 if kind is Penalised else 2)
    if kind is ForcesOfInput:
        _, slope = model(x)
        slope.square().sum().backward()
        assert all(layer.values.grad.abs().sum() > 0 for layer in curves(model))


class InTransform(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Sequential(nn.Linear(4, 4), nn.GELU()), nn.Tanh()

    def forward(self, x):
        return torch.func.vmap(torch.func.grad(lambda row: self.act(row).sum()))(self.first(x))


def test_an_activation_inside_a_transform_is_left_alone_with_a_reason():
    model = hinged.convert(InTransform(), ROWS)
    assert [site.name for site in hinged.sites(model).converted] == ["first.1"]
    (left,) = hinged.sites(model).skipped
    assert left.name == "act" and "transform of torch.func" in left.skipped
    assert model(ROWS).shape == (16, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("act", [nn.ReLU(), nn.Tanh()])
def test_second_derivatives_by_the_inputs_are_zero(act, dtype):
    model = nn.Sequential(nn.Linear(4, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 1)).to(dtype)
    x = ROWS.to(dtype, copy=True).requires_grad_()
    hinged.convert(model, x)
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    assert torch.equal(second, torch.zeros_like(x))
    (slope.square().sum() + second.sum()).backward()
    assert all(layer.values.grad.abs().sum() > 0 for layer in curves(model))


class Caching(nn.Module):
    """Keeps what its forward pass computed: in attributes, buffers, or layers."""

    def __init__(self, keep):
        super().__init__()
        self.lin, self.act, self.length, self.keep = nn.Linear(4, 8), nn.ReLU(), 2, keep
        self.register_buffer("positions", torch.ones(2, 1), persistent=False)
        self.register_buffer("mask", None)

    def forward(self, x):
        y = self.act(self.lin(x))
        self.keep(self, y)
        return y * self.positions[: len(x)]


def keep_positions(model, y):
    if model.length < len(y):
        model.length = len(y)
        model.register_buffer("positions", torch.ones(len(y), 1), persistent=False)


def keep_mask(model, y):
    keep_positions(model, y)
    model.mask = y > 0
    model.register_buffer("other", y.clone())


def keep_output(model, y):
    keep_positions(model, y)
    model.last, model.calls = y, getattr(model, "calls", 0) + 1


@pytest.mark.parametrize("keep", [keep_positions, keep_mask, keep_output])
def test_what_a_model_keeps_of_a_forward_pass_is_restored(keep):
    model = Caching(keep)
    attributes = set(vars(model))
    hinged.convert(model, ROWS)
    assert model.length == len(model.positions) == 2 and model.mask is None
    assert list(model._buffers) == ["positions", "mask"]
    assert set(vars(model)) - attributes == {"_hinged_sites"}
    expected = model.act(model.lin(ROWS))
    assert type(model.act) is PiecewiseLinear and torch.equal(model(ROWS), expected)


class BuildsLater(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.act, self.built = nn.Linear(4, 8), nn.ReLU(), False

    def forward(self, x):
        if not self.built:
            self.built, self.head = True, nn.Linear(8, 3)
            self.register_buffer("scale", torch.ones(3))
        return self.head(self.act(self.lin(x))) * self.scale


def test_layers_that_a_model_makes_in_a_forward_pass_stay():
    model = BuildsLater()
    hinged.convert(model, ROWS)
    head = model.head
    model(ROWS)
    assert model.built and model.head is head and len(curves(model)) == 1


def test_parameters_from_inference_mode_stay_as_they_are():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.LeakyReLU(0.2))
        model.append(nn.MultiheadAttention(8, 2)).append(nn.Identity())
        made = hinged.PiecewiseLinear(8)
    model = model[:-2].append(made)
    flags = [each.requires_grad for each in model.parameters()]
    with torch.no_grad():
        before = model(ROWS)
        hinged.convert(model, ROWS)
        torch.testing.assert_close(model(ROWS), before)
    assert len(curves(model)) == 3
    assert [each.requires_grad for each in hinged.revert(model).parameters()] == flags


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.parametrize("act", [torch.relu, torch.nn.functional.gelu, torch.tanh])
def test_activations_of_nested_tensors_are_converted(layout, act):
    model = OfNested(layout, act)
    before = model(ROWS)
    hinged.convert(model, ROWS)
    [site] = hinged.sites(model).converted
    torch.testing.assert_close(model(ROWS), before, rtol=0, atol=2 * site.error)
    assert site.channels == 1 and (site.error == 0) == (act is torch.relu)


class OfNested(nn.Module):
    """Applies an activation to a nested tensor."""

    def __init__(self, layout, act):
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)
        self.layout, self.act = layout, act

    def forward(self, x):
        nested = torch.nested.as_nested_tensor([x[:5], x[5:]], layout=self.layout)
        y = self.second(self.act(self.first(nested)))
        return y.values() if self.layout is torch.jagged else torch.cat(y.unbind())


class OfSparse(nn.Module):
    """Applies an activation to a sparse tensor, and another one to a dense tensor."""

    def __init__(self, to_sparse):
        super().__init__()
        self.first, self.act, self.to_sparse = nn.Linear(4, 8), nn.ReLU(), to_sparse

    def forward(self, x):
        return torch.relu(self.to_sparse(self.act(self.first(x)))).to_dense()


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.parametrize("to_sparse", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
def test_an_activation_of_a_sparse_tensor_stays_with_a_reason(to_sparse):
    model = OfSparse(to_sparse)
    before = model(ROWS)
    hinged.convert(model, ROWS)
    [skipped] = hinged.sites(model).skipped
    assert "its input is sparse" in skipped.skipped and len(curves(model)) == 1
    assert torch.equal(model(ROWS), before)


class RowsWithoutInputs(nn.Module):
    """Applies an activation to a selection of rows, of which there can be none."""

    def __init__(self, select):
        super().__init__()
        self.first, self.last, self.select = nn.Linear(4, 8), nn.Linear(8, 2), select

    def forward(self, x):
        rows = torch.relu(self.first(self.select(x)))
        return self.last(rows).sum() + torch.nn.functional.leaky_relu(self.first(x))


@pytest.mark.parametrize(
    "select", [lambda x: x[:0], lambda x: x[x[:, 0] > 100], lambda x: x.view(-1, 2, 4)[:0]]
)
def test_an_activation_without_inputs_is_converted(select):
    model = RowsWithoutInputs(select)
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert len(curves(model)) == 2 and torch.allclose(model(ROWS), before)
    model.select = torch.Tensor.neg
    assert torch.allclose(model(ROWS), hinged.revert(model)(ROWS), atol=1e-6)
