"""Data sets of experiments: reading, checks, training and test splits, scaling and batches."""

from hinged.lab.data.augment import AUGMENTATIONS
from hinged.lab.data.batches import Batch, Batches
from hinged.lab.data.data_facts import DataFacts
from hinged.lab.data.data_set import DataSet
from hinged.lab.data.readers.bccd import read_bccd
from hinged.lab.data.registry import (
    DATA_SETS,
    check_data_set_name,
    check_table_settings,
    is_data_set_name,
    is_table_path,
    load_data_set,
)
from hinged.lab.data.sklearn_data import SKLEARN_DATA

__all__ = [
    "AUGMENTATIONS",
    "DATA_SETS",
    "SKLEARN_DATA",
    "Batch",
    "Batches",
    "DataFacts",
    "DataSet",
    "check_data_set_name",
    "check_table_settings",
    "is_data_set_name",
    "is_table_path",
    "load_data_set",
    "read_bccd",
]
