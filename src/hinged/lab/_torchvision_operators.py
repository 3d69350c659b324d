"""Makes `import torchvision` work where its compiled operators do not fit the installed torch.

torchvision's wheel for CUDA beside a torch for the CPU cannot load its compiled library, and its
import then fails with "operator torchvision::nms does not exist", which takes torchmetrics,
lightning and timm down with it. Models, data sets and transforms need none of these operators: with
their schemas declared the import succeeds, and only calling one of them fails, as it must.
"""

from __future__ import annotations

import importlib
import importlib.util

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[torch.library.Library] = []


def declare_missing() -> bool:
    """Import torchvision, where it is installed, declaring its operators if it must be.

    Returns:
        Whether the operators had to be declared.
    """
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _libraries.append(library)  # A library that is collected takes its operators along.
        importlib.import_module("torchvision")
        return True
    return False
