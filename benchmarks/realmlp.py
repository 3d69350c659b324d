"""RealMLP with its own activations or with curves, as estimators of scikit-learn.

The network and its settings are those of the package pytabkit (`pytabkit.models.realmlp`). Its
function `fit` has no place for other activations, so the training is written here again. Without
curves it gives the same network as `fit`, to the last bit.

Source: Holzmueller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted
trees on tabular data" (NeurIPS 2024).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import hinged
from hinged._torchvision_operators import declare_missing

declare_missing()  # pytabkit imports torchvision.

from pytabkit.models.realmlp import train as realmlp_training  # noqa: E402
from pytabkit.models.realmlp.model import Activation, RealMLP, RealMLPConfig  # noqa: E402

VALIDATION_SHARE = 0.2
"""The share of the training rows by which pytabkit chooses the best epoch."""


class Curves(nn.Module):
    """Curves in the place of an activation of RealMLP. They start as its function.

    Args:
        channels: number of units.
        function: name of the function, such as `"mish"`.
    """

    def __init__(self, channels: int, function: str) -> None:
        super().__init__()
        self.curves = hinged.PiecewiseLinear(channels, init=function, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations of `x`, `(1, N, C)`: RealMLP has an axis for several networks."""
        return self.curves(x[0])[None]


def with_curves(model: RealMLP) -> RealMLP:
    """Replace the activations of a network by curves, and return the network."""
    for index, layer in enumerate(model.mlp):
        if isinstance(layer, Activation):
            model.mlp[index] = Curves(layer.weight.shape[-1], model.config.act)
    return model


