"""Storey 1: the mathematics of piecewise-linear curves, on tensors alone."""

from hinged.curve.constraint import Constraint as Constraint
from hinged.curve.constraint import satisfied as satisfied
from hinged.curve.curve import TAILS as TAILS
from hinged.curve.curve import Curve as Curve
from hinged.curve.evaluate import evaluate as evaluate
from hinged.curve.evaluate import is_uniform as is_uniform
from hinged.curve.fit import Fit as Fit
from hinged.curve.fit import fit as fit
from hinged.curve.forms import Lines as Lines
from hinged.curve.forms import ReluSum as ReluSum
from hinged.curve.forms import from_lines as from_lines
from hinged.curve.forms import from_relus as from_relus
from hinged.curve.forms import to_lines as to_lines
from hinged.curve.forms import to_relus as to_relus
from hinged.curve.functions import NAMED as NAMED
from hinged.curve.functions import resolve as resolve
from hinged.curve.grid import uniform_grid as uniform_grid
from hinged.curve.measures import distance as distance
from hinged.curve.measures import lipschitz as lipschitz
from hinged.curve.measures import total_variation as total_variation
from hinged.curve.project import project as project
