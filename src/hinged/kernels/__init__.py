"""Storey 2: the numbers of `hinged.curve`, fast."""

from hinged.kernels import operators as _operators  # noqa: F401  (registers them with torch)
from hinged.kernels.dispatch import apply as apply
from hinged.kernels.dispatch import describe as describe
from hinged.kernels.dispatch import names as names
from hinged.kernels.dispatch import use as use
