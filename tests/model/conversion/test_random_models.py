"""Converts random models, and checks that `convert` keeps its promises for each of them.

The variable HINGED_RANDOM_MODELS sets the number of models; the default is small. The variable
HINGED_FIRST_MODEL sets the first seed.
"""

import copy
import dataclasses
import importlib.util
import linecache
import os
import pickle
import re
import sys
import warnings
from collections import Counter
from types import ModuleType
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

import hinged
from hinged import PiecewiseLinear, errors
from tests.model.conversion.random_models import write_model

COUNT = int(os.environ.get("HINGED_RANDOM_MODELS", "30"))
FIRST = int(os.environ.get("HINGED_FIRST_MODEL", "0"))
BLOCK = 20
CLASSES = {
    "relu": "ReLU",
    "relu6": "Hardtanh",  # `nn.ReLU6` calls `F.hardtanh`.
    "leaky_relu": "LeakyReLU",
    "hardtanh": "Hardtanh",
    "prelu": "PReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "elu": "ELU",
    "softplus": "Softplus",
    "hardswish": "Hardswish",
    "mish": "Mish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "hardshrink": "Hardshrink",
    "threshold": "Threshold",
    "rrelu": "RReLU",
}
"""The activation functions in the sources of random models, with the classes of their modules."""


