"""`StoredNetworks`: the trained networks of an estimator as arrays, in copies and in files."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from hinged.sklearn.estimator_files import contents_explained, read_estimator, write_estimator
from hinged.sklearn.feature_shapes import FeatureShape
from hinged.sklearn.network import Architecture, Parameters, parameters_of

if TYPE_CHECKING:
    from typing_extensions import Self


class StoredNetworks(BaseEstimator):  # type: ignore[misc]
    """An estimator whose networks are stored as arrays.

    So copies, pickles and files do not depend on the modules of torch.

    Attributes:
        architecture_: the fields of `Architecture`.
        parameters_: the parameters of each network.
        n_layers_: number of layers, with inputs and outputs.
    """

    architecture_: dict[str, Any]
    parameters_: list[Parameters]
    n_layers_: int

    def _store_networks(self, architecture: Architecture, networks: list[nn.Module]) -> None:
        self.architecture_ = asdict(architecture)
        self.parameters_ = [parameters_of(network) for network in networks]
        self.n_layers_ = len(architecture.sizes)

    def __sklearn_is_fitted__(self) -> bool:
        return "parameters_" in vars(self)

    def _architecture(self) -> Architecture:
        stored = self.architecture_
        shapes = tuple(FeatureShape(*each) for each in stored.get("shapes", ()))
        return Architecture(**{**stored, "sizes": tuple(stored["sizes"]), "shapes": shapes})

    def _networks(self) -> list[nn.Module]:
        return self._architecture().restore_all(self.parameters_)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies, without the solvers of `partial_fit`.

        A copy goes on from the same networks, with new running means of the gradients.
        """
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_solvers"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained estimator to a safetensors file, without pickle.

        Args:
            path: the file to write. An existing file is replaced.

        Raises:
            ArgumentError: if the folder of the file does not exist, or if an argument of the
                estimator is an object such as a `numpy.random.RandomState`.
        """
        check_is_fitted(self)
        arguments: dict[str, Any] = self.get_params(deep=False)
        left_out = {*arguments, "parameters_", "_solvers"}
        write_estimator(
            path,
            f"{type(self).__name__}.save",
            estimator=type(self).__name__,
            arguments=arguments,
            learned={name: each for name, each in vars(self).items() if name not in left_out},
            networks=self.parameters_,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a trained estimator from a file that `save` has written.

        Reading runs no code of the file.

        Args:
            path: the file.

        Raises:
            EstimatorFileError: if the file is damaged or was changed, if it was written by another
                program or by a later version of hinged, or if it contains another estimator.
            OSError: if the file does not exist or cannot be read.
        """
        call, name = f"{cls.__name__}.load(path)", cls.__name__
        arguments, learned, networks = read_estimator(path, call, name)
        with contents_explained(path, call, name):
            estimator = cls(**arguments)
            estimator._set_learned(learned, networks)
        return estimator

    def _set_learned(self, learned: dict[str, Any], networks: list[Parameters]) -> None:
        """Set the attributes that a file contains, and raise an error if they do not fit."""
        for name in learned:
            if callable(getattr(type(self), name, None)):
                raise ValueError(f"the attribute {name}, which is a method of the class")
        self.__dict__.update(learned, parameters_=networks)
        self._networks()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A table without names of columns, for example.
            for rows in (2, 3):  # Arrays of a wrong shape may fit one number of rows.
                self.predict(np.zeros((rows, self._architecture().sizes[0])))
