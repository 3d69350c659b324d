"""Trains YOLOv8 with curves by the trainer of ultralytics."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from ultralytics.models.yolo.detect import DetectionTrainer

import hinged


class CurveTrainer(DetectionTrainer):
    def get_model(self, *args, **kwargs):
        model = super().get_model(*args, **kwargs)
        return hinged.convert(model, torch.rand(4, 3, 64, 64))  # better: images of the data set

    def build_optimizer(self, model, lr=1e-3, decay=1e-5, **_):
        return torch.optim.AdamW(hinged.param_groups(model, lr, decay))


folder = Path("squares").absolute()
folder.mkdir(exist_ok=True)
for i in range(4):  # noisy images with one object
    Image.fromarray(np.random.randint(0, 255, (64, 64, 3), np.uint8)).save(folder / f"{i}.png")
    (folder / f"{i}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
(folder / "data.yaml").write_text(f"path: {folder}\ntrain: .\nval: .\nnames: [square]\n")
settings = {"imgsz": 64, "epochs": 2, "batch": 4, "nbs": 4, "workers": 0, "plots": False}
data = {"model": "yolov8n.yaml", "data": str(folder / "data.yaml")}
CurveTrainer(overrides={**settings, **data}).train()
