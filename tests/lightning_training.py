"""A small training with Lightning for the tests of callbacks."""

import torch
from torch import nn

import hinged
import hinged.lightning  # First: it repairs a torchvision built for another torch.

import lightning  # isort: skip

X = 20 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
        self.values, self.hinges = [], []

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch):
        self.values.append(self.network[1].values.detach().clone())
        self.hinges.append(self.network[1].hinges.clone())
        return self.network(batch).square().mean()

    def validation_step(self, batch):
        self.log("loss", self.network(batch).square().mean())

    def configure_optimizers(self):
        groups = hinged.param_groups(self, lr=0.01, weight_decay=0.1, curve_lr=0.05)
        return torch.optim.AdamW(groups)


def fit(folder, *callbacks, epochs=3, task=None, checkpoint=None, **how):
    task = task or Task()
    batches = torch.utils.data.DataLoader(X, batch_size=16)
    how = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"} | how
    trainer = lightning.Trainer(
        max_epochs=epochs,
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **how,
    )
    trainer.fit(task, batches, batches, ckpt_path=checkpoint)
    return task, trainer
