"""Reader of public regression tables: one `.npz` file per table in the folder of data sets."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hinged.lab.data.readers.data_files import (
    explain_damage,
    find_data_file,
    read_npz,
    verify_sha256,
)
from hinged.lab.data.readers.downloadable import download_california_housing
from hinged.lab.data.train_test_split import TrainTestSplit, describe_table, split_at_random

CHECKSUMS = {
    "california_housing": "0766ac79e0993dec8dcd6ed5b8ecb019998b30113e90338fc9b327a302c998b7",
    "concrete": "0c20c8c6308a18ba6220488151d1fccbb8b2e78851807c45b8053384a07f8cfa",
    "energy": "85620c04724e2aa2f22834fa87a20cc6b00cb65cf7c960409e62b3f44a81bb3f",
    "kin8nm": "3805ee2fe4f5ef69add6bdc88151585d48e91d6a04dd27c06880251d705358ae",
    "naval": "70295b5bca73ca5247ab3a48071d5f9223a7e76ac4ac805bf904c2e5683a26cf",
    "oh7": "98b93f9afe631ca09670b940d00d9a20011603b1a7c2587ae09f81268e9ee177",
    "power_plant": "1139626ee31bfdaa4f98bbdec76a516e6b19e288f286b833a084941a731b4c5e",
    "protein": "dc22fec61ce22203b99ff5ba4b56bb5289adbf8dff6c28f4361e724aa4306d64",
    "twod": "27b1df3f50a4c6203f6b1015e5814f89fabe0588f0e0f11685f854b3c66fcbab",
    "wine_red": "ee2063a166a601a252c58f6fb896844cb12c17c120f01e90d064b6425c26bc67",
    "wine_white": "ad433ba3fc97d54e2753c170a19750e74902be209c353891315cf09ede5ba4af",
    "yacht": "729d32338c3af65cfda4ca524bfaca51d765317e982443f90feac7eefa161ff3",
}
"""Expected SHA-256 of the `.npz` file of each table, by name of the table."""


def read_table_arrays(name: str, folder: Path | None) -> tuple[Tensor, Tensor]:
    """Return the inputs `(N, features)` and targets `(N, targets)` of a table, both in float64.

    The file contains the inputs as array `X` and the targets as array `y`.

    Args:
        name: a name in `CHECKSUMS`.
        folder: folder of data sets. None is valid only for `california_housing`, which scikit-learn
            then downloads.

    Raises:
        DataError: if the file is missing, damaged, or has another checksum.
    """
    if name == "california_housing" and folder is None:
        return download_california_housing()
    path = find_data_file(name, folder, (f"tabular/{name}.npz", f"{name}.npz"))
    arrays = read_npz(verify_sha256(path, CHECKSUMS[name]))
    with explain_damage(path):
        x, y = torch.from_numpy(arrays["X"]).double(), torch.from_numpy(arrays["y"]).double()
        if x.ndim != 2 or y.ndim != 2 or not 2 <= len(x) == len(y):
            raise ValueError(f"it contains arrays of shapes {tuple(x.shape)} and {tuple(y.shape)}")
        return x, y


def read_regression_table(name: str, folder: Path | None) -> TrainTestSplit:
    """Read a table as a regression data set. The test split contains 30 % of the rows.

    Args:
        name: a name in `CHECKSUMS`.
        folder: folder of data sets. None is valid only for `california_housing`, which scikit-learn
            then downloads.

    Raises:
        DataError: if the file is missing, damaged, or has another checksum.
    """
    x, y = read_table_arrays(name, folder)
    return split_at_random(describe_table(x, y, None), x, y, None)
