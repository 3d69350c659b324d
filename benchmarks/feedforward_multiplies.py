"""The multiplications of one training iteration of each method of `benchmarks/feedforward.py`.

The laboratory that introduced these methods measures their cost like this. The count depends on no
machine and on no library. Here are the rules of the count:

- Every product of a formula is computed once, and only one half of a symmetric matrix.
- Every system of linear equations is solved by orthogonal least squares, as in the laboratory. The
  code of hinged solves some of them in other ways.
- A step is taken with its first length, without halvings.
- An activation counts as one multiplication, and so does its slope.
- Divisions, square roots, additions, and products with constants such as `2 / P` do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Sizes(NamedTuple):
    """The sizes of a training.

    Attributes:
        rows: number of training samples, `P`.
        features: number of inputs, `N`.
        hidden: number of hidden units, `H`.
        outputs: number of outputs, `M`.
        hinges: number of hinges of each trained curve, `K`; 0 if curves are not trained.
    """

    rows: int
    features: int
    hidden: int
    outputs: int
    hinges: int = 0

    @property
    def inputs(self) -> int:
        """The number of weights of a hidden unit, `N + 1`."""
        return self.features + 1

    @property
    def basis(self) -> int:
        """The number of functions that an output is linear in, `U = N + H + 1`."""
        return self.features + self.hidden + 1

    @property
    def weights(self) -> int:
        """The number of all weights, `Q = H (N + 1) + M U`."""
        return self.hidden * self.inputs + self.outputs * self.basis


def orthogonal_least_squares(unknowns: int, right_sides: int) -> int:
    """Return `U (U + 1) (M + (2 U + 1) / 6 + 3 / 2)` for `U` unknowns and `M` right sides.

    This is the laboratory's own formula. It is the sum of `k^2 + 3 k + 2 k M` over the functions
    `k = 1 ... U`. The Schmidt procedure needs a little less for a function: `k (k - 1) / 2` for the
    products with the functions before it, as many to subtract these, `2 k - 1` for its length,
    and `2 k M` for the coefficients. That is `k^2 + k - 1 + 2 k M`.

    Source: Challagundla (thesis, University of Texas at Arlington, 2015).

    >>> orthogonal_least_squares(unknowns=1, right_sides=1)
    6
    """
    return unknowns * (unknowns + 1) * (6 * right_sides + 2 * unknowns + 10) // 6


def nets(s: Sizes) -> int:
    """Return `P H (N + 1) + P H`: the pre-activations, and the activation of each."""
    return s.rows * s.hidden * (s.inputs + 1)


def outputs(s: Sizes) -> int:
    """Return `P M U`: the outputs of the network from the outputs of the hidden units."""
    return s.rows * s.outputs * s.basis


def error(s: Sizes) -> int:
    """Return `P M`: the squares of the errors."""
    return s.rows * s.outputs


def hidden_gradient(s: Sizes) -> int:
    """Return `P H M + 2 P H + P H (N + 1)`.

    The terms are: the errors propagated back to the outputs of the hidden units, the slopes and
    their products with these, and the gradient of the hidden weights.
    """
    return s.rows * s.hidden * (s.outputs + 2 + s.inputs)


def output_gradient(s: Sizes) -> int:
    """Return `P M U`: the gradient of the output weights."""
    return s.rows * s.outputs * s.basis


def hidden_change(s: Sizes) -> int:
    """Return `P H (N + 1) + P H`: the derivatives of the hidden units along a direction."""
    return s.rows * s.hidden * (s.inputs + 1)


def step_length(s: Sizes) -> int:
    """Return `2 P M`: the optimal length from the errors and the derivatives of the outputs."""
    return 2 * s.rows * s.outputs


def output_weights(s: Sizes) -> int:
    """Return `P U (U + 1) / 2 + P M U` and the least squares: new output weights (OWO).

    The terms are the correlations of the functions with each other and with the targets.
    """
    correlations = s.rows * (s.basis * (s.basis + 1) // 2 + s.outputs * s.basis)
    return correlations + orthogonal_least_squares(s.basis, s.outputs)


def learning_factors(s: Sizes) -> int:
    """Return `(P + M + 1) H (H + 1) / 2 + P H` and the least squares: the `H` lengths of MOLF.

    The terms of the Hessian `(U^T U) * (W^T W)` are the products of the changes, those of the
    weights, and the products of both. The gradient needs `P H`.
    """
    hessian = (s.rows + s.outputs + 1) * (s.hidden * (s.hidden + 1) // 2)
    return hessian + s.rows * s.hidden + orthogonal_least_squares(s.hidden, 1)


def curve_step(s: Sizes) -> int:
    """Return `P H (M + 3) + P H (M + 2) + 2 P M + H K`: a step of the trained curves.

    The terms are: the errors propagated back, the place of each pre-activation between two hinges,
    and its products for both hinges; the changes of the hidden units and of the outputs along the
    gradient; the length; the step.
    """
    gradient = s.rows * s.hidden * (s.outputs + 3)
    change = s.rows * s.hidden * (s.outputs + 2)
    return gradient + change + step_length(s) + s.hidden * s.hinges


def normal_equations(s: Sizes) -> int:
    """Return the multiplications of `J^T J` for all `Q` weights of Levenberg and Marquardt.

    Let `V = H (N + 1)`. The products of slopes and inputs need `P V`, those of two of them
    `P V (V + 1) / 2`, those with the basis functions `P V U`, and those of two basis functions
    `P U (U + 1) / 2`. The output weights enter by `M H (H + 1) / 2 + V (V + 1) / 2 + M V U`.
    """
    hidden = s.hidden * s.inputs
    pairs = hidden * (hidden + 1) // 2
    sums = s.rows * (hidden + pairs + hidden * s.basis + s.basis * (s.basis + 1) // 2)
    weights = s.outputs * (s.hidden * (s.hidden + 1) // 2 + hidden * s.basis) + pairs
    return sums + weights


def owo_bp(s: Sizes) -> int:
    """Return the multiplications of an iteration of OWO-BP.

    The terms are: the gradient; its optimal length, for which the derivatives of the outputs need
    `P H M`; the step; the error after it; and the output weights with their outputs.
    """
    length = hidden_change(s) + s.rows * s.hidden * s.outputs + step_length(s)
    step = s.hidden * s.inputs
    return hidden_gradient(s) + length + step + _after_step(s) + _solve_output_weights(s)


def owo_molf(s: Sizes) -> int:
    """Return the multiplications of an iteration of OWO-MOLF, and of AdAct with trained curves.

    The terms are: the gradient; its whitening, a system of `N + 1` equations with `H` right sides;
    the lengths; the step; the error after it; and the output weights with their outputs. The
    correlations of the inputs are the same in all iterations, so they do not count. AdAct adds the
    step of the curves, the new activations, and the output weights again.
    """
    whitening = orthogonal_least_squares(s.inputs, s.hidden)
    direction = hidden_gradient(s) + whitening + hidden_change(s)
    step = s.hidden * s.inputs
    before = direction + learning_factors(s) + step + _after_step(s) + _solve_output_weights(s)
    if not s.hinges:
        return before
    activations = s.rows * s.hidden
    return before + curve_step(s) + activations + _solve_output_weights(s)


def conjugate_gradient(s: Sizes) -> int:
    """Return the multiplications of an iteration of conjugate gradients.

    The terms are: both gradients; the factor and the direction of Fletcher and Reeves, `2 Q`; the
    derivatives of the outputs, `P H M + P M U`; the length; the step; the error after it.
    """
    gradients = hidden_gradient(s) + output_gradient(s)
    change = hidden_change(s) + s.rows * s.outputs * (s.hidden + s.basis)
    return gradients + change + step_length(s) + 3 * s.weights + _after_step(s)


def levenberg_marquardt(s: Sizes) -> int:
    """Return the multiplications of an iteration of the Levenberg-Marquardt method.

    The terms are: both gradients; `J^T J`; a system of `Q` equations, solved once; the error after
    the step.
    """
    gradients = hidden_gradient(s) + output_gradient(s)
    solution = orthogonal_least_squares(s.weights, 1)
    return gradients + normal_equations(s) + solution + _after_step(s)


def _after_step(s: Sizes) -> int:
    """The pre-activations, outputs and errors after a step, which the next iteration uses again."""
    return nets(s) + outputs(s) + error(s)


def _solve_output_weights(s: Sizes) -> int:
    return output_weights(s) + outputs(s)


ITERATIONS: dict[str, Callable[[Sizes], int]] = {
    "cg": conjugate_gradient,
    "lm": levenberg_marquardt,
    "owo-bp": owo_bp,
    "owo-molf": owo_molf,
}
"""The multiplications of an iteration, by the name of the method in `hinged.optim`."""
