import copy

import pytest
import torch
from torch import nn

from hinged.lab.data import load_data_set
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.networks import vision
from hinged.lab.training.head_first import train_head

SETTINGS = TrainingSettings(head_epochs=10, batch_size=100, head_lr=0.05)


class TwoInputs(nn.Module):
    """A head whose second input is not the output of a layer."""

    def __init__(self):
        super().__init__()
        self.body, self.bilinear = nn.Linear(64, 8), nn.Bilinear(8, 64, 10)

    def forward(self, x):
        x = x.flatten(1)
        return self.bilinear(self.body(x), x)


def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


def doubled():
    """The head is followed by other layers of its container, as in SqueezeNet."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.Sequential(nn.Dropout(), nn.Conv2d(8, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        nn.Flatten(),
    )


def scaled():
    """The outputs are not a function of the head's inputs alone."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            return self.head(x.flatten(1)) * x.std()

    return Scaled()


@pytest.fixture(scope="module")
def digits():
    return load_data_set("digits")


@pytest.mark.parametrize(
    ("make", "head"),
    [(plain, "3"), (doubled, "1.1"), (TwoInputs, "bilinear"), (scaled, "head")],
    ids=["plain", "layers after it", "two inputs", "scaled"],
)
def test_only_the_head_changes_and_the_loss_falls(make, head, digits):
    torch.manual_seed(0)
    model = make()
    before = copy.deepcopy(model).eval()
    trained = train_head(model, [head], digits, SETTINGS, seed=0)
    changed = {
        n for n, v in model.state_dict().items() if not torch.equal(v, before.state_dict()[n])
    }
    assert changed == {f"{head}.weight", f"{head}.bias"}
    assert torch.equal(trained[head]["weight"], model.get_submodule(head).weight)
    x, y = digits.to_inputs(digits.x_train), digits.y_train
    loss, old = (nn.functional.cross_entropy(each.eval()(x), y) for each in (model, before))
    assert loss < 0.97 * old


@pytest.mark.parametrize(
    ("make", "head", "is_cached"), [(plain, "3", True), (scaled, "head", False)]
)
def test_the_inputs_of_the_head_are_computed_once_if_they_suffice(make, head, is_cached, digits):
    model, seen = make(), []
    model.register_forward_hook(lambda _, inputs, outputs: seen.append(len(outputs)))
    train_head(model, [head], digits, SETTINGS, seed=0)
    count = len(digits.x_train)
    assert sum(seen) == (count if is_cached else (1 + SETTINGS.head_epochs) * count)


@pytest.mark.parametrize("kind", ["resnet20", "squeezenet1_0"])
def test_the_head_of_published_networks_is_cached(kind, digits):
    network, seen = vision.NETWORKS[kind], []
    model = network.make(10, 32)
    images = digits.with_input_format(32, 3, None)
    vars(images).update(x_train=digits.x_train[:150], y_train=digits.y_train[:150])
    model.register_forward_hook(lambda _, inputs, outputs: seen.append(len(outputs)))
    train_head(model, network.head, images, SETTINGS, seed=0)
    assert seen == [125, 25]


def test_the_seed_decides_everything(digits):
    first, same, other = (plain() for _ in range(3))
    same.load_state_dict(first.state_dict())
    other.load_state_dict(first.state_dict())
    torch.manual_seed(1)
    one = train_head(first, ["3"], digits, SETTINGS, seed=0)
    torch.manual_seed(2)
    two = train_head(same, ["3"], digits, SETTINGS, seed=0)
    three = train_head(other, ["3"], digits, SETTINGS, seed=1)
    assert torch.equal(one["3"]["weight"], two["3"]["weight"])
    assert not torch.equal(one["3"]["weight"], three["3"]["weight"])
