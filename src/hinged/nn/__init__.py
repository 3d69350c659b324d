"""Storey 3: the layer, and what trains it."""

from hinged.nn.constraints import Constrained as Constrained
from hinged.nn.constraints import constrain as constrain
from hinged.nn.constraints import is_constrained as is_constrained
from hinged.nn.groups import param_groups as param_groups
from hinged.nn.layers import curve_layers as curve_layers
from hinged.nn.natives import Abs as Abs
from hinged.nn.natives import Copy as Copy
from hinged.nn.natives import Zero as Zero
from hinged.nn.penalties import penalty as penalty
from hinged.nn.piecewise_linear import PiecewiseLinear as PiecewiseLinear
from hinged.nn.piecewise_linear import piecewise_linear as piecewise_linear
