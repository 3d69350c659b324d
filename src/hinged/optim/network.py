"""`MLP`: the network that the methods of `hinged.optim` train."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """A network with one hidden layer, linear outputs, and bypass weights from inputs to outputs.

    The outputs are `y = W_oh f(n) + W_oi x + c` with the pre-activations `n = W x + b`. Here `W_oh`
    are the weights from hidden units to outputs, `W_oi` are the bypass weights, and `b` and `c` are
    biases. The hidden weights `W` are drawn from a standard normal distribution. Call `net_control`
    before the training to give the pre-activations a suitable mean and standard deviation.

    Args:
        inputs: number of input features, `N`.
        hidden: number of hidden units, `H`.
        outputs: number of outputs, `M`.
        activation: the activation `f`, a module that maps the pre-activations `(P, H)` of `P`
            samples elementwise, such as a `hinged.PiecewiseLinear` with `H` channels.
        dtype: dtype of all parameters. The training methods need float64.

    Source: bypass weights and initial weights follow the Image Processing and Neural Networks Lab
    of the University of Texas at Arlington (Challagundla, thesis, 2015).

    >>> network = MLP(8, 27, 7, nn.ReLU())
    >>> network(torch.zeros(5, 8, dtype=torch.float64)).shape
    torch.Size([5, 7])
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: nn.Module,
        *,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.activation = activation
        self.output = nn.Linear(hidden, outputs)
        self.bypass = nn.Linear(inputs, outputs, bias=False)
        nn.init.normal_(self.hidden.weight)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs `(P, M)` for the inputs `x` `(P, N)` of `P` samples."""
        outputs: Tensor = self.output(self.activation(self.hidden(x))) + self.bypass(x)
        return outputs

    @torch.no_grad()
    def add_to_weights(self, hidden: Tensor | None = None, output: Tensor | None = None) -> None:
        """Add a change to the weights in place.

        Args:
            hidden: change of the weights of the `H` hidden units, `(H, N + 1)` with the bias last;
                None for no change.
            output: change of the output weights, `(M, N + H + 1)` in the order inputs, hidden
                units, bias; None for no change.
        """
        if hidden is not None:
            self.hidden.weight.add_(hidden[:, :-1])
            self.hidden.bias.add_(hidden[:, -1])
        if output is not None:
            features = self.bypass.in_features
            self.bypass.weight.add_(output[:, :features])
            self.output.weight.add_(output[:, features:-1])
            self.output.bias.add_(output[:, -1])
