"""Which activations stay: gates, bounded outputs, and those that training does not reach."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import hinged
from hinged import errors

ROWS, MAPS = torch.randn(8, 4), torch.randn(4, 3, 6, 6)


class Net(nn.Module):
    """A network of a few layers. Its forward pass is a function of them."""

    def __init__(self, run):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm, self.run = nn.LayerNorm(4), run
        self.tanh, self.sigmoid, self.relu = nn.Tanh(), nn.Sigmoid(), nn.ReLU()

    def forward(self, x):
        return self.run(self, x)


def sites_of(run, x=ROWS, **settings):
    return hinged.sites(Net(run), x, **settings)


FOLLOWED_BY_A_LAYER = {
    "linear": lambda net, x: net.second(net.tanh(net.first(x))),
    "norm": lambda net, x: net.norm(net.sigmoid(net.first(x))),
    "after dropout and a sum": lambda net, x: net.second(x + F.dropout(net.tanh(net.first(x)))),
    "after pooling": lambda net, x: net.second(F.avg_pool1d(net.tanh(net.first(x)), 3, 1, 1)),
    "after cat": lambda net, x: net.second(torch.cat([net.tanh(net.first(x)), x])),
    "matrix product": lambda net, x: net.tanh(net.first(x)) @ net.second.weight.T + 1,
    "recurrent layer": lambda net, x: (
        nn.GRUCell(4, 4).requires_grad_(False)(net.tanh(net.first(x)) + net.second.bias)
        @ net.second.weight
    ),
    "scaled by its own gate": lambda net, x: net.second(
        (y := net.tanh(net.first(x))) * y.mean(1, keepdim=True).clamp(min=0)
    ),
}


@pytest.mark.parametrize("run", FOLLOWED_BY_A_LAYER.values(), ids=FOLLOWED_BY_A_LAYER)
def test_bounded_activations_before_a_layer_are_converted(run):
    (site,) = sites_of(run)
    assert not site.skipped
    model = Net(run)
    model.train()(ROWS).sum().backward()  # The model also works in training.


def loss_inside(net, x):
    return F.binary_cross_entropy(net.sigmoid(net.second(net.first(x))), torch.ones(8, 4))


def own_loss(net, x):
    p = net.sigmoid(net.second(x)).clamp(1e-6, 1 - 1e-6)
    return -(x.gt(0) * p.log() + x.le(0) * (1 - p).log()).mean()


NO_LAYER = {
    "loss": (loss_inside, "no layer with parameters follows"),
    "own loss": (own_loss, ""),
    "dictionary of losses": (
        lambda net, x: {"loss": F.mse_loss(net.tanh(net.first(x)), net.second(x))},
        "no layer with parameters follows",
    ),
    "learned scale": (lambda net, x: net.tanh(net.first(x)) * net.second.bias, "the model's"),
    "rescaled": (lambda net, x: (net.sigmoid(net.first(x)) - 0.5).mul(2), "the model's output"),
    "selected": (lambda net, x: net.sigmoid(net.first(x))[x > 0], "the model's output"),
    "top": (lambda net, x: net.sigmoid(net.first(x)).flatten().topk(3), "the model's output"),
}


@pytest.mark.parametrize(("run", "reason"), NO_LAYER.values(), ids=NO_LAYER)
def test_bounded_activations_without_a_layer_behind_them_stay(run, reason):
    (site,) = sites_of(run)
    assert site.skipped and reason in site.skipped
    (site,) = sites_of(run, gates=True)
    assert not site.skipped


def recurrent_gates(net, x):
    z, h = net.sigmoid(net.first(x)), torch.zeros_like(x)
    return net.second((1 - z) * net.norm(x) + z * h)


GATES = {
    "gated recurrent unit": recurrent_gates,
    "lerp": lambda net, x: net.second(torch.lerp(x, net.norm(x), net.sigmoid(net.first(x)))),
    "scaled twice": lambda net, x: net.second(x * (2 * net.sigmoid(net.first(x)))),
    "shifted": lambda net, x: net.second(x * (1 + net.tanh(net.first(x)))),
    "log scale": lambda net, x: net.second(x * torch.exp(net.tanh(net.first(x)))),
    "attention": lambda net, x: net.second(torch.softmax(net.tanh(net.first(x)), -1) @ x.T @ x),
    "averaged": lambda net, x: net.second(
        x * net.sigmoid(net.first(x)).mean(1, keepdim=True).expand_as(x)
    ),
    "hard sigmoid": lambda net, x: net.second(x * (F.relu6(net.first(x) + 3) / 6)),
    "clamped": lambda net, x: net.second(x * F.hardtanh(net.first(x), 0.0, 1.0)),
    "einsum": lambda net, x: net.second(torch.einsum("nc,nc->nc", x, net.sigmoid(net.first(x)))),
}


@pytest.mark.parametrize("run", GATES.values(), ids=GATES)
def test_gates_stay_also_if_they_are_changed_before_the_product(run):
    (site,) = sites_of(run)
    assert site.skipped.startswith("a gate")


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.squeeze = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 1)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        x = torch.tanh(self.conv(x))
        x = x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True)))
        return self.head(x.mean((2, 3)))


def test_the_features_that_a_gate_scales_are_no_gate():
    features, gate = hinged.sites(SqueezeExcite(), MAPS)
    assert not features.skipped and gate.skipped.startswith("a gate")


class NewGELU(nn.Module):
    def forward(self, x):
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class NormalGELU(nn.Module):
    def forward(self, x):
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class Mish(nn.Module):
    def forward(self, x):
        return x.mul(F.softplus(x).tanh())


class HardSigmoid(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x):
        return self.relu(x + 3) / 6


class HardSwish(nn.Module):
    def __init__(self):
        super().__init__()
        self.sigmoid = HardSigmoid()

    def forward(self, x):
        return x * self.sigmoid(x)


@pytest.mark.parametrize("act", [NewGELU, QuickGELU, NormalGELU, Mish, HardSwish])
def test_a_composed_activation_becomes_one_curve(act):
    model = nn.Sequential(nn.Linear(4, 6), act(), nn.Linear(6, 2))
    before = model(ROWS)
    hinged.convert(model, ROWS, hinges=65)
    (site,) = hinged.sites(model).converted
    assert (site.name, site.channels) == ("1", 6) and site.activation.startswith(act.__name__)
    assert torch.allclose(model(ROWS), before, atol=0.01)
    x = model[0](ROWS)
    with torch.no_grad():
        assert (model[1](x) - act()(x)).abs().max() <= site.error * 1.01 + 1e-4
    assert isinstance(hinged.revert(model)[1], act) and torch.equal(model(ROWS), before)


COMPOSED = {
    "swish": lambda net, x: net.second((y := net.first(x)) * torch.sigmoid(y)),
    "quick gelu": lambda net, x: net.second((y := net.first(x)) * torch.sigmoid(1.702 * y)),
    "gelu": lambda net, x: net.second(
        0.5 * (y := net.first(x)) * (1 + torch.tanh(0.8 * (y + 0.0447 * y**3)))
    ),
    "hard swish": lambda net, x: net.second((y := net.first(x)) * F.relu6(y + 3) / 6),
    "in place": lambda net, x: net.second((y := net.first(x)).sigmoid().mul_(y)),
}


@pytest.mark.parametrize("run", COMPOSED.values(), ids=COMPOSED)
def test_a_composed_activation_in_the_forward_pass_stays_with_a_reason(run):
    (site,) = sites_of(run)
    assert "part of a longer activation" in site.skipped and "module" in site.skipped


def test_an_activation_before_a_composed_one_is_converted():
    model = Net(lambda net, x: net.second((y := net.relu(net.first(x))) * torch.sigmoid(y)))
    relu, sigmoid = hinged.sites(model, ROWS)
    assert not relu.skipped and "part of a longer activation" in sigmoid.skipped


class LearnedSwish(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * torch.sigmoid(self.slope * x)


def test_a_composed_activation_with_parameters_stays():
    model = nn.Sequential(nn.Linear(4, 4), LearnedSwish(), nn.Linear(4, 4))
    (site,) = hinged.sites(model, ROWS)
    assert site.skipped.startswith("a gate")


class Detector(nn.Module):
    """Returns losses in training, and scores of each image and level in evaluation."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 2, 1)

    def forward(self, x):
        levels = [self.head(F.relu(self.body(x))), self.head(F.relu(self.body(x[..., ::2, ::2])))]
        if self.training:
            logits = torch.cat([each.flatten(1) for each in levels], 1)
            return {"loss": F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))}
        return [torch.sigmoid(each[i]).amax((1, 2)) for i in range(len(x)) for each in levels]


