"""Makes `import torchvision` work if its compiled operators do not fit the installed torch.

torchvision's wheel for CUDA cannot load its compiled library next to a torch for the CPU. Its
import then fails with "operator torchvision::nms does not exist", and so do the imports of
torchmetrics, lightning and timm. Models, data sets and transforms need none of these operators.
Once their schemas are declared, the import succeeds and only a call of an operator fails.
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
    """Import torchvision if it is installed, and declare its operators if they are missing.

    Returns:
        Whether the operators were declared here.
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
        _libraries.append(library)  # Garbage collection of a library removes its operators.
        importlib.import_module("torchvision")
        return True
    return False
