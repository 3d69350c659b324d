"""The networks that experiments train, and the activations that they compare."""

from hinged._torchvision_operators import declare_missing

declare_missing()  # Before this package imports lightning, torchvision or timm.