@pytest.mark.parametrize("train", [True, False])
def test_a_sigmoid_of_scores_stays(train):
    model = Detector().train(train)
    hinged.convert(model, MAPS)
    skipped = {site.activation: site.skipped for site in hinged.sites(model).skipped}
    assert skipped == {"Sigmoid()": "training does not reach it: only evaluation executes it"}
    assert len(hinged.sites(model).converted) == 2
    with torch.no_grad():
        model.head.bias += 9
        assert all((scores <= 1).all() for scores in model.eval()(MAPS))


def without_gradients(net, x):
    with torch.no_grad():
        target = net.relu(net.second(x))
    return net.first(x), target


def unused(net, x):
    net.relu(net.second(x))
    return net.first(x)


def evaluation_only(net, x):
    return net.first(x) if net.training else net.relu(net.first(x))


UNTRAINED = {
    "no_grad": without_gradients,
    "detach": lambda net, x: net.second(net.relu(net.first(x)).detach()) + net.first(x),
    "whole numbers": lambda net, x: (net.first(x), net.relu(net.second(x)).argmax(1)),
    "result is not used": unused,
    "only evaluation": evaluation_only,
}


def with_trained_relu(run):
    return lambda net, x: (net.tanh(net.norm(x)) @ net.second.weight, run(net, x))


