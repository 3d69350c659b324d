"""Writes the source code of random models, which use activations in many ways.

A model consists of up to three classes. The method `forward` of a class is a random sequence of
statements, and each statement applies activations in one of the styles of `activation_styles.py`.
"""

import dataclasses
import random
import textwrap

from tests.model.conversion.activation_styles import EXACT, SMOOTH, STYLES, UNSUITABLE, Activation

HEADER = """\
import functools

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint


def decorator(method):
    @functools.wraps(method)
    def run(*args, **kwargs):
        return method(*args, **kwargs)

    return run


class Positive(nn.Module):
    def forward(self, weight):
        return F.softplus(weight) - 0.5
"""


@dataclasses.dataclass(frozen=True)
class RandomModel:
    """A random model.

    Attributes:
        source: the source code of a file with the class `Network`.
        shape: the shape of a batch.
        is_exact: whether curves reproduce all its activations exactly.
        is_bound: whether a function that it stores refers to the model itself, so that a copy of
            the model would call the original.
        styles: the names of all statements and styles that it uses.
    """

    source: str
    shape: tuple[int, ...]
    is_exact: bool
    is_bound: bool
    styles: tuple[str, ...]


class Writer:
    """Writes the source code of one class, whose `forward` transforms the variable `x`.

    Attributes:
        form: the form of the tensors: "rows" (N, C), "maps" (N, C, H, W) or "tokens" (N, T, C).
        width: the number of channels of `x` after the statements written so far.
        activation: the activation that is written next.
        in_loop_over_layers: whether a loop over layers is being written. Data do not decide which
            of its passes execute an activation, because each execution has a curve of its own.
        globals: source of the file before the class. All classes of a file share it.
        init, forward, body, methods: source of the parts of the class.
    """

    def __init__(self, random, form: str, width: int, activations: list[Activation], globals_):
        self.random, self.form, self.width = random, form, width
        self.activations, self.globals = activations, globals_
        self.activation = activations[0]
        self.init: list[str] = []
        self.forward: list[str] = []
        self.body: list[str] = []
        self.methods: list[str] = []
        self.modules: list[str] = []
        self.styles: list[str] = []
        self.is_bound = False
        self.in_loop_over_layers = False
        self._count = 0

    def choose(self, options):
        return self.random.choice(options)

    def number(self) -> int:
        """Return a number that no name has yet."""
        self._count += 1
        return self._count + 100 * len(self.globals)

    def add(self, name: str, value: str) -> str:
        """Set a new attribute of the module, and return its name."""
        name = f"{name}{self.number()}"
        self.init.append(f"self.{name} = {value}")
        return name

    def add_global(self, name: str, value: str) -> str:
        name = f"{name}{self.number()}"
        self.globals.append(f"{name} = {value}")
        return name

    def add_class(self, body: str, base: str = "nn.Module") -> str:
        name = f"Part{self.number()}"
        self.globals.append(f"class {name}({base}):\n{body}")
        return name

    def new_module(self) -> str:
        """Add a module that computes the activation, and return its name."""
        self.modules.append(self.add("act", self.activation.make()))
        return self.modules[-1]

    def old_module(self) -> str:
        """Return the name of a module with an activation that the class already has, if any."""
        return self.choose(self.modules) if self.modules else self.new_module()

    def fresh(self, x: str) -> str:
        """Return the source of a new tensor, into which an activation can write."""
        return self.choose([f"({x}).clone()", f"(0.5 + {x})"])

    def layer(self, to: int) -> str:
        """Return the source of a layer that changes the width, and change the width."""
        before, self.width = self.width, to
        if self.form == "maps":
            return f"nn.Conv2d({before}, {to}, 3, padding=1)"
        return f"nn.Linear({before}, {to})"

    def norm(self) -> str:
        if self.form == "tokens":
            return f"nn.LayerNorm({self.width})"
        return f"nn.BatchNorm{'2d' if self.form == 'maps' else '1d'}({self.width})"

    def apply(self, x: str) -> str:
        """Return the source of an activation of `x`, in a random style."""
        style, self.activation = self.choose(STYLES), self.choose(self.activations)
        self.styles.append(style.__name__)
        return style(self, x if x.isidentifier() else f"({x})")

    @property
    def dim(self) -> int:
        """The axis of the channels."""
        return -1 if self.form == "tokens" else 1

    def text(self, name: str, result: str, base: str = "nn.Module") -> str:
        """Return the source of the whole class, whose `forward` returns `result`."""
        init = ["def __init__(self):", "    super().__init__()", *_indent(self.init)]
        head = "@decorator\n" if self.choose([True] + 7 * [False]) else ""
        forward = [f"{head}def forward(self, x):", *_indent([*self.forward, f"return {result}"])]
        parts = ["\n".join(each) for each in (self.body, init, forward) if each] + self.methods
        return f"class {name}({base}):\n" + "\n\n".join(map(_indented, parts))


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def _indent(lines: list[str]) -> list[str]:
    return [_indented(line) for line in lines]


