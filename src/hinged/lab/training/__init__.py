"""The training of one network, with its scores, costs and dead units."""

from hinged._torchvision_operators import declare_missing

declare_missing()  # Before this package imports lightning, torchvision or timm.
