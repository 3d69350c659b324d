import pytest
import torch
from torch import nn

import hinged

IMAGES = torch.randn(4, 3, 8, 8)


def block(*, norm=False):
    middle = [nn.BatchNorm2d(3)] if norm else []
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), *middle, nn.ReLU())


def notes(model, **settings):
    return " ".join(hinged.sites(hinged.convert(model, IMAGES, **settings)).notes)


def test_curves_in_a_frozen_part_are_noted_and_the_hint_leaves_them_out():
    def make():
        parts = nn.ModuleDict({"generator": block(), "loss": nn.Sequential(block(), block())})
        parts["loss"].requires_grad_(False)
        return nn.Sequential(*parts.values())

    text = notes(make())
    assert "2 of 3 sites with curves are in parts whose parameters are frozen (1)." in text
    assert "not site.name.startswith('1.')" in text
    model = make()
    assert "frozen" not in notes(model, where=lambda site: not site.name.startswith("1."))
    assert [site.name for site in hinged.sites(model).converted] == ["0.1"]


@pytest.mark.parametrize("is_trained", [True, False])
def test_a_model_that_is_trained_or_frozen_as_a_whole_has_no_frozen_parts(is_trained):
    assert "frozen" not in notes(nn.Sequential(block(), block()).requires_grad_(is_trained))


def test_frozen_layers_beside_an_activation_are_no_frozen_part():
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3))
    model[0].requires_grad_(False)
    assert "frozen" not in notes(model)


def test_batch_normalisation_that_was_never_trained_is_noted_in_evaluation_mode():
    model = nn.Sequential(*(block(norm=True) for _ in range(5)))
    assert "Batch normalisation" not in notes(model)
    text = notes(hinged.revert(model).eval())
    assert "never been trained (0.1, 1.1, 2.1 and 2 more)" in text
    hinged.revert(model).train()(IMAGES)
    assert "Batch normalisation" not in notes(model.eval())


def test_batch_normalisation_without_parameters_is_not_noted():
    model = block().eval()
    model.unused = nn.ModuleList([nn.LazyBatchNorm2d()])
    model.forward = lambda x: model[1](model[0](x))
    assert "Batch normalisation" not in notes(model)
