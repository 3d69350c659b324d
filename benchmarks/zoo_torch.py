"""The models of the zoo that need torch and torchvision only.

Every model has random weights and a small size. It is written as the public models of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hinged._torchvision_operators import declare_missing

Call = Callable[[nn.Module, Any], Any]


def call_model(model: nn.Module, batch: Any) -> Any:
    """Call a model with a batch: keyword arguments, or a tuple of positional arguments."""
    return model(**batch) if isinstance(batch, dict) else model(*batch)


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo.

    Attributes:
        name: the name of the architecture.
        package: the package that builds it.
        build: a function that returns the model.
        batch: a function that returns a batch.
        call: how the model is called with a batch.
        compared_in_training: whether the outputs in training mode are compared, because those in
            evaluation mode vary in number, as the boxes of detectors do.
        compiled: whether `torch.compile` is tried.
        settings: further arguments of `hinged.convert`.
    """

    name: str
    package: str
    build: Callable[[], nn.Module]
    batch: Callable[[], Any]
    call: Call = call_model
    compared_in_training: bool = False
    compiled: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


class PointNet(nn.Module):
    """PointNet: the same layers for every point, a maximum over the points, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 16, 1), nn.Conv1d(16, 32, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(16), nn.BatchNorm1d(32)
        self.head = nn.Sequential(nn.Linear(32, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))

    def forward(self, points: Tensor) -> Tensor:
        """Return logits `(N, 4)` of points `(N, 3, P)`."""
        x = functional.relu(self.bn1(self.conv1(points)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.log_softmax(self.head(x.max(dim=2).values), dim=1)


def dcgan_generator() -> nn.Module:
    """Return a DCGAN generator for images of 16 x 16 pixels."""
    return nn.Sequential(
        nn.ConvTranspose2d(8, 32, 4, 1, 0, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(True),
        nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def dcgan_discriminator() -> nn.Module:
    """Return a DCGAN discriminator for images of 16 x 16 pixels."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(16, 32, 4, 2, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(32, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )


class GanPair(nn.Module):
    """A generator and a discriminator, as one model that returns both outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = dcgan_generator(), dcgan_discriminator()

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and their scores, from noise `(N, 8, 1, 1)`."""
        images = self.generator(noise)
        return images, self.discriminator(images)


class ActorCritic(nn.Module):
    """An actor and a critic with tanh layers, as in PPO; it returns a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = self._mlp(3)
        self.critic = self._mlp(1)
        self.log_std = nn.Parameter(torch.zeros(3))

    @staticmethod
    def _mlp(outputs: int) -> nn.Sequential:
        body = [nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh()]
        return nn.Sequential(*body, nn.Linear(16, outputs))

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log probabilities of actions, and the values of states `(N, 6)`."""
        mean = self.actor(state)
        actions = torch.distributions.Normal(mean, self.log_std.exp())
        return actions.log_prob(mean.detach() + 0.5).sum(-1), self.critic(state).squeeze(-1)


class Sine(nn.Module):
    """The activation of SIREN."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `sin(30 x)`."""
        return torch.sin(30.0 * x)


def siren() -> nn.Module:
    """Return a SIREN of three layers. Its activation must be named in `activations=`."""
    layers: list[nn.Module] = [
        nn.Linear(2, 16),
        Sine(),
        nn.Linear(16, 16),
        Sine(),
        nn.Linear(16, 1),
    ]
    with torch.no_grad():
        for layer in layers[::2]:
            bound = (6 / 16) ** 0.5 / 30
            layer.weight.uniform_(-bound, bound)  # type: ignore[operator, union-attr]
    return nn.Sequential(*layers)


class NeRF(nn.Module):
    """An MLP on encoded positions with a skip connection, a density and a colour."""

    def __init__(self) -> None:
        super().__init__()
        widths = [27, 32, 32, 32 + 27, 32]
        self.layers = nn.ModuleList(nn.Linear(width, 32) for width in widths[:-1])
        self.density, self.colour = nn.Linear(32, 1), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return colours and densities `(N, 4)` of positions `(N, 3)`."""
        waves = [f(x * 2.0**k) for k in range(4) for f in (torch.sin, torch.cos)]
        encoded = h = torch.cat([x, *waves], -1)
        for index, layer in enumerate(self.layers):
            if index == 3:
                h = torch.cat([h, encoded], -1)
            h = functional.relu(layer(h))
        density = functional.softplus(self.density(h))
        return torch.cat([torch.sigmoid(self.colour(h)), density], -1)


class Tacotron(nn.Module):
    """A prenet with dropout, a recurrent decoder loop, and a postnet of tanh convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.prenet = nn.ModuleList([nn.Linear(6, 16), nn.Linear(16, 16)])
        self.cell, self.project = nn.LSTMCell(16, 16), nn.Linear(16, 6)
        self.postnet = nn.ModuleList(
            [nn.Conv1d(6, 16, 5, padding=2), nn.Conv1d(16, 6, 5, padding=2)]
        )
        self.norm = nn.BatchNorm1d(16)

    def forward(self, frames: Tensor) -> Tensor:
        """Return spectra `(N, 6, T)` of frames `(N, T, 6)`."""
        state, outputs = None, []
        for frame in frames.unbind(1):
            for layer in self.prenet:
                frame = functional.dropout(functional.relu(layer(frame)), 0.5, self.training)
            state = self.cell(frame, state)
            outputs.append(self.project(state[0]))
        x = torch.stack(outputs, dim=2)
        return x + self.postnet[1](torch.tanh(self.norm(self.postnet[0](x))))


class LstmHead(nn.Module):
    """`nn.LSTM` with a ReLU head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 16, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `(N, 2)` for sequences `(N, T, 5)`."""
        return self.head(self.lstm(x)[0][:, -1])


