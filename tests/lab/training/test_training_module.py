import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from hinged.nn import penalty
from tests.lab.training.trainings import network, train


def test_a_penalty_on_curvature_straightens_the_curves(trained_curves):
    straightened = train(network(), settings={"curve_penalty": 0.3}).model
    assert penalty(straightened).item() < 0.9 * penalty(trained_curves.model).item()


def test_settings_of_curves_do_not_affect_other_networks(trained_relu):
    settings = {"calibrate_after": 0.2, "curve_penalty": 0.3}
    assert train(network("relu"), settings=settings).loss == trained_relu.loss


class InputRecorder(nn.Module):
    """Records dtype and memory format of the inputs of the model's first activation."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.forms = set()
        model[1].register_forward_pre_hook(lambda module, x: self.forms.add(self.form(x[0])))

    @staticmethod
    def form(x):
        return x.dtype, x.is_contiguous(memory_format=torch.channels_last)

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        ({}, (torch.float32, False)),
        ({"precision": "bf16"}, (torch.bfloat16, False)),
        ({"channels_last": True}, (torch.float32, True)),
        ({"precision": "bf16", "channels_last": True}, (torch.bfloat16, True)),
    ],
)
def test_precision_and_memory_format_apply_to_training_and_scoring(settings, form):
    recorder = InputRecorder(network())
    result = train(recorder, settings=settings)
    assert recorder.forms == {form}
    assert result.test_score > 0.5
    assert all(p.dtype == torch.float32 for p in result.model.parameters())


def test_label_smoothing_changes_the_loss_of_classes_only(trained_curves):
    smooth = {"label_smoothing": 0.2}
    assert train(network(), settings=smooth).loss[0] > trained_curves.loss[0]
    plain, smoothed = (
        train(network(name="diabetes", kind="mlp"), "diabetes", settings=settings).loss
        for settings in ({}, smooth)
    )
    assert smoothed == plain


@pytest.mark.parametrize(("clip", "least", "most"), [(0.0, 10, 1e9), (0.5, 0.4999, 0.5001)])
def test_long_gradients_are_clipped(clip, least, most):
    norms = []

    def record_norm(optimizer, *_):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())

    class Amplified(nn.Sequential):
        def forward(self, x):
            return 1000 * super().forward(x)

    hook = register_optimizer_step_post_hook(record_norm)
    train(Amplified(network()), settings={"gradient_clip": clip, "epochs": 1})
    hook.remove()
    assert least < max(norms) < most
