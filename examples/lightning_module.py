"""Trains a CNN with curves by Lightning."""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hinged


class Classifier(LightningModule):
    def __init__(self, batch, samples):
        super().__init__()
        self.samples = samples
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
        self.model = hinged.convert(model, batch)

    def training_step(self, batch, _index):
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self):
        groups = hinged.param_groups(self.model, 1e-3, weight_decay=0.01, samples=self.samples)
        return torch.optim.AdamW(groups)


images, classes = torch.randn(64, 3, 8, 8), torch.randint(4, (64,))
loader = DataLoader(TensorDataset(images, classes), batch_size=16)
model = Classifier(images[:16], samples=len(images))
Trainer(max_epochs=1, logger=False, enable_checkpointing=False).fit(model, loader)