def plain(w):
    w.forward.append(f"x = self.{w.add('layer', w.layer(w.random.randint(3, 6)))}(x)")
    w.forward.append(f"x = {w.apply('x')}")


def normalised(w):
    w.forward.append(f"x = self.{w.add('norm', w.norm())}(x)")
    w.forward.append(f"x = {w.apply('x')}")


def residual(w):
    inner = f"self.{w.add('layer', w.layer(w.width))}({w.apply('x')})"
    w.forward.append(f"x = {w.apply(f'x + {inner}')}" if w.choose([0, 1]) else f"x = x + {inner}")


def parenthesised(w):
    w.forward += ["x = (", f"    {w.apply('x')}", f"    + {w.apply('x')}", ")"]


def loop_over_layers(w):
    layers = ", ".join(w.layer(to) for to in w.choose([[w.width] * 3, [4, 5, w.width]]))
    name = w.add("layers", f"nn.ModuleList([{layers}])")
    w.in_loop_over_layers = True
    w.forward += [f"for layer in self.{name}:", "    x = layer(x)", f"    x = {_inline(w, 'x')}"]
    w.in_loop_over_layers = False


def loop_by_index(w):
    layers = ", ".join(w.layer(to) for to in [w.width] * 2)
    name = w.add("layers", f"nn.ModuleList([{layers}])")
    w.in_loop_over_layers = True
    w.forward += ["for i in range(2):", f"    x = {_inline(w, f'self.{name}[i](x)')}"]
    w.in_loop_over_layers = False


def recurrent(w):
    cell = w.add("cell", w.layer(w.width))
    w.forward += ["h = 0.1 * x", "for _ in range(3):"]
    w.forward.append(f"    h = {_inline(w, f'self.{cell}(h) + x')}")
    w.forward.append("x = h")


def while_loop(w):
    w.forward += ["left = 2", "while left:", f"    x = {_inline(w, 'x')} + 0.1 * x"]
    w.forward.append("    left -= 1")


def chunks(w):
    if w.width % 2 == 0:
        w.forward += [f"parts = [{_inline(w, 'part')} for part in x.chunk(2, {w.dim})]"]
        w.forward.append(f"x = torch.cat(parts, {w.dim})")
    else:
        plain(w)


def varying_width(w):
    w.forward += ["parts = []", f"for k in ({w.width}, 2):"]
    w.forward.append(f"    parts.append({_inline(w, f'x.narrow({w.dim}, 0, k)')})")
    w.forward.append(f"x = torch.cat(parts, {w.dim})")
    w.width += 2


def branch(w):
    # The threshold is not 0, because the mean is 0 up to rounding after a norm.
    test = w.choose(["self.training", "x.mean() > 0.01", "x.size(0) > 2", "hasattr(self, 'none')"])
    w.forward += [f"if {test}:", f"    x = {_inline(w, 'x')} + 0.1 * x"]
    w.forward += ["else:", f"    x = {_inline(w, 'x')} - 0.1 * x"]


def guarded(w):
    w.forward += ["try:", f"    x = {_inline(w, 'x')}", "finally:", "    pass"]


def recursion(w):
    name = f"again{w.number()}"
    inner = _inline(w, "x")
    body = f"def {name}(self, x, depth):\n    if depth == 0:\n        return x\n"
    w.methods.append(f"{body}    return 0.1 * x + self.{name}({inner}, depth - 1)")
    w.forward.append(f"x = self.{name}(x, 2)")


def hooked_layer(w):
    name = w.add("layer", w.layer(w.width))
    w.init.append(f"self.{name}.register_forward_hook(lambda m, a, y: {w.activation.call('y')})")
    w.forward.append(f"x = self.{name}(x)")


def parametrised_layer(w):
    name = w.add("layer", w.layer(w.width))
    how = [
        f"parametrizations.weight_norm(self.{name})",
        f"parametrize.register_parametrization(self.{name}, 'weight', Positive())",
    ]
    w.init.append(w.choose(how))
    w.forward.append(f"x = {w.apply(f'self.{name}(x)')}")


def dropout(w):
    w.forward.append(f"x = self.{w.add('drop', 'nn.Dropout(0.25)')}({w.apply('x')})")


def wrapped_forward(w):
    act, layer = w.activation, w.layer(w.width)
    name = w.add("wrapped", f"nn.Sequential({layer}, {act.make()})")
    w.init.append(f"self.{name}.forward = decorator(self.{name}.forward)")
    w.is_bound = True
    w.forward.append(f"x = self.{name}(x)")


