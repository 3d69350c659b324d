"""Converts one model of every common kind, and checks it before, after and in a training step.

Usage: python benchmarks/zoo.py [RECORD.json] [NAME ...]

All models have small configurations and random weights, so nothing is downloaded. With names, only
these models are checked. A model whose package is missing is recorded as missing.
"""

from __future__ import annotations

import copy
import functools
import gc
import io
import json
import pickle
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from result_files import record_heading, write_record
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from zoo_packages import OTHERS, TRANSFORMERS
from zoo_torch import DETECTION, OWN, VISION, ZooModel, provide_nms

import hinged

MODELS = [*OWN, *VISION, *DETECTION, *TRANSFORMERS, *OTHERS]
PASSED = "yes"
MORE_HINGES = 33
Check = Callable[[], str]


def build(zoo_model: ZooModel) -> tuple[nn.Module, Any]:
    """Return a model in evaluation mode, as after `from_pretrained`, and a batch."""
    torch.manual_seed(0)
    model, batch = zoo_model.build(), zoo_model.batch()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # Outputs in training mode can then be compared.
    measure_batch_norm(zoo_model, model, batch)
    return model.eval(), batch


def measure_batch_norm(zoo_model: ZooModel, model: nn.Module, batch: Any) -> None:
    """Set the statistics of all batch normalisations to those of a batch, as after a training."""
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            zoo_model.call(model.train(), copy.deepcopy(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def convert(zoo_model: ZooModel) -> tuple[nn.Module, Any]:
    """Return a converted model and a batch."""
    model, batch = build(zoo_model)
    return hinged.convert(model, [batch], call=zoo_model.call, **zoo_model.settings), batch


def outputs(zoo_model: ZooModel, model: nn.Module, batch: Any) -> list[Tensor]:
    """Return the tensors of real numbers in the output, and leave the model unchanged."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    torch.manual_seed(1)
    with torch.no_grad():
        model.train(zoo_model.compared_in_training)
        found = real_tensors(zoo_model.call(model, copy.deepcopy(batch)))
        model.eval()
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])
    return found


def real_tensors(output: Any) -> list[Tensor]:
    """Return all tensors of floating-point numbers in an output."""
    leaves = tree_leaves(dict(output) if hasattr(output, "keys") else output)
    return [each for each in leaves if isinstance(each, Tensor) and each.is_floating_point()]


def relative_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference of two outputs, relative to the largest number of a tensor."""
    assert [each.shape for each in found] == [each.shape for each in expected]
    return max(
        float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1e-30))
        for a, b in zip(found, expected, strict=True)
        if b.numel()
    )


