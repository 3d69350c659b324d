"""Fast implementations of `hinged.curve.evaluate`, called kernels, and their selection per call."""

from hinged.kernels import operators as _operators  # noqa: F401  (registers them with torch)
from hinged.kernels.evaluate_curves import evaluate_curves as evaluate_curves
from hinged.kernels.select_kernel import describe_kernel as describe_kernel
from hinged.kernels.select_kernel import kernel_names as kernel_names
from hinged.kernels.select_kernel import use_kernel as use_kernel
