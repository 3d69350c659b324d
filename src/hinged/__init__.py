"""hinged makes a network's activations trainable: piecewise-linear curves with fixed hinges, whose
values are learned by gradient descent, started as exactly the function they replace."""

from importlib.metadata import version

from hinged import curve as curve
from hinged import hub as hub
from hinged import optim as optim
from hinged.curve import Curve as Curve
from hinged.model import History as History
from hinged.model import animate as animate
from hinged.model import calibrate as calibrate
from hinged.model import convert as convert
from hinged.model import curves as curves
from hinged.model import diagnose as diagnose
from hinged.model import fold as fold
from hinged.model import load_curves as load_curves
from hinged.model import plot as plot
from hinged.model import revert as revert
from hinged.model import save_curves as save_curves
from hinged.model import share as share
from hinged.model import simplify as simplify
from hinged.model import sites as sites
from hinged.model import train_only as train_only
from hinged.model import warm_up as warm_up
from hinged.model import watching as watching
from hinged.nn import PiecewiseLinear as PiecewiseLinear
from hinged.nn import constrain as constrain
from hinged.nn import param_groups as param_groups
from hinged.nn import penalty as penalty
from hinged.nn import piecewise_linear as piecewise_linear

__version__ = version("hinged")
