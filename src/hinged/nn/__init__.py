"""The `PiecewiseLinear` layer, with penalties, constraints and optimizer groups for its curves."""

from hinged.nn.activation_names import register_activation as register_activation
from hinged.nn.constraints import ConstraintReport as ConstraintReport
from hinged.nn.constraints import constrain as constrain
from hinged.nn.constraints import is_constrained as is_constrained
from hinged.nn.find_layers import check_start_curves as check_start_curves
from hinged.nn.find_layers import curve_layers as curve_layers
from hinged.nn.function_modules import Abs as Abs
from hinged.nn.function_modules import Copy as Copy
from hinged.nn.function_modules import Zero as Zero
from hinged.nn.model_argument import check_model as check_model
from hinged.nn.parameter_groups import param_groups as param_groups
from hinged.nn.penalties import penalty as penalty
from hinged.nn.piecewise_function import piecewise_linear as piecewise_linear
from hinged.nn.piecewise_linear import PiecewiseLinear as PiecewiseLinear
from hinged.nn.site import Site as Site
from hinged.nn.site import layer_site as layer_site
