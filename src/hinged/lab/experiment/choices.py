"""The names that settings accept, each with its meaning, for the help of the command line.

This module does not import torch, so that the command line starts quickly. The functions behind the
names are in `hinged.lab.data`, `hinged.lab.networks`, `hinged.curve` and `hinged.optim`.
"""

from __future__ import annotations

DATA_SETS = {
    "digits": "images of digits, 8 x 8, 10 classes: 897 + 900 (scikit-learn)",
    "mnist": "images of digits, 28 x 28, 10 classes: 60,000 + 10,000",
    "fashion-mnist": "images of clothes, 28 x 28, 10 classes: 60,000 + 10,000",
    "cifar10": "photographs, 32 x 32, 10 classes: 50,000 + 10,000",
    "cifar100": "photographs, 32 x 32, 100 classes: 50,000 + 10,000",
    "cifar10-jpeg": "CIFAR-10, encoded again as JPEG of quality 75",
    "cifar10-exact-subset": "a part of CIFAR-10 with unchanged pixels: 5,085 + 1,017",
    "svhn": "house numbers, 32 x 32, 10 classes: 73,257 + 26,032",
    "tiny-imagenet": "photographs, 64 x 64, 200 classes: 100,000 + 10,000",
    "tiny-imagenet-50": "50 classes of Tiny ImageNet: 25,000 + 2,500",
    "tiny-imagenet-20": "20 other classes of Tiny ImageNet: 10,000 + 1,000",
    "bccd": "photographs of blood cells with boxes, for detectors: 292 + 72",
    "shapes": "drawn discs and squares with boxes, for detectors: 384 + 128",
    "breast_cancer": "table, 2 classes, 569 rows (scikit-learn)",
    "iris": "table, 3 classes, 150 rows (scikit-learn)",
    "wine": "table, 3 classes, 178 rows (scikit-learn)",
    "diabetes": "regression table, 442 rows (scikit-learn)",
    "california_housing": "regression table, 20,640 rows",
    "concrete": "regression table, 1,030 rows (UCI)",
    "energy": "regression table, 768 rows (UCI)",
    "kin8nm": "regression table, 8,192 rows (UCI)",
    "naval": "regression table, 11,934 rows (UCI)",
    "power_plant": "regression table, 9,568 rows (UCI)",
    "protein": "regression table, 45,730 rows (UCI)",
    "wine_red": "regression table, 1,599 rows (UCI)",
    "wine_white": "regression table, 4,898 rows (UCI)",
    "yacht": "regression table, 308 rows (UCI)",
    "oh7": "regression table, 10,453 rows, 3 targets (UTA)",
    "twod": "regression table, 1,768 rows, 7 targets (UTA)",
    "sine": "sin(x), a function to approximate",
    "chirp": "sin(2 pi x (1 + 3 x)), a function to approximate",
    "rosenbrock": "Rosenbrock's function of two inputs, to approximate",
    "franke": "Franke's function of two inputs, to approximate",
}
"""Names of the setting `data`. Two numbers are the numbers of training and test samples."""

NETWORKS = {
    "cnn": "CNN of `depth` VGG blocks; the first block has `width` filters",
    "mlp": "MLP with `depth` hidden layers of `width` units",
    "bypass-mlp": "MLP with one hidden layer and a linear path past it, for tables",
    "detector": "CNN that predicts boxes, for data sets with boxes",
    "residual-detector": "the same with residual blocks",
    "mobilenet_v2": "MobileNetV2 of torchvision",
    "resnet18": "ResNet18 of torchvision, with a smaller stem for small images",
    "resnet20": "ResNet20 for images of 32 x 32",
    "squeezenet1_0": "SqueezeNet 1.0 of torchvision",
    "vgg11": "VGG11 of torchvision, with a smaller classifier for small images",
    "vgg11_bn": "VGG11 with batch normalisation",
}
"""Names of the setting `network.kind`."""

_FUNCTIONS = {
    "celu": "CELU",
    "elu": "ELU",
    "gelu": "GELU",
    "hardsigmoid": "piecewise-linear sigmoid",
    "hardswish": "piecewise-quadratic SiLU",
    "hardtanh": "the input, limited to -1 and 1",
    "leaky_relu": "leaky ReLU with slope 0.01",
    "logsigmoid": "logarithm of the sigmoid",
    "mish": "Mish",
    "relu": "ReLU",
    "relu6": "ReLU, limited to 6",
    "selu": "SELU",
    "sigmoid": "sigmoid",
    "silu": "SiLU (swish)",
    "softplus": "softplus",
    "softshrink": "soft shrinkage: 0 between -0.5 and 0.5",
    "softsign": "x / (1 + |x|)",
    "tanh": "tanh",
    "tanhshrink": "x - tanh(x)",
}

ACTIVATIONS = {
    "hinged": "trainable piecewise-linear curves",
    "prelu": "PReLU: one trained slope per channel",
    "apl": "adaptive piecewise-linear units (Agostinelli et al.)",
    "curvature_tuning": "smooth ReLUs with two trained numbers per channel (Hu et al.)",
    "original": "the activations that the network already has",
    "hardshrink": "hard shrinkage: 0 between -0.5 and 0.5",
    **_FUNCTIONS,
}
"""Names of the settings `activations` and `baseline`."""

START_FUNCTIONS = {
    "same": "each curve starts as the activation that it replaces",
    "identity": "the input",
    "abs": "absolute value",
    **_FUNCTIONS,
}
"""Names of the setting `curves.init`."""

TAILS = {
    "linear": "the outermost pieces go on",
    "constant": "slope 0",
    "free": "slopes that are trained",
}
"""Names of the setting `curves.tails`."""

OPTIMIZERS = {
    "adamw": "AdamW",
    "sgd": "SGD with Nesterov momentum 0.9",
    "cg": "conjugate gradients, for bypass-mlp",
    "lm": "Levenberg-Marquardt, for bypass-mlp",
    "owo-bp": "output weight optimisation with gradient steps, for bypass-mlp",
    "owo-molf": "the same with optimal learning factors, for bypass-mlp",
}
"""Names of the setting `training.optimizer`."""

AUGMENTATIONS = {
    "crop": "moves the image by up to an eighth of its height",
    "flip": "mirrors the image with probability 1/2",
    "cutout": "covers a square with grey",
}
"""Names of the setting `training.augment`."""