@pytest.mark.parametrize("run", UNTRAINED.values(), ids=UNTRAINED)
@pytest.mark.parametrize("train", [True, False])
def test_activations_that_training_does_not_reach_stay(run, train):
    model = Net(with_trained_relu(run)).train(train)
    tanh, relu = hinged.sites(model, ROWS)
    assert not tanh.skipped and relu.skipped.startswith("training does not reach it")


@pytest.mark.parametrize("train", [True, False])
def test_a_branch_that_only_a_later_batch_takes_is_converted(train):
    def run(net, x):
        x = net.first(x)
        return net.second(net.relu(x) if len(x) > 2 else net.tanh(x))

    relu, tanh = hinged.sites(Net(run).train(train), [ROWS, ROWS[:2]])
    assert not relu.skipped and not tanh.skipped


class MomentumEncoder(nn.Module):
    """Follows the weights of a trained encoder by a moving average, in its forward pass."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.average = encoder, copy.deepcopy(encoder)
        self.average.requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.encoder.parameters(), strict=True)
            for average, trained in pairs:
                average.mul_(0.9).add_(trained, alpha=0.1)
            target = self.average(x)
        return (self.encoder(x) - 0.5 * target).square().mean()


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)),
        lambda: Net(lambda net, x: net.second(net.relu(net.first(x)))),
        lambda: SqueezeExcite(),
    ],
)
def test_a_moving_average_of_a_trained_part_is_converted_as_this_part(encoder):
    model = MomentumEncoder(encoder())
    x = MAPS if isinstance(model.encoder, SqueezeExcite) else ROWS
    hinged.convert(model, x)
    names = [site.name for site in hinged.sites(model).converted]
    inside = {
        part: {name.removeprefix(part) for name in names if name.startswith(part)}
        for part in ("encoder", "average")
    }
    assert inside["encoder"] == inside["average"] != set()
    model(x).backward()


def test_another_part_without_gradients_stays():
    class Teacher(MomentumEncoder):
        def forward(self, x):
            with torch.no_grad():
                target = self.average(x)
            return (self.encoder(x) - 0.5 * target).square().mean()

    model = Teacher(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)))
    for parameter in model.average.parameters():
        nn.init.normal_(parameter)
    (site,) = hinged.sites(hinged.convert(model, ROWS)).skipped
    assert site.name == "average.1" and "training does not reach it" in site.skipped


def stored_loss(net, x):
    net.additional_loss = net.relu(net.second(x)).mean()
    return net.first(x)


def skips_at_random(net, x):
    return net.first(x) if net.training and torch.rand(1) < 2 else net.relu(net.first(x))


def into_a_view(net, x):
    y = torch.zeros(8, 2, 4)
    y[:, 1].copy_(net.relu(net.first(x)))
    return net.second(y)


TRAINED = {
    "frozen layers": lambda net, x: net.second.requires_grad_(False)(net.relu(net.first(x))),
    "checkpoint": lambda net, x: checkpoint(
        lambda y: net.relu(net.first(y)), x.requires_grad_(), use_reentrant=True
    ),
    "stored loss": stored_loss,
    "skipped at random": skips_at_random,
    "into a view": into_a_view,
    "whole numbers only": lambda net, x: net.relu(net.first(x)).argmax(1),
}


@pytest.mark.parametrize("run", TRAINED.values(), ids=TRAINED)
@pytest.mark.parametrize("train", [True, False])
def test_activations_that_training_reaches_have_no_such_reason(run, train):
    (site,) = hinged.sites(Net(run).train(train), ROWS)
    assert "training" not in site.skipped


class Generator(nn.Module):
    """A generator with bounded outputs, a perceptual network, and perhaps a trained head."""

    def __init__(self, frozen, has_head=False):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.has_head = has_head
        for name in frozen:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, x):
        y = self.second(torch.sigmoid(self.first(x)))
        return self.head(torch.tanh(y)) if self.has_head else y


def test_a_bounded_output_before_frozen_layers_stays():
    (site,) = hinged.sites(Generator(["second"]), ROWS)
    assert site.skipped == "bounded, and only frozen layers follow it (gates=True converts it)"
    (site,) = hinged.sites(Generator(["second"]), ROWS, gates=True)
    assert not site.skipped


@pytest.mark.parametrize(
    "frozen, has_head",
    [([], False), (["first", "second"], False), (["second"], True), ([""], True)],
)
def test_bounded_activations_before_trained_layers_or_in_frozen_networks_are_converted(
    frozen, has_head
):
    sites = hinged.sites(Generator(frozen, has_head), ROWS)
    assert [site.skipped for site in sites] == [""] * (1 + has_head)


class OnlyWithGradients(nn.Module):
    """Computes in another way when gradients are off, as some models do to save memory."""

    def __init__(self):
        super().__init__()
        self.line, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x):
        x = self.line(x)
        return self.act(x) if torch.is_grad_enabled() else x.clamp(min=0)


def test_the_path_of_training_is_searched_and_checked():
    model = hinged.convert(OnlyWithGradients().eval(), ROWS)
    (site,) = hinged.sites(model)
    assert site.name == "act" and not site.skipped
    model(ROWS).sum().backward()
    assert model.act.values.grad is not None


def test_the_search_leaves_the_gradients_of_parameters_as_they_are():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].requires_grad_(False)
    hinged.sites(model, ROWS)
    assert [each.requires_grad for each in model.parameters()] == [True, True, False, False]


class RepeatsItself(nn.Module):
    def forward(self, x):
        for _ in range(2):
            x = x * torch.sigmoid(x + 0.5) + 0.1 * x
        return x


@pytest.mark.parametrize(
    "make", [RepeatsItself, QuickGELU, lambda: nn.Sequential(RepeatsItself(), nn.Identity())]
)
def test_a_model_that_is_a_composed_activation_stays_the_same_object(make):
    model, x = make(), torch.randn(16, 3)
    before = model(x)
    if type(model) is nn.Sequential:
        assert hinged.convert(model, x) is model and len(hinged.sites(model).converted) == 1
        return
    with pytest.warns(errors.NoEffectWarning):
        assert hinged.convert(model, x) is model
    assert torch.equal(model(x), before)


class Head(nn.Module):
    """Applies a function to the outputs of two layers with an activation in between."""

    def __init__(self, run):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)
        self.next = nn.Linear(4, 1)
        self.run = run

    def forward(self, x):
        return self.run(self, self.last(self.act(self.first(x))))


MUST_STAY = {
    "scale of a distribution": lambda m, z: torch.distributions.Normal(z, F.softplus(z)),
    "standard deviation": lambda m, z: (z, F.softplus(z) + 1e-3),
    "size of a step": lambda m, z: m.next(z * F.softplus(z[:, :1])),
    "distance": lambda m, z: m.next((F.relu(z) + 1e-8).sqrt()),
    "sparse words": lambda m, z: torch.log1p(torch.relu(z)),
    "mean in a logarithm": lambda m, z: (2 * F.relu(z)).mean(dim=1).log(),
    "hinge loss": lambda m, z: {"loss": F.relu(1 - z).mean(), "scores": z},
    "triplet loss": lambda m, z: F.relu(z[:, 0] - z[:, 1] + 0.2).sum() / len(z),
    "sum of losses": lambda m, z: F.relu(z).mean() + F.mse_loss(m.next(z), z[:, :1]),
}


@pytest.mark.parametrize("kind", MUST_STAY)
def test_activations_stay_whose_outputs_must_keep_their_bounds(kind):
    model = Head(MUST_STAY[kind])
    hinged.convert(model, torch.randn(32, 4))
    kept = [site for site in hinged.sites(model) if site.name != "act"]
    assert isinstance(model.act, hinged.PiecewiseLinear)
    assert len(kept) == 1 and "gates=True converts it" in kept[0].skipped


MAY_CHANGE = {
    "hidden softplus": lambda m, z: m.next(F.softplus(z)),
    "norm written out": lambda m, z: (h := F.relu(z)) / (h.square().sum(1, True) + 1).sqrt(),
    "loss behind a layer": lambda m, z: m.next(F.relu(z)).square().mean(),
    "penalty on features": lambda m, z: (m.next(h := F.relu(z)), h.abs().mean()),
    "error of the outputs": lambda m, z: F.mse_loss(F.relu(z), z),
    "mean beside the outputs": lambda m, z: (h := F.relu(z), {"mean": h.mean()}),
}


@pytest.mark.parametrize("kind", MAY_CHANGE)
def test_other_activations_before_sums_and_roots_may_change(kind):
    model = hinged.convert(Head(MAY_CHANGE[kind]), torch.randn(32, 4))
    [other] = [site for site in hinged.sites(model) if site.name != "act"]
    assert "a function" in other.skipped  # Curves cannot replace calls in functions.
