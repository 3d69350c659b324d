"""Names of torch functions, grouped by what they do with the tensors that they get."""

from __future__ import annotations

from typing import Any

# The number of axes after the channel axis in the output of each convolution.
CONVOLUTIONS = {f"conv{kind}{rank}d": rank for kind in ("", "_transpose") for rank in (1, 2, 3)}
FEATURES_LAST = {
    "linear",
    "bilinear",
    "embedding",
    "embedding_bag",
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
    *("lstm", "gru", "rnn_tanh", "rnn_relu"),
    *("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
}
MATRIX_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention"}
CHANNELS_SECOND = {"batch_norm", "instance_norm", "group_norm"}
NORMS_OF_LAST_AXES = {"layer_norm", "rms_norm"}
REARRANGING = {
    "permute",
    "transpose",
    "swapaxes",
    "swapdims",
    "movedim",
    "moveaxis",
    "t",
    "T",
    "mT",
    "H",
    "mH",
    "flatten",
    "ravel",
    "reshape",
    "view",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "expand",
    "expand_as",
    "view_as",
    "reshape_as",
    "getitem",
    "select",
    "narrow",
    "index_select",
    "chunk",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
    "roll",
    "flip",
}
"""These only select or reorder numbers of a tensor."""
SLICING = {"getitem", "narrow", "index_select"}
"""These select numbers of a tensor. How many they select is an argument of the call."""
RESIZING = {"cat", "concat", "concatenate", "pixel_shuffle", "pixel_unshuffle", "pad"}
"""These may change the number of channels, but not the channel axis."""

NORMS = CHANNELS_SECOND | NORMS_OF_LAST_AXES
PRODUCTS = {
    *("mul", "multiply", "div", "divide", "true_divide", "truediv", "lerp", "addcmul", "addcdiv"),
    "scaled_dot_product_attention",
}
"""These multiply the tensors that they get with each other."""
LAYERS = {
    *CONVOLUTIONS,
    *(FEATURES_LAST - {"scaled_dot_product_attention"}),
    *NORMS,
    *("addmv", "mv", "einsum", "tensordot", "inner", "conv_tbc", "deform_conv2d"),
}
"""Functions of data and parameters that are layers of a network. Without parameters, they are
products of data, or normalise."""
JOINING = {
    *("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "where", "setitem"),
    *("copy", "masked_fill", "masked_scatter", "scatter", "index_put", "index_copy"),
}
"""These put numbers of several tensors into one tensor, and leave the numbers as they are."""
LOSSES = {
    *("binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div"),
}
"""Losses whose names do not end with `_loss`."""
ELEMENTWISE = {
    *(
        "add",
        "sub",
        "subtract",
        "rsub",
        "mul",
        "multiply",
        "div",
        "divide",
        "true_divide",
        "truediv",
    ),
    *("neg", "negative", "pow", "square", "sqrt", "rsqrt", "reciprocal", "abs", "erf"),
    *("exp", "expm1", "log", "log1p", "clamp", "clip", "clamp_min", "clamp_max"),
    *("minimum", "maximum", "clone", "contiguous", "float", "half", "bfloat16", "double", "to"),
    *("type", "type_as"),
}
"""These compute each element of the output from the elements at the same position."""
REDUCTIONS = {
    *("mean", "sum", "nanmean", "nansum", "amax", "amin", "max", "min", "median", "prod"),
    *("std", "var", "norm", "logsumexp", "any", "all", "argmax", "argmin"),
}
"""These combine the numbers along some axes to one."""
NOT_FOR_NEGATIVES = {"sqrt", "rsqrt", "log", "log2", "log10", "log1p"}
"""These have no value for negative numbers; `log1p` for those below -1."""
SCALING = {
    *("add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide"),
    *("truediv", "mean", "sum", "clone", "contiguous", "float", "double", "to", "type_as"),
    *REARRANGING,
}
"""These multiply numbers by a number, add a number, take means, or put numbers elsewhere."""
DETACHING = {"detach", "data"}
"""Gradients do not flow through these."""
SHAPED_LIKE_ANOTHER = {"expand_as", "view_as", "reshape_as", "type_as", "to"}
"""These use the numbers of their first argument only. Another tensor gives the shape or dtype."""
CONSTANT = {f"{name}_like" for name in ("zeros", "ones", "full", "rand", "randn")} | {
    f"new_{name}" for name in ("zeros", "ones", "full", "tensor")
}
"""These use the shape of a tensor, but not its numbers."""
UNFILLED = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
"""The results of these are filled later, perhaps by code outside of torch."""
METADATA = {
    *("size", "dim", "shape", "dtype", "device", "ndim", "numel", "len", "is_contiguous"),
    *("stride", "layout", "element_size", "itemsize", "nbytes", "requires_grad", "is_nested"),
    *("is_floating_point", "is_complex", "is_cuda", "is_cpu", "is_sparse", "is_quantized"),
    *CONSTANT,
    *UNFILLED,
}
"""These read the shape or the type of a tensor, but not its numbers."""
RANDOM = {
    *("rand", "randint", "randperm", "rand_like", "bernoulli", "uniform", "multinomial", "randn"),
}
"""These draw random numbers. A model can choose by them what it executes."""

_KNOWN = PRODUCTS | ELEMENTWISE | LAYERS


def plain_name(name: str) -> str:
    """Return the name of a function for the name of one of its variants.

    Variants are methods for operators, and functions that write into their first argument.

    >>> [plain_name(name) for name in ("__rmul__", "__imul__", "mul_", "mul", "__getitem__")]
    ['mul', 'mul', 'mul', 'mul', 'getitem']
    """
    if not (name.startswith("__") and name.endswith("__")):
        return name.removesuffix("_")
    operator = name.strip("_")
    is_variant = operator[:1] in ("r", "i") and operator[1:] in _KNOWN
    return operator[1:] if is_variant else operator


def find_reduced_axes(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, ...] | None:
    """Return the axes over which a call of one of `REDUCTIONS` reduces its input.

    The result is None if the call reduces all axes to one number, or compares two tensors.

    >>> find_reduced_axes("mean", (None, (2, 3)), {}), find_reduced_axes("sum", (None,), {"dim": 1})
    ((2, 3), (1,))
    """
    position = 2 if name == "norm" else 1
    given = args[position] if len(args) > position else None
    axes = kwargs.get("dim", kwargs.get("axis", given))
    if isinstance(axes, int):
        return (axes,)
    return tuple(axes) if isinstance(axes, tuple | list) and axes else None
