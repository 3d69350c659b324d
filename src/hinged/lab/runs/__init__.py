"""Training the networks of experiments, in local processes or on a cluster, and saving results."""

from hinged._torchvision_operators import declare_missing

declare_missing()  # Before this package imports lightning, torchvision or timm.
