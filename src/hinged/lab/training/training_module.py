"""The Lightning module of a training: loss, optimizer, schedule, precision and scores."""

from __future__ import annotations

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from hinged.lab.data import Batch, DataSet
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.networks.activations import TRAINABLE_ACTIVATIONS
from hinged.lab.training.freezing import set_training_mode
from hinged.nn import PiecewiseLinear, param_groups, penalty

_MOMENTUM = 0.9
_SCORING_BATCH = 1000
_SCORING_BATCH_CPU = 125
"""The batch size for scoring on a CPU. With batches of 1,000 images, scoring took twice as long."""


class TrainingModule(lightning.LightningModule):
    """A Lightning module that trains one network on one data set.

    Args:
        model: the network.
        data: the data set, which defines the loss and the metric.
        settings: optimizer, schedule, precision and memory format.
    """

    def __init__(self, model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
        super().__init__()
        if settings.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = set_training_mode(model)
        self.data = data
        self.settings = settings
        self.has_curves = any(isinstance(layer, PiecewiseLinear) for layer in model.modules())
        self._outputs = torch.compile(self._call_model) if settings.compile else self._call_model

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the network for a batch of inputs."""
        # In evaluation mode, the compiled network is not used: observers add hooks to the network,
        # and torch would compile these hooks too.
        outputs = self._outputs if self.training else self._call_model
        return outputs(in_memory_format(x, self.settings))

    def _call_model(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.model(x)
        return outputs

    def train(self, mode: bool = True) -> TrainingModule:
        """Set the training or evaluation mode of the network, and return this module.

        Normalisation layers with only frozen parameters stay in evaluation mode.
        """
        super().train(mode)
        set_training_mode(self.model, mode)
        return self

    def training_step(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, including the penalty on the curvature of the curves."""
        x, y = batch
        smoothing = self.settings.label_smoothing
        loss: Tensor = self.data.problem.loss(self(x), y, smoothing)
        weight = self.settings.curve_penalty
        return loss + weight * penalty(self.model) if weight and self.has_curves else loss

    def score(self, x: Tensor, y: Tensor) -> float:
        """Return the score of the network on samples of a split, in the metric of the data set.

        The network runs in evaluation mode and in the precision of the training.

        Args:
            x: rows of `data.x_train` or `data.x_test`.
            y: the targets of the same rows.
        """
        return self.data.score(self.compute_outputs(x), y)

    def compute_outputs(self, x: Tensor) -> Tensor:
        """Return the outputs of the network in evaluation mode, in float32 on the CPU.

        The network runs in the precision of the training.

        Args:
            x: rows of `data.x_train` or `data.x_test`.
        """
        was_training = self.model.training
        device = next(self.model.parameters()).device
        self.model.eval()
        size = _SCORING_BATCH_CPU if device.type == "cpu" else _SCORING_BATCH
        with torch.no_grad(), autocast(device, self.settings):
            batches = (self.data.to_inputs(rows.to(device)) for rows in x.split(size))
            outputs = torch.cat(
                [self.model(in_memory_format(x, self.settings)).float().cpu() for x in batches]
            )
        set_training_mode(self.model, was_training)
        return outputs

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and its one-cycle schedule of the learning rate."""
        settings = self.settings
        groups = param_groups(
            self.model,
            settings.lr,
            settings.weight_decay,
            curve_lr=settings.curve_lr,
            smoothing=settings.smoothing if settings.curve_metric else None,
            curve_decay=settings.curve_decay if settings.curve_metric else None,
            samples=len(self.data.x_train),
            activation_lr=settings.activation_lr_factor * settings.lr,
            curve_types=TRAINABLE_ACTIVATIONS,
        )
        optimizer: torch.optim.Optimizer
        if settings.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, momentum=_MOMENTUM, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = one_cycle(optimizer, steps, cycle_momentum=settings.optimizer == "adamw")
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def one_cycle(
    optimizer: torch.optim.Optimizer, steps: int, *, cycle_momentum: bool
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Return the one-cycle schedule of a training.

    Args:
        optimizer: the optimizer. The learning rates of its groups are the largest of the schedule.
        steps: the number of steps of the training.
        cycle_momentum: whether the momentum, or the first of the betas, changes too.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps, cycle_momentum=cycle_momentum
    )


def autocast(device: torch.device, settings: TrainingSettings) -> torch.autocast:
    """Return the autocast context for the precision of a training.

    Args:
        device: the device of the network.
        settings: the settings of the training. Autocast to bfloat16 is on if `precision` is `bf16`.
    """
    enabled = settings.precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def in_memory_format(x: Tensor, settings: TrainingSettings) -> Tensor:
    """Return a batch in the memory format of a training.

    If `settings.channels_last` is true, images `(N, C, H, W)` are converted to channels-last. All
    other batches are returned unchanged.
    """
    if settings.channels_last and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x