def in_place_view(w):
    w.forward += ["x = x.clone()", f"F.relu_(x.narrow({w.dim}, 0, 2))"]


def child(w):
    if not w.children:
        return plain(w)
    name, width = w.choose(w.children)
    if w.width != width:
        w.forward.append(f"x = self.{w.add('layer', w.layer(width))}(x)")
    part = w.add("child", f"{name}()")
    again = w.choose([part, part, w.add("same", f"self.{part}")])
    times = w.choose([1, 1, 2])
    return w.forward.extend([f"x = self.{part}(x)", f"x = self.{again}(x)"][:times])


STATEMENTS = [
    plain, plain, plain, plain, normalised, residual, residual, parenthesised, loop_over_layers,
    loop_by_index, recurrent, while_loop, chunks, varying_width, branch, guarded, recursion,
    hooked_layer, parametrised_layer, dropout, wrapped_forward, in_place_view, child, child,
]  # fmt: skip
RESULTS = ["x", "x", "x", "(x, 2 * x)", "{'out': x}", "[x, {'more': x.mean()}]"]
_BUILT = [
    "layer", "layer", "acts[0]", "acts[0]", "acts[1]", "nn.ReLU()", "nn.PReLU()",
    "nn.ModuleList([acts[1]])[0]", "nn.Sequential(acts[1], nn.Linear({width}, {width}), acts[1])",
    "nn.Sequential(*2 * [nn.Sequential(nn.Linear({width}, {width}), nn.ReLU())])",
    "nn.TransformerEncoderLayer({width}, 2, 8, dropout=0.0, batch_first=True)",
    "nn.TransformerEncoderLayer({width}, 2, 8, 0.0, acts[0])",
]  # fmt: skip
_SHAPES = {"rows": (7, 4), "maps": (3, 4, 5, 5), "tokens": (3, 5, 4)}


def _inline(w, x: str) -> str:
    """Return the source of an activation that needs no statements before it."""
    count = len(w.forward)
    source = w.apply(x)
    if len(w.forward) > count:  # The style wrote statements, which would be outside the block.
        del w.forward[count:]
        source = w.activation.call(x)
    return source


def write_model(seed: int) -> RandomModel:
    """Return a random model. The same seed gives the same model."""
    rng = random.Random(seed)
    return _write_function(rng) if rng.random() < 0.1 else _write_classes(rng)


def _write_function(rng) -> RandomModel:
    """Return a model that a function builds from modules of torch, some of them shared."""
    form = rng.choice(["rows", "tokens"])
    w = Writer(rng, form, 4, EXACT, [])
    parts = [f"acts = [{', '.join(rng.choice(EXACT).make() for _ in range(2))}]"]
    for _ in range(rng.randint(2, 5)):
        part = rng.choice([*_BUILT, w.norm()])
        if part == "layer":
            part = w.layer(rng.choice([4, 6]))
        parts.append(f"parts.append({part.format(width=w.width, half=w.width // 2)})")
    parts.insert(1, "parts = []")
    body = [*parts, f"return nn.Sequential(*parts, {w.layer(2)})"]
    source = "\n".join([HEADER, "", "def Network():", *_indent(body)]) + "\n"
    return RandomModel(source, _SHAPES[form], True, False, ("function",))


def _write_classes(rng) -> RandomModel:
    """Return a model of one to three classes."""
    is_exact = rng.random() < 0.7
    activations = EXACT if is_exact else EXACT + 2 * SMOOTH + UNSUITABLE
    form = rng.choice(list(_SHAPES))
    globals_: list[str] = []
    classes, children, styles, is_bound = [], [], [], False
    for index in range(rng.choice([0, 0, 1, 2]) + 1)[::-1]:
        width = 4 if index == 0 else rng.randint(3, 5)
        w = Writer(rng, form, width, activations, globals_)
        w.children = list(children)
        w.activation = rng.choice(activations)
        for _ in range(rng.randint(1, 3 if index else 4)):
            statement = rng.choice(STATEMENTS)
            w.styles.append(statement.__name__)
            statement(w)
        result = rng.choice(RESULTS)
        if index:
            w.forward.append(f"x = self.{w.add('end', w.layer(width))}(x)")
            result = "x"
        elif rng.random() < 0.7:
            w.forward.append(f"x = self.{w.add('end', w.layer(3))}(x)")
        name = f"Block{index}" if index else "Network"
        classes.append(w.text(name, result))
        children.append((name, width))
        styles += w.styles
        is_bound |= w.is_bound
    source = "\n\n\n".join([HEADER, *globals_, *classes]) + "\n"
    is_exact &= "gate" not in styles and "parametrised_layer" not in styles
    return RandomModel(source, _SHAPES[form], is_exact, is_bound, tuple(styles))
