"""Functions on piecewise-linear curves: evaluate, fit, constrain, measure and simplify a `Curve`.

The functions work on tensors and do not need a model.

>>> from hinged import curve
>>> start = curve.fit("gelu", curve.uniform_grid(9)).curve
>>> simple = curve.simplify(start, 0.05)
>>> simple.needed
tensor([5])
"""

from hinged.curve.add_hinges import add_hinges as add_hinges
from hinged.curve.add_hinges import kinks as kinks
from hinged.curve.add_hinges import split_pieces as split_pieces
from hinged.curve.compression.recognise_native import NativeActivation as NativeActivation
from hinged.curve.compression.recognise_native import distances_to_native as distances_to_native
from hinged.curve.compression.recognise_native import recognise_native as recognise_native
from hinged.curve.compression.share_curves import SharedCurves as SharedCurves
from hinged.curve.compression.share_curves import share_curves as share_curves
from hinged.curve.compression.simplify import SimplifiedCurve as SimplifiedCurve
from hinged.curve.compression.simplify import simplify as simplify
from hinged.curve.constraints.constraint import Constraint as Constraint
from hinged.curve.constraints.constraint import satisfies as satisfies
from hinged.curve.constraints.project import project as project
from hinged.curve.curve import TAILS as TAILS
from hinged.curve.curve import Curve as Curve
from hinged.curve.equivalent_forms import Lines as Lines
from hinged.curve.equivalent_forms import ReluSum as ReluSum
from hinged.curve.equivalent_forms import from_lines as from_lines
from hinged.curve.equivalent_forms import from_relus as from_relus
from hinged.curve.equivalent_forms import to_lines as to_lines
from hinged.curve.equivalent_forms import to_relus as to_relus
from hinged.curve.evaluate import evaluate as evaluate
from hinged.curve.evaluate import is_uniform as is_uniform
from hinged.curve.fit_function import Fit as Fit
from hinged.curve.fit_function import fit as fit
from hinged.curve.measures import distance as distance
from hinged.curve.measures import lipschitz as lipschitz
from hinged.curve.measures import squared_distance as squared_distance
from hinged.curve.measures import total_variation as total_variation
from hinged.curve.move_range import move_range as move_range
from hinged.curve.move_range import move_ranges as move_ranges
from hinged.curve.placement.place_hinges import place_hinges as place_hinges
from hinged.curve.placement.refit import Refit as Refit
from hinged.curve.placement.refit import refit as refit
from hinged.curve.placement.uniform_grid import uniform_grid as uniform_grid
from hinged.curve.start_functions import START_FUNCTIONS as START_FUNCTIONS
from hinged.curve.start_functions import StartFunction as StartFunction
from hinged.curve.start_functions import resolve_start as resolve_start
