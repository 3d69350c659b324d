"""Trains a network of timm with curves, with timm's optimizer, scheduler and averaged weights."""

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hinged

images, classes = torch.randn(16, 3, 32, 32), torch.randint(4, (16,))
loader = DataLoader(TensorDataset(images, classes), batch_size=8)
model = timm.create_model("resnet10t", num_classes=4)  # or pretrained=True

model = hinged.convert(model, loader)
groups = hinged.param_groups(model, lr=1e-3, weight_decay=0.05, samples=len(images))
optimizer = create_optimizer_v2(groups, opt="adamw")
scheduler, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=2)
average = ModelEmaV3(model, decay=0.99)
for epoch in range(epochs):
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        average.update(model)
    scheduler.step(epoch + 1)