def curve_layers(model: nn.Module) -> dict[str, hinged.PiecewiseLinear]:
    """Return all layers of curves of a model, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, hinged.PiecewiseLinear)
    }


def training_step(zoo_model: ZooModel, dtype: torch.dtype) -> str:
    """Take a step of AdamW, and return whether it moved all curves that get gradients.

    Some outputs of a detector get none, because no object of the batch has their size.

    In bfloat16, the weights and the inputs are converted. If the original model does not run then,
    it is trained with autocast.
    """
    model, batch = convert(zoo_model)
    autocast = {"device_type": "cpu", "dtype": dtype, "enabled": False}
    if dtype == torch.bfloat16:
        original, _ = build(zoo_model)
        if runs_in(zoo_model, original.to(dtype), cast(batch, dtype)):
            model, batch = model.to(dtype), cast(batch, dtype)
        else:
            autocast["enabled"] = True
    else:
        model, batch = model.to(dtype), cast(batch, dtype)
    # The rate of the curves is high, so that every step is larger than a rounding in bfloat16.
    groups = hinged.param_groups(model.train(), lr=0.01, curve_lr=0.5)
    optimizer = torch.optim.AdamW(groups)
    starts = {name: layer.values.detach().clone() for name, layer in curve_layers(model).items()}
    reached: set[str] = set()
    for name, layer in curve_layers(model).items():
        layer.register_forward_hook(functools.partial(note_gradients, name=name, reached=reached))
    with torch.autocast(**autocast):
        found = real_tensors(zoo_model.call(model, batch))
    torch.manual_seed(2)
    losses = [(torch.randn_like(each) * each).sum() for each in found if each.requires_grad]
    sum(losses).backward()  # type: ignore[union-attr]
    optimizer.step()
    layers = curve_layers(model)
    moved = {name for name in layers if not torch.equal(layers[name].values, starts[name])}
    assert all(layer.values.isfinite().all() for layer in layers.values()), "not finite"
    still = sorted(reached - moved)
    if still:
        return f"{len(still)} not moved: {', '.join(still[:3])}"
    remarks = ["autocast"] if autocast["enabled"] else []
    if len(moved) < len(layers):
        remarks.append(f"{len(layers) - len(moved)} without gradients")
    return f"{PASSED} ({', '.join(remarks)})" if remarks else PASSED


def note_gradients(
    _layer: nn.Module, _args: Any, y: Tensor, *, name: str, reached: set[str]
) -> None:
    """Add the name of a layer to `reached` if a gradient at its output is not 0."""
    if y.requires_grad:
        y.register_hook(lambda gradient: reached.add(name) if gradient.any() else None)


def runs_in(zoo_model: ZooModel, model: nn.Module, batch: Any) -> bool:
    """Return whether the original model runs with a batch of another dtype."""
    try:
        zoo_model.call(model.train(), batch)
    except (RuntimeError, TypeError, ValueError):
        return False
    return True


def cast(batch: Any, dtype: torch.dtype) -> Any:
    """Return a batch whose tensors of real numbers have another dtype."""
    return tree_map(
        lambda x: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x, batch
    )


def reverts(zoo_model: ZooModel) -> str:
    """Return whether `revert` restores the outputs, the state and the classes of all modules."""
    original, batch = build(zoo_model)
    model, _ = convert(zoo_model)
    hinged.revert(model)
    # Parametrisations of torch make a new class for every module.
    types = [type(module).__qualname__ for module in original.modules()]
    found = [type(module).__qualname__ for module in model.modules()]
    assert found == types, "classes of modules differ"
    state, expected = model.state_dict(), original.state_dict()
    assert list(state) == list(expected), "names in the state differ"
    same = all(_same(state[name], tensor) for name, tensor in expected.items())
    assert same, "the state differs"
    pairs = zip(outputs(zoo_model, model, batch), outputs(zoo_model, original, batch), strict=True)
    assert all(_same(*pair) for pair in pairs), "the outputs differ"
    return PASSED


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor):
        return bool(one == other)
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def copies(zoo_model: ZooModel) -> str:
    """Return whether a deep copy has the same outputs, and curves of its own."""
    model, batch = convert(zoo_model)
    expected, copied = outputs(zoo_model, model, batch), copy.deepcopy(model)
    assert all(map(_same, outputs(zoo_model, copied, batch), expected)), "the outputs differ"
    change_curves(copied)
    assert all(map(_same, outputs(zoo_model, model, batch), expected)), "curves are shared"
    return PASSED


def pickles(zoo_model: ZooModel) -> str:
    """Return whether a pickled model has the same outputs, if the original can be pickled."""
    original, batch = build(zoo_model)
    try:
        pickle.dumps(original)
    except (AttributeError, TypeError, RuntimeError, pickle.PicklingError):
        return "nor can the original"
    model, _ = convert(zoo_model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    found = outputs(zoo_model, loaded, batch), outputs(zoo_model, model, batch)
    assert all(map(_same, *found)), "the outputs differ"
    return PASSED


def loads(zoo_model: ZooModel) -> str:
    """Return whether the state of a trained model can be loaded into a new converted model."""
    model, batch = convert(zoo_model)
    fresh, _ = convert(zoo_model)
    change_curves(model)
    fresh.load_state_dict(model.state_dict())
    found = outputs(zoo_model, fresh, batch), outputs(zoo_model, model, batch)
    assert all(map(_same, *found)), "the outputs differ"
    return PASSED


def compiles(zoo_model: ZooModel) -> str:
    """Return whether the compiled model has the same outputs, without a break of the graph."""
    if not zoo_model.compiled:
        return "not tried"
    model, batch = convert(zoo_model)
    expected = outputs(zoo_model, model, batch)
    torch._dynamo.reset()
    with torch.no_grad(), torch.compiler.set_stance("default"):
        found = real_tensors(zoo_model.call(torch.compile(model, fullgraph=True), batch))
    difference = relative_difference(found, expected)
    assert difference < 1e-4, f"the outputs differ by {difference:.1e}"
    return PASSED


def change_curves(model: nn.Module) -> None:
    """Change the values of all curves at random."""
    for layer in curve_layers(model).values():
        nn.init.normal_(layer.values, std=0.5)


CHECKS: dict[str, Callable[[ZooModel], str]] = {
    "float32 step": lambda model: training_step(model, torch.float32),
    "bfloat16 step": lambda model: training_step(model, torch.bfloat16),
    "revert": reverts,
    "deepcopy": copies,
    "pickle": pickles,
    "state dict": loads,
    "compile": compiles,
}


def examine(zoo_model: ZooModel) -> dict[str, Any]:
    """Return the facts about one model for the record."""
    start = time.perf_counter()
    facts = {"name": zoo_model.name, "package": zoo_model.package}
    if find_spec(zoo_model.package) is None:
        return facts | {"missing": True}
    facts |= {"problem": _problem_of(lambda: facts.update(conversion(zoo_model)) or PASSED)}
    checks = {}
    if facts["problem"] == PASSED and facts["converted"]:
        checks = {name: _problem_of(lambda c=check: c(zoo_model)) for name, check in CHECKS.items()}
    gc.collect()
    return facts | {"checks": checks, "seconds": round(time.perf_counter() - start, 1)}


def conversion(zoo_model: ZooModel) -> dict[str, Any]:
    """Convert a model, and return its activations and the difference of its outputs."""
    model, batch = build(zoo_model)
    before = outputs(zoo_model, model, batch)
    hinged.convert(model, [batch], call=zoo_model.call, **zoo_model.settings)
    converted = bool(curve_layers(model))
    sites = hinged.sites(model) if converted else hinged.sites(model, [batch], call=zoo_model.call)
    listed = sites.converted if converted else ()
    activations = Counter(site.activation.partition("(")[0] for site in listed)
    left = Counter((site.activation.partition("(")[0], site.skipped) for site in sites.skipped)
    return {
        "parameters": sum(p.numel() for p in build(zoo_model)[0].parameters()),
        "converted": len(listed),
        "activations": dict(activations),
        "exact": sum(site.error == 0 for site in listed),
        "curves": sum(layer.channels for layer in curve_layers(model).values()),
        "left": [
            {"activation": activation, "reason": reason, "sites": count}
            for (activation, reason), count in left.items()
        ],
        "difference": relative_difference(outputs(zoo_model, model, batch), before),
        "difference_of_more_hinges": difference_of_more_hinges(zoo_model, before),
        "notes": list(sites.notes),
    }


def difference_of_more_hinges(zoo_model: ZooModel, before: list[Tensor]) -> float:
    """Return the relative difference of the outputs with `MORE_HINGES`, as for the usual number."""
    model, batch = build(zoo_model)
    settings = zoo_model.settings | {"hinges": MORE_HINGES}
    hinged.convert(model, [batch], call=zoo_model.call, **settings)
    return relative_difference(outputs(zoo_model, model, batch), before)


def _problem_of(check: Check) -> str:
    """Return the result of a check, or the error that it raised in one line."""
    try:
        return check()
    except Exception as error:  # Models and packages raise errors of any class.
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def package_versions() -> dict[str, str]:
    """Return the versions of the packages whose models are in the zoo."""
    found = {}
    for package in dict.fromkeys(model.package for model in MODELS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def main() -> None:
    """Check the models, print a line for each, and write the record if a file is given."""
    names = [each for each in sys.argv[1:] if not each.endswith(".json")]
    files = [each for each in sys.argv[1:] if each.endswith(".json")]
    warnings.simplefilter("ignore")
    provide_nms()
    results = []
    for zoo_model in MODELS:
        if not names or zoo_model.name in names:
            with torch.compiler.set_stance("force_eager"):  # Some packages compile functions.
                results.append(examine(zoo_model))
            print(json.dumps(results[-1]), flush=True)
    record = {
        **record_heading(package_versions()),
        "models": results,
    }
    for file in files:
        write_record(Path(file), record)


if __name__ == "__main__":
    main()