class HandwrittenRnn(nn.Module):
    """A recurrent network whose loop over time calls `torch.tanh`."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.hidden, self.head = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `(N, 2)` for sequences `(N, T, 5)`."""
        h = x.new_zeros(len(x), 8)
        for step in x.unbind(1):
            h = torch.tanh(self.inputs(step) + self.hidden(h))
        return self.head(h)


def transformer() -> nn.Module:
    """Return two layers of `nn.TransformerEncoder` with a GELU."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def provide_nms() -> None:
    """Declare torchvision's `nms` in Python, if its compiled operators cannot be loaded."""
    if declare_missing():
        boxes: Any = __import__("torchvision.ops.boxes").ops.boxes
        boxes._assert_has_ops = lambda: None
        torch.library.impl("torchvision::nms", "CPU")(_nms)


def _nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    from torchvision.ops import box_iou

    order = scores.argsort(descending=True)
    overlaps = box_iou(boxes[order], boxes[order]) > threshold
    kept = torch.ones(len(order), dtype=torch.bool)
    for index in range(len(order)):
        if kept[index]:
            kept[index + 1 :] &= ~overlaps[index, index + 1 :]
    return order[kept]


def _vision(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, **settings)

    return build


def _detector(name: str, **settings: Any) -> Callable[[], nn.Module]:
    return _vision(name, weights_backbone=None, num_classes=3, **settings)


def _convnext() -> nn.Module:
    from torchvision.models import convnext

    blocks = [convnext.CNBlockConfig(8, 16, 2), convnext.CNBlockConfig(16, None, 2)]
    return convnext.ConvNeXt(blocks, layer_scale=0.5, num_classes=10)


def _swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 8, [2, 2], [2, 2], [4, 4], num_classes=10)


def _images(size: int, count: int = 4) -> Callable[[], tuple[Tensor]]:
    return lambda: (torch.rand(count, 3, size, size),)


def _detection_batch() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return two images with squares of several sizes, because each size has outputs of its own."""
    sizes = (12, 22, 32, 42, 52, 62)
    boxes = torch.tensor([[1.0, 1.0, 1.0 + size, 1.0 + size] for size in sizes])
    masks = torch.zeros(len(sizes), 64, 64, dtype=torch.uint8)
    for mask, size in zip(masks, sizes, strict=True):
        mask[1 : 1 + size, 1 : 1 + size] = 1
    labels = torch.arange(len(sizes)) % 2 + 1
    target = {"boxes": boxes, "labels": labels, "masks": masks}
    return [torch.rand(3, 64, 64), torch.rand(3, 64, 64)], [target, target]


def _call_detector(model: nn.Module, batch: Any) -> Any:
    images, targets = batch
    return model(images, targets) if model.training else model(images)


def _resnet_detector(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """Return a function that builds a detector on a ResNet18 with a feature pyramid."""

    def build() -> nn.Module:
        from torchvision.models import detection, resnet18
        from torchvision.models.detection.backbone_utils import BackboneWithFPN

        stages = {f"layer{index + 1}": str(index) for index in range(4)}
        body = resnet18(weights=None)
        backbone = BackboneWithFPN(body, stages, [64, 128, 256, 512], out_channels=32)
        sizes = {"min_size": 48, "max_size": 64}
        return getattr(detection, name)(backbone, 3, **sizes, **settings)

    return build


def _detection(name: str, build: Callable[[], nn.Module]) -> ZooModel:
    return ZooModel(name, "torchvision", build, _detection_batch, _call_detector, True)


_SIREN = {"activations": [Sine], "hinges": 17}
OWN = [
    ZooModel("PointNet", "torch", PointNet, lambda: (torch.randn(4, 3, 20),), compiled=True),
    ZooModel("DCGAN, both networks", "torch", GanPair, lambda: (torch.randn(4, 8, 1, 1),)),
    ZooModel("PPO actor and critic", "torch", ActorCritic, lambda: (torch.randn(8, 6),)),
    ZooModel("SIREN", "torch", siren, lambda: (torch.rand(16, 2),), settings=_SIREN),
    ZooModel("NeRF", "torch", NeRF, lambda: (torch.rand(16, 3),)),
    ZooModel("Tacotron", "torch", Tacotron, lambda: (torch.randn(2, 5, 6),)),
    ZooModel("nn.LSTM with a head", "torch", LstmHead, lambda: (torch.randn(3, 7, 5),)),
    ZooModel("RNN in a loop", "torch", HandwrittenRnn, lambda: (torch.randn(3, 7, 5),)),
    ZooModel("nn.TransformerEncoder", "torch", transformer, lambda: (torch.randn(3, 7, 16),)),
]
VISION = [
    ZooModel("ResNet18", "torchvision", _vision("resnet18"), _images(32)),
    ZooModel("MobileNetV3", "torchvision", _vision("mobilenet_v3_small"), _images(64)),
    ZooModel("ConvNeXt", "torchvision", _convnext, _images(32)),
    ZooModel("Swin", "torchvision", _swin, _images(32)),
    ZooModel("DeepLabV3", "torchvision", _detector("deeplabv3_mobilenet_v3_large"), _images(64)),
]
_PROPOSALS = {
    f"rpn_{step}_nms_top_n_{mode}": count
    for step, count in (("pre", 30), ("post", 8))
    for mode in ("train", "test")
}
DETECTION = [
    _detection("Mask R-CNN", _resnet_detector("MaskRCNN", **_PROPOSALS)),
    _detection("RetinaNet", _resnet_detector("RetinaNet", topk_candidates=60)),
    _detection("SSDLite", _detector("ssdlite320_mobilenet_v3_large", topk_candidates=60)),
]