class _Training:
    """The training of one network: the steps of `fit` of pytabkit for one division of the rows.

    Args:
        config: the settings.
        model: the network.
        data: the tensors `x_num`, `x_cat` and `y`, by name.
        rows: the numbers of the training rows, `(1, rows)`.
    """

    def __init__(
        self, config: RealMLPConfig, model: RealMLP, data: dict[str, Tensor], rows: Tensor
    ) -> None:
        self.config, self.model, self.data, self.rows = config, model, data, rows
        size = config.batch_size
        size = realmlp_training.auto_batch_size(rows.shape[1]) if size == "auto" else size
        self.batch_size = min(rows.shape[1], size)
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(config.mom, config.sq_mom))
        self.steps = 0

    def _groups(self) -> list[dict[str, Any]]:
        """Return the groups of the optimizer; curves are in their metric, at the library's rate."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for each in self.model.parameters():
            if hasattr(each, "lr_factor"):
                groups.setdefault((each.lr_factor, each.wd_factor), []).append(each)
        own = [{"params": p, "lr_factor": k[0], "wd_factor": k[1]} for k, p in groups.items()]
        rate, samples = self.config.lr, self.rows.shape[1]
        curves = [
            {**group, "lr_factor": group["lr"] / rate, "wd_factor": 0.0}
            for group in hinged.param_groups(self.model, rate, samples=samples)
            if group["name"] == "curves"
        ]
        return [*own, *curves]

    def batches(self) -> Any:
        """Yield the batches of an epoch in a new order."""
        return realmlp_training.batches(
            self.data, self.rows, self.batch_size, shuffle=True, drop_last=True
        )

    def scheduled(self, name: str) -> float:
        """Return a setting with its schedule at the present step."""
        of_epoch = self.rows.shape[1] // self.batch_size
        progress = self.steps / (of_epoch * self.config.n_epochs)
        schedule = realmlp_training.SCHEDULES[getattr(self.config, f"{name}_sched")]
        return float(getattr(self.config, name) * schedule(progress))

    @torch.no_grad()
    def initialize(self) -> None:
        """Scale the first weights by a batch."""
        self.model.train()
        batch = next(self.batches())
        self.model.set_p_drop(self.scheduled("p_drop"))
        self.model(batch["x_num"], batch["x_cat"], init=True)

    def epoch(self) -> None:
        """Train on all batches once."""
        self.model.train()
        for batch in self.batches():
            for group in self.optimizer.param_groups:
                group["lr"] = self.scheduled("lr") * group["lr_factor"]
                group["weight_decay"] = self.scheduled("wd") * group["wd_factor"]
            self.model.set_p_drop(self.scheduled("p_drop"))
            loss = self._loss(self.model(batch["x_num"], batch["x_cat"]), batch["y"])
            self.optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            self.optimizer.step()
            self.steps += 1

    def _loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        if not self.model.is_classification:
            return realmlp_training.mse(outputs, self.model.transform_y(y))
        smoothing = self.scheduled("ls_eps") if self.config.use_ls else 0.0
        return realmlp_training.cross_entropy(outputs, y, smoothing)


def train_realmlp(
    config: RealMLPConfig,
    x: Tensor,
    y: Tensor,
    rows: tuple[Tensor, Tensor],
    classes: int,
    seed: int,
    *,
    curves: bool,
) -> RealMLP:
    """Return a trained network with the parameters of its best epoch.

    Args:
        config: the settings.
        x: the table, `(N, features)`.
        y: the targets, `(N, 1)`: numbers, or class numbers.
        rows: the numbers of the training rows and of the validation rows.
        classes: number of classes; 0 for regression.
        seed: decides the first weights, the order of the rows and the dropped units.
        curves: whether the activations are curves.
    """
    torch.manual_seed(seed)
    x, y = x.float(), y.long() if classes else y.float()
    model = RealMLP(x.shape[1], [], classes or 1, 1, config, classes > 0)
    if curves:
        model = with_curves(model)
    data = {"x_num": x, "x_cat": torch.zeros(len(x), 0, dtype=torch.long)}
    training, validation = (each[None] for each in rows)
    _set_scaling(model, x, y, training)
    run = _Training(config, model, {**data, "y": y}, training)
    run.initialize()
    metric = config.val_metric_name or ("cross_entropy" if classes else "rmse")
    best, least = None, np.inf
    for _ in range(config.n_epochs):
        run.epoch()
        outputs = realmlp_training.predict_idxs(model, data, validation)
        error = float(realmlp_training.compute_metric(outputs, y[validation], metric))
        if error <= least:
            least, best = error, {k: v.clone() for k, v in model.state_dict().items()}
    if best is not None:
        model.load_state_dict(best)
    return model.eval()


@torch.no_grad()
def _set_scaling(model: RealMLP, x: Tensor, y: Tensor, training: Tensor) -> None:
    """Set the scaling of inputs and targets to that of the training rows, `(1, rows)`."""
    median, scale = realmlp_training.compute_input_stats(x, training)
    model.x_median.copy_(median)
    model.x_scale.copy_(scale)
    if not model.is_classification:
        targets = y[training]
        model.y_mean.copy_(targets.mean(dim=1, keepdim=True))
        model.y_std.copy_(targets.std(dim=1, correction=0, keepdim=True))
        model.y_min.copy_(targets.min(dim=1, keepdim=True)[0])
        model.y_max.copy_(targets.max(dim=1, keepdim=True)[0])


class _RealMLPEstimator(BaseEstimator):
    """What the regressor and the classifier have in common.

    Args:
        curves: whether the activations are curves.
        random_state: decides all random choices.
        settings: settings of RealMLP that differ from its defaults.
    """

    def __init__(
        self, curves: bool = False, random_state: int = 0, settings: dict[str, Any] | None = None
    ) -> None:
        self.curves, self.random_state, self.settings = curves, random_state, settings

    def _train(self, x: NDArray[Any], y: NDArray[Any], config: RealMLPConfig, classes: int) -> Any:
        rows = train_test_split(
            np.arange(len(x)),
            test_size=VALIDATION_SHARE,
            random_state=self.random_state,
            stratify=y if classes else None,
        )
        numbers = tuple(map(torch.from_numpy, rows))
        tensors = torch.from_numpy(x), torch.from_numpy(y)[:, None]
        seed = self.random_state
        self.model_ = train_realmlp(config, *tensors, numbers, classes, seed, curves=self.curves)
        return self

    def _outputs(self, x: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(x)
        return realmlp_training.predict(self.model_, tensor, tensor[:, :0])[0]


class RealMLPRegressor(RegressorMixin, _RealMLPEstimator):
    """RealMLP for regression, at the defaults of its paper."""

    def fit(self, x: NDArray[Any], y: NDArray[Any]) -> RealMLPRegressor:
        """Train on a table, `(rows, features)`, to predict `y`, `(rows,)`."""
        return self._train(x, y, RealMLPConfig.td_reg(**(self.settings or {})), 0)

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the predicted numbers, `(rows,)`."""
        return self._outputs(x)[:, 0].numpy()


class RealMLPClassifier(ClassifierMixin, _RealMLPEstimator):
    """RealMLP for classification, at the defaults of its paper."""

    def fit(self, x: NDArray[Any], y: NDArray[Any]) -> RealMLPClassifier:
        """Train on a table, `(rows, features)`, to predict classes, `(rows,)`."""
        self.classes_, numbers = np.unique(y, return_inverse=True)
        config = RealMLPConfig.td_class(**(self.settings or {}))
        return self._train(x, numbers, config, len(self.classes_))

    def predict_proba(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the probability of each class, `(rows, classes)`."""
        return self._outputs(x).softmax(dim=1).numpy()

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the most probable classes, `(rows,)`."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]
