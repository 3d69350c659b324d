"""Makes `import torchvision` succeed if the compiled operators of torchvision cannot be loaded.

The CUDA wheel of torchvision cannot load its compiled operators together with a CPU build of torch.
`import torchvision` then fails with "operator torchvision::nms does not exist". torchmetrics,
lightning and timm import torchvision, so importing them fails too. The models, data sets and
transforms of torchvision do not use the compiled operators. This module declares the schemas of the
missing operators. The import then succeeds, and only a call of such an operator fails.
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
    """Import torchvision, and declare the compiled operators of torchvision if they are missing.

    The function does nothing if torchvision is not installed.

    Returns:
        True if this call declared the operators, otherwise False.
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
        _libraries.append(library)  # Deleting the object removes the operators.
        importlib.import_module("torchvision")
        return True
    return False
