"""Trains a CNN with curves in bfloat16 by accelerate."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hinged

images, classes = torch.randn(64, 3, 8, 8), torch.randint(4, (64,))
loader = DataLoader(TensorDataset(images, classes), batch_size=16)
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(288, 4))

model = hinged.convert(model, loader)  # before `prepare`, which wraps the model
groups = hinged.param_groups(model, lr=1e-3, weight_decay=0.01, samples=len(images))
optimizer = torch.optim.AdamW(groups)
accelerator = Accelerator(mixed_precision="bf16")
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for x, y in loader:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
model = accelerator.unwrap_model(model)