class CountActivations(TorchFunctionMode):
    """Counts the calls of activation functions, by the class of the activation."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        name = name if name in CLASSES else name.removesuffix("_")
        if name in CLASSES:
            self.counts[CLASSES[name]] += 1
        return func(*args, **(kwargs or {}))


@dataclasses.dataclass
class Run:
    """What one forward pass did.

    Attributes:
        outputs: the tensors in the output.
        activations: how often each activation was applied, by the class of its module.
        curves: the layers of curves that were called, once for each call.
    """

    outputs: list[Tensor]
    activations: Counter
    curves: list[nn.Module]


def run(model, x, training):
    """Run a model on a copy of `x`, and restore the buffers and the mode that it had."""
    curves, mode = [], {module: module.training for module in model.modules()}
    buffers = [buffer.clone() for buffer in model.buffers()]
    forward = PiecewiseLinear.forward

    def recorded(layer, input):
        curves.append(layer)
        return forward(layer, input)

    torch.manual_seed(1)
    patch = mock.patch.object(PiecewiseLinear, "forward", recorded)
    with patch, torch.no_grad(), CountActivations() as counter:
        outputs = tree_leaves(model.train(training)(x.clone()))
    for module, before in mode.items():
        module.training = before
    for buffer, before in zip(model.buffers(), buffers, strict=True):
        buffer.copy_(before)
    return Run(outputs, counter.counts, curves)


def runs(model, batches):
    return [run(model, x, training) for x in batches for training in (False, True)]


def layers(model):
    return [module for module in model.modules() if isinstance(module, PiecewiseLinear)]


def assert_equal(found, expected, tolerance=0.0):
    """Compare the outputs of several runs. The tolerance is relative to the largest output."""
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one.outputs, other.outputs, strict=True):
            bound = tolerance * max(1.0, float(b.abs().max()))
            assert a.dtype == b.dtype and a.shape == b.shape
            assert float((a - b).abs().max()) <= bound


class Snapshot:
    """Everything of a model that `revert` restores."""

    def __init__(self, model):
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.types = {name: type(module) for name, module in self.modules.items()}
        self.attributes = {name: _attributes(module) for name, module in self.modules.items()}
        self.state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def assert_restored(self, model):
        now = Snapshot(model)
        assert now.types == self.types and now.attributes == self.attributes
        assert all(now.modules[name] is module for name, module in self.modules.items())
        assert list(now.state) == list(self.state)
        assert all(torch.equal(now.state[name], self.state[name]) for name in self.state)


def _attributes(module):
    """Return the attributes of a module, with copies of its dictionaries, which may change."""
    return {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in vars(module).items()
    }


def check_sites(model, x, before, after, is_exact):
    """Check that every activation that a converted model still applies is listed with a reason.

    If the curves are not exact, the converted model may take another branch of an `if`, which
    `convert` has not seen. Activations that only this branch applies are not checked.
    """
    listed = Counter()
    all_sites = hinged.sites(model) if layers(model) else hinged.sites(model, x)
    for site in (*(all_sites.skipped if layers(model) else all_sites), *all_sites.unreached):
        text = f"{site.activation} {site.skipped}".replace("ReLU6", "Hardtanh")
        first, *others = re.findall(r"\w+(?=\()", text)  # The reason may name other activations.
        for name in {first, *others}:
            listed[name] += site.calls
    unknown = sum(count for name, count in listed.items() if name not in CLASSES.values())
    for old, new in zip(before, after, strict=True):
        total = old.activations.total()
        assert new.activations.total() + len(new.curves) == total, "activations were lost"
        left = new.activations if is_exact else new.activations & old.activations
        hidden = {name: n - listed[name] for name, n in left.items() if n > listed[name]}
        assert sum(hidden.values()) <= unknown, f"not listed: {hidden}"


def check_training(model, batches):
    """Check that one step of an optimizer, with the gradients of all batches, moves every curve.

    A curve may stay in two cases: its module does not run in training, as an expert that gets no
    tokens; or all gradients at its outputs are 0, as before units that are dead for this batch.
    If no activation at all gets gradients, `convert` cannot know what training reaches. The same
    holds if the outputs need no gradients.
    """
    model.train()
    executed, zero = set(), {}
    forward = PiecewiseLinear.forward

    def recorded(layer, input):
        y = forward(layer, input)
        if y.requires_grad:
            y.register_hook(lambda g: zero.update({layer: zero.get(layer, True) and not g.any()}))
        return y

    optimizer = torch.optim.Adam(hinged.param_groups(model, lr=0.01))
    starts = [layer.values.detach().clone() for layer in layers(model)]
    handle = register_module_forward_pre_hook(lambda module, _: executed.add(module))
    with mock.patch.object(PiecewiseLinear, "forward", recorded):
        found = [model(x.clone()) for x in batches]
        outputs = [each for each in tree_leaves(found) if each.requires_grad]
        handle.remove()
        if not outputs:
            return
        torch.manual_seed(2)
        sum((torch.randn_like(each) * each).sum() for each in outputs).backward()
    optimizer.step()
    names = {module: name for name, module in model.named_modules()}
    still = [
        names[layer]
        for layer, start in zip(layers(model), starts, strict=True)
        if torch.equal(layer.values, start)
        and owner_of(model, names[layer]) in executed
        and not zero.get(layer, False)
    ]
    assert not still or not zero, f"not trained: {still}"


def owner_of(model, name):
    """Return the module whose method calls the layer of curves with this name."""
    parts = name.split(".")
    depth = parts.index("hinged") if "hinged" in parts else len(parts) - 1
    return model.get_submodule(".".join(parts[:depth]))


def check_copies(model, twin, x):
    """Check copies of a converted model, and its state dict.

    Args:
        model: the converted model.
        twin: a model from the same source, converted alike.
        x: a batch.
    """
    expected, copied = [run(model, x, False)], copy.deepcopy(model)
    assert_equal([run(copied, x, False)], expected)
    for layer in layers(copied):
        nn.init.normal_(layer.values)
    assert_equal([run(model, x, False)], expected)
    twin.load_state_dict(copied.state_dict())
    assert_equal([run(twin, x, False)], [run(copied, x, False)])


def is_picklable(model):
    try:
        return bool(pickle.dumps(model))
    except (AttributeError, RuntimeError, TypeError, pickle.PicklingError):
        return False


def load(source, path):
    """Return the module of a source; `path` is its file, or None if it has no file."""
    name = f"random_model_{os.getpid()}"
    if path is None:
        module = ModuleType(name)
        exec(compile(source, "<random model>", "exec"), vars(module))
    else:
        path.write_text(source)
        linecache.checkcache(str(path))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def build(module, seed):
    torch.manual_seed(seed)
    return module.Network().train(seed % 2 == 0)


def convert(model, x, is_exact):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", errors.NoEffectWarning)
        if not is_exact:
            warnings.simplefilter("ignore", errors.ChangedOutputsWarning)
        return hinged.convert(model, x)


def check(seed, random_model, path):
    """Check all promises of `convert` for one random model.

    A module can have a width that only another batch shows: in a branch that this batch takes. The
    converted model then raises an error, and must be converted with both batches.
    """
    module, is_exact = load(random_model.source, path), random_model.is_exact
    model = build(module, seed)
    batch, other = torch.randn(random_model.shape), torch.randn(random_model.shape)[:2]
    snapshot, before = Snapshot(model), runs(model, [batch, other])
    can_pickle = is_picklable(model)
    data = [batch]
    converted = convert(model, data, is_exact)
    if converted is not model:  # A model without layers can be one activation as a whole.
        assert isinstance(converted, PiecewiseLinear) and not list(model.parameters())
        assert hinged.revert(converted) is model
        return
    try:
        after = runs(model, [batch, other])
    except errors.ArgumentError as error:
        if "channels on axis dim" not in str(error):
            raise
        hinged.revert(model).train(seed % 2 == 0)
        if not is_exact:  # Inexact curves have led the model into a branch of another width.
            snapshot.assert_restored(model)
            return
        data = [batch, other]
        convert(model, data, is_exact)
        after = runs(model, data)
    if is_exact:
        assert_equal(after, before, tolerance=1e-4)
    check_sites(model, batch, before[:2], after[:2], is_exact)
    if layers(model):
        if not random_model.is_bound:
            check_copies(model, convert(build(module, seed), data, is_exact), batch)
        if can_pickle:
            assert_equal(runs(pickle.loads(pickle.dumps(model)), [batch]), after[:2])
        check_training(convert(build(module, seed), data, is_exact), data)
        hinged.revert(model)
    snapshot.assert_restored(model)
    assert_equal(runs(model, [batch, other]), before)


def check_seed(seed, folder):
    """Check one model. The text of a failure contains the seed and the source."""
    random_model = write_model(seed)
    path = None if seed % 8 == 7 else folder / f"random_model_{seed}.py"
    try:
        check(seed, random_model, path)
    except Exception as error:
        text = f"{type(error).__name__}: {error}\nseed {seed}\n{random_model.source}"
        raise AssertionError(text) from error
    finally:
        if path is not None:
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, BLOCK))
def test_random_models_are_converted_trained_and_reverted(first, tmp_path):
    for seed in range(first, min(first + BLOCK, FIRST + COUNT)):
        check_seed(seed, tmp_path)
