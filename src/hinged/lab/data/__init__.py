"""Data sets in memory: read, verified, split, scaled, hashed, and served in batches."""

from hinged.lab.data.augment import AUGMENTATIONS
from hinged.lab.data.batches import Batch, Batches
from hinged.lab.data.catalogue import DATA_SETS, check_name, is_known, load
from hinged.lab.data.dataset import DataSet
from hinged.lab.data.embedded import EMBEDDED
from hinged.lab.data.readers.bccd import bccd

__all__ = [
    "AUGMENTATIONS",
    "DATA_SETS",
    "EMBEDDED",
    "Batch",
    "Batches",
    "DataSet",
    "bccd",
    "check_name",
    "is_known",
    "load",
]
