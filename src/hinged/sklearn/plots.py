"""`PlottedNetworks`: the outputs of the networks of an estimator, and pictures of their curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from hinged import errors
from hinged.curve import Curve
from hinged.model import Histogram, plot
from hinged.model.display.panels import draw_panel, make_panels
from hinged.sklearn.column_errors import name_other_columns
from hinged.sklearn.feature_shapes import FeatureShape
from hinged.sklearn.input_curves import InputCurves
from hinged.sklearn.network import CURVES
from hinged.sklearn.samples import compute_outputs
from hinged.sklearn.scaling import Array, Scaling, clip_columns
from hinged.sklearn.stored_networks import StoredNetworks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PlottedNetworks(StoredNetworks):
    """An estimator that computes outputs of its networks and draws their curves."""

    def _checked(self, X: Any) -> Any:
        """Return a checked table as an array or as a sparse matrix."""
        check_is_fitted(self)
        with name_other_columns(type(self).__name__, X, getattr(self, "feature_names_in_", None)):
            return validate_data(
                self, X, accept_sparse=["csr"], dtype=(np.float64, np.float32), reset=False
            )

    def _scaled_inputs(self, X: Any) -> Any:
        """Return a checked and scaled table as a tensor in float64, or as a sparse matrix."""
        X = self._checked(X)
        scaling = Scaling(self.input_center_, self.input_scale_)
        scaled = clip_columns(scaling.apply(X), *self._input_limits(scaling))
        return scaled if sparse.issparse(scaled) else torch.from_numpy(scaled).double()

    def _input_limits(self, scaling: Scaling) -> Array:
        """Return the least and the largest scaled number of each column, `(2, features)`.

        They are those of the training for bounded columns, and those of float32 for others: with
        larger numbers, sums in the network could become infinite, and their differences NaN.
        """
        largest = np.finfo(np.float32).max
        limits = np.outer([-largest, largest], np.ones(self.n_features_in_))
        ranges = vars(self).get("input_range_")  # Earlier versions have not stored it.
        if ranges is not None:
            bounded = [bool(shape.bounded) for shape in self._architecture().shapes]
            columns = np.flatnonzero(bounded)
            limits[:, columns] = scaling.apply(ranges)[:, columns]
        return limits

    def _outputs(self, X: Any) -> list[Tensor]:
        """Return the outputs of each network, `(rows, outputs)`, in float64."""
        inputs = self._scaled_inputs(X)
        return [compute_outputs(network, inputs) for network in self._networks()]

    def plot_activations(self, X: Any = None, *, network: int = 0, examples: int = 3) -> Figure:
        """Draw the curves of a network: what each layer has learned (`hinged.plot`).

        Args:
            X: a table, `(rows, features)`, such as the training rows. The histograms show the
                inputs of the curves for these rows. None draws no histograms.
            network: the number of the network in an ensemble, from 0.
            examples: the number of single curves in each panel.

        Returns:
            A `matplotlib.figure.Figure`. Its method `savefig("curves.png")` writes a file.

        Raises:
            ArgumentError: if the activation is not trained, or the network has no curves.
            MissingExtraError: if matplotlib is not installed.
        """
        check_is_fitted(self)
        call = f"{type(self).__name__}.plot_activations"
        if self.architecture_["activation"] != CURVES:
            got = f"activation={self.architecture_['activation']!r}, which has no curves"
            hint = f"fit an estimator with activation={CURVES!r}"
            raise errors.ArgumentError(errors.message(call, got, hint))
        if not self._architecture().has_curves:
            got = "hidden_layer_sizes=(), a network without curves"
            hint = "fit an estimator with hidden layers, or with input_curves=True"
            raise errors.ArgumentError(errors.message(call, got, hint))
        inputs = None if X is None else self._scaled_inputs(X)
        if inputs is not None and not isinstance(inputs, Tensor):
            inputs = torch.from_numpy(inputs.toarray())
        figure = plot(self._networks()[network], inputs, examples=examples)
        panels = [axes for axes in figure.axes if axes.get_title()]
        titles = _name_layers([axes.get_title() for axes in panels], bool(self.input_curves))
        for axes, title in zip(panels, titles, strict=True):
            axes.set_title(title, fontsize=8)
        return figure

    def plot_input_curves(self, X: Any = None, *, network: int = 0) -> Figure:
        """Draw the curve of each column of the table, with one panel for each.

        The horizontal axis has the units of the column. The curve is what the first layer of the
        network receives instead of the scaled column, so its outputs have no unit.

        Args:
            X: a table, `(rows, features)`, such as the training rows, for histograms of the
                columns. None draws no histograms.
            network: the number of the network in an ensemble, from 0.

        Returns:
            A `matplotlib.figure.Figure`. Its method `savefig("curves.png")` writes a file.

        Raises:
            ArgumentError: if the estimator was trained without `input_curves`.
            MissingExtraError: if matplotlib is not installed.
        """
        check_is_fitted(self)
        architecture = self._architecture()
        if not architecture.shapes:
            got = "an estimator that was trained with input_curves=False"
            call = f"{type(self).__name__}.plot_input_curves"
            raise errors.ArgumentError(errors.message(call, got, "fit with input_curves=True"))
        layer = self._networks()[network].get_submodule("0")
        assert isinstance(layer, InputCurves)
        columns = None if X is None else _to_tensor(self._checked(X))
        figure, panels = make_panels(self.n_features_in_)
        curves = zip(panels, layer.curves(), architecture.shapes, strict=True)
        for number, (axes, curve, shape) in enumerate(curves):
            positions = curve.hinges * self.input_scale_[number] + self.input_center_[number]
            inputs = None if columns is None else Histogram.of(columns[:, number])
            draw_panel(axes, Curve(positions, curve.values, curve.tails), inputs, 0)
            axes.set_title(f"{self._column_name(number)}\n{_in_words(shape)}".strip(), fontsize=8)
        return figure

    def _column_name(self, number: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return f"column {number}" if names is None else str(names[number])


def _to_tensor(table: Any) -> Tensor:
    """Return an array or a sparse matrix as a tensor in float64."""
    dense = table.toarray() if sparse.issparse(table) else table
    return torch.tensor(dense, dtype=torch.float64)  # Arrays of pandas may be read-only.


def _name_layers(titles: Sequence[str], input_curves: bool) -> list[str]:
    """Return titles of panels with names of layers in place of names of modules.

    Args:
        titles: the titles, whose first lines are names of modules.
        input_curves: whether the first layer has the curves of the columns.

    >>> _name_layers(["0.layers.0", "2.layers.0", "2.layers.1\\n8 channels"], True)
    ['columns, group 1', 'hidden layer 1, group 1', 'hidden layer 1, group 2\\n8 channels']
    """
    parts = [title.partition("\n")[0].split(".") for title in titles]
    layers = list(dict.fromkeys(layer for layer, *_ in parts))
    named = []
    for title, (layer, *group) in zip(titles, parts, strict=True):
        number = layers.index(layer) + (not input_curves)
        name = f"hidden layer {number}" if number else "columns"
        name += f", group {int(group[-1]) + 1}" if group else ""
        named.append("\n".join([name, *title.split("\n")[1:]]))
    return named


def _in_words(shape: FeatureShape) -> str:
    """Return the constraint on a column in words.

    >>> _in_words(FeatureShape(monotone=-1, convex=1))
    'never rises, convex'
    """
    words = [
        {1: "never falls", -1: "never rises"}.get(shape.monotone),
        {1: "convex", -1: "concave"}.get(shape.convex),
        "bounded" if shape.bounded else None,
    ]
    return ", ".join(word for word in words if word)
