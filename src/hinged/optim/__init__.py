"""Methods that train networks with one hidden layer, and their curves, by optimal step lengths.

>>> import torch
>>> from hinged import PiecewiseLinear, optim
>>> _ = torch.manual_seed(0)
>>> x = torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None]
>>> network = optim.MLP(1, 5, 1, PiecewiseLinear(5))
>>> optim.net_control(network, x)
>>> optim.fit(network, x, x.sin(), epochs=20).error[-1] < 0.01
True
"""

from hinged.optim.conjugate_gradient import conjugate_gradient as conjugate_gradient
from hinged.optim.curve_step import check_activation as check_activation
from hinged.optim.curve_step import curve_step as curve_step
from hinged.optim.curve_step import has_trainable_curves as has_trainable_curves
from hinged.optim.fit import METHODS as METHODS
from hinged.optim.fit import FitResult as FitResult
from hinged.optim.fit import fit as fit
from hinged.optim.levenberg_marquardt import levenberg_marquardt as levenberg_marquardt
from hinged.optim.net_control import net_control as net_control
from hinged.optim.network import MLP as MLP
from hinged.optim.owo import owo as owo
from hinged.optim.owo_bp import owo_bp as owo_bp
from hinged.optim.owo_molf import owo_molf as owo_molf
