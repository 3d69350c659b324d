"""Ways to write the call of an activation in source code, for random models.

Each style is a function of a `Writer` and of the source of an input. It adds to the class what the
call needs, and returns the source of the call.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Activation:
    """An activation as it can be written.

    Attributes:
        module: the class in `torch.nn`.
        function: the name in `torch.nn.functional`.
        settings: the arguments, by name.
        methods: whether tensors have the function as a method.
        in_place: whether the function has the argument `inplace`.
    """

    module: str
    function: str
    settings: tuple[tuple[str, str], ...] = ()
    methods: bool = False
    in_place: bool = True

    def make(self, *more: str) -> str:
        """Return the source that makes the module, with further arguments."""
        return f"nn.{self.module}({', '.join([*self.keywords, *more])})"

    @property
    def keywords(self) -> list[str]:
        """The settings as keyword arguments."""
        return [f"{name}={value}" for name, value in self.settings]

    def call(self, x: str, function: str = "", *more: str) -> str:
        """Return the source of a call of the function, or of another name for it."""
        function = function or f"F.{self.function}"
        return f"{function}({', '.join([x, *self.keywords, *more])})"


EXACT = [
    Activation("ReLU", "relu", methods=True),
    Activation("ReLU6", "relu6"),
    Activation("LeakyReLU", "leaky_relu", (("negative_slope", "0.25"),)),
    Activation("Hardtanh", "hardtanh", (("min_val", "-0.5"), ("max_val", "1.0"))),
]
"""Activations that curves reproduce exactly."""
SMOOTH = [
    Activation("GELU", "gelu", in_place=False),
    Activation("SiLU", "silu"),
    Activation("ELU", "elu", (("alpha", "0.5"),)),
    Activation("Softplus", "softplus", (("beta", "2.0"),), in_place=False),
    Activation("Hardswish", "hardswish"),
    Activation("Mish", "mish"),
    Activation("Tanh", "tanh", methods=True, in_place=False),
    Activation("Sigmoid", "sigmoid", methods=True, in_place=False),
]
UNSUITABLE = [
    Activation("Hardshrink", "hardshrink", (("lambd", "0.3"),), in_place=False),
    Activation("Threshold", "threshold", (("threshold", "0.1"), ("value", "-0.2"))),
    Activation("RReLU", "rrelu", (("lower", "0.1"), ("upper", "0.3"))),
]
"""Activations that `convert` never replaces."""


def module(w, x):
    return f"self.{w.new_module()}({x})"


def shared_module(w, x):
    return f"self.{w.old_module()}({x})"


def module_by_keyword(w, x):
    return f"self.{w.new_module()}(input={x})"


def module_in_place(w, x):
    more = ["inplace=True"] if w.activation.in_place else []
    return f"self.{w.add('act', w.activation.make(*more))}({w.fresh(x)})"


def private_name(w, x):
    name = f"__act{w.number()}"
    w.init.append(f"self.{name} = {w.activation.make()}")
    return f"self.{name}({x})"


def module_list(w, x):
    name = w.add("acts", f"nn.ModuleList([nn.Identity(), {w.activation.make()}])")
    return f"self.{name}[1]({x})"


def module_dict(w, x):
    name = w.add("table", f"nn.ModuleDict({{'a': {w.activation.make()}}})")
    return f"self.{name}['a']({x})"


def sequential(w, x):
    act = w.activation.make()
    inner = w.choose([f"nn.Sequential({act})", act])
    return f"self.{w.add('seq', f'nn.Sequential(nn.Identity(), {inner}, nn.Identity())')}({x})"


def plain_list(w, x):
    return f"self.{w.add('plain', f'[{w.activation.make()}]')}[0]({x})"


def list_of_registered(w, x):
    return f"self.{w.add('plain', f'[self.{w.new_module()}]')}[0]({x})"


def fetched_by_name(w, x):
    name = w.new_module()
    return w.choose(
        [f"getattr(self, {name!r})({x})", f"self._modules[{name!r}]({x})", f"self.{name}({x})"]
    )


def new_in_each_call(w, x):
    return f"{w.activation.make()}({x})"


def global_module(w, x):
    return f"{w.add_global('ACT', w.activation.make())}({x})"


def class_attribute(w, x):
    name = f"shared{w.number()}"
    w.body.append(f"{name} = {w.activation.make()}")
    return f"self.{name}({x})"


def property_of_module(w, x):
    name, act = f"prop{w.number()}", w.new_module()
    w.methods.append(f"@property\ndef {name}(self):\n    return self.{act}")
    return f"self.{name}({x})"


def forward_of_module(w, x):
    act = w.new_module()
    return w.choose([f"self.{act}.forward({x})", f"nn.Module.__call__(self.{act}, {x})"])


def own_module(w, x):
    name = w.add_class(f"    def forward(self, x):\n        return {w.activation.call('x')}")
    return f"self.{w.add('own', f'{name}()')}({x})"


def subclass_of_module(w, x):
    base = f"nn.{w.activation.module}"
    name = w.add_class("    def forward(self, x):\n        return super().forward(x) + 0.125", base)
    settings = ", ".join(w.activation.keywords)
    return f"self.{w.add('own', f'{name}({settings})')}({x})"


def module_with_hook(w, x):
    act = w.new_module()
    hook = w.choose(["lambda m, a, y: y * 1.5", "lambda m, a, y: None"])
    w.init.append(f"self.{act}.register_forward_hook({hook})")
    return f"self.{act}({x})"


def module_with_pre_hook(w, x):
    act = w.new_module()
    w.init.append(f"self.{act}.register_forward_pre_hook(lambda m, a: (a[0] + 0.25,))")
    return f"self.{act}({x})"


def attribute_is_read(w, x):
    act = w.new_module()
    test = f"isinstance(self.{act}, nn.{w.activation.module})"
    if w.activation.settings:
        name, value = w.activation.settings[0]
        test = w.choose([test, f"self.{act}.{name} == {value}"])
    return f"(self.{act}({x}) if {test} else {x} - 3.0)"


def function(w, x):
    return w.activation.call(x)


def function_by_keyword(w, x):
    return w.activation.call(f"input={x}")


def function_in_place(w, x):
    if not w.activation.in_place:
        return w.activation.call(w.fresh(x))
    return w.activation.call(w.fresh(x), "", "inplace=True")


def method(w, x):
    if not w.activation.methods:
        return w.activation.call(x)
    name = w.activation.function
    return w.choose([f"({x}).{name}()", f"{w.fresh(x)}.{name}_()", f"torch.{name}({x})"])


def function_of_self(w, x):
    name = w.add("function", f"F.{w.activation.function}")
    return w.activation.call(x, f"self.{name}")


def stars(w, x):
    values = ", ".join(value for _, value in w.activation.settings)
    keywords = f"dict({', '.join(w.activation.keywords)})"
    if w.choose([True, False]):
        args = w.add("args", f"({values},)" if values else "()")
        return f"F.{w.activation.function}({x}, *self.{args})"
    return f"F.{w.activation.function}({x}, **self.{w.add('kwargs', keywords)})"


def setting_of_self(w, x):
    if not w.activation.settings:
        return w.activation.call(x)
    name, value = w.activation.settings[0]
    rest = w.activation.keywords[1:]
    read = f"self.{w.add('setting', value)}"
    return f"F.{w.activation.function}({', '.join([x, f'{name}={read}', *rest])})"


def setting_that_varies(_w, x):
    return f"F.leaky_relu({x}, 0.5 if {x}.mean() > 0.01 else 0.125)"


def prelu(w, x):
    weight = w.add("weight", "nn.Parameter(torch.tensor([0.3]))")
    return w.choose([f"F.prelu({x}, self.{weight})", f"self.{w.add('prelu', 'nn.PReLU()')}({x})"])


def lambda_of_self(w, x):
    call = w.activation.call("x")
    return f"self.{w.add('function', f'lambda x: {call}')}({x})"


def lambda_with_self(w, x):
    w.is_bound = True
    return f"self.{w.add('function', f'lambda x: self.{w.new_module()}(x)')}({x})"


def lambda_here(w, x):
    return f"(lambda x: {w.activation.call('x')})({x})"


def nested_function(w, x):
    name = f"nested{w.number()}"
    w.forward += [f"def {name}(x):", f"    return {w.activation.call('x')}"]
    return f"{name}({x})"


def partial(w, x):
    given = ", ".join([f"F.{w.activation.function}", *w.activation.keywords])
    return f"self.{w.add('partial', f'functools.partial({given})')}({x})"


def global_function(w, x):
    name = f"helper{w.number()}"
    w.globals.append(f"def {name}(x):\n    return {w.activation.call('x')}")
    return f"{name}({x})"


def global_table(w, x):
    function = w.add_global("TABLE", f"{{'a': F.{w.activation.function}}}")
    return w.activation.call(x, f"{function}['a']")


def alias(w, x):
    name = w.add_global("alias", f"F.{w.activation.function}")
    return w.activation.call(x, name)


def helper_method(w, x):
    name = f"helper{w.number()}"
    kind = w.choose(["", "@staticmethod", "@classmethod"])
    first = {"": "self, ", "@staticmethod": "", "@classmethod": "cls, "}[kind]
    body = f"def {name}({first}x):\n    return {w.activation.call('x')}"
    w.methods.append(f"{kind}\n{body}" if kind else body)
    return f"self.{name}({x})"


def method_with_decorator(w, x):
    name = f"decorated{w.number()}"
    w.methods.append(f"@decorator\ndef {name}(self, x):\n    return {w.activation.call('x')}")
    return f"self.{name}({x})"


def mapped(w, x):
    return w.choose(
        [
            f"list(map(lambda t: {w.activation.call('t')}, [{x}]))[0]",
            f"[{w.activation.call('t')} for t in ({x},)][0]",
            f"next({w.activation.call('t')} for t in ({x},))",
            f"torch.stack([{w.activation.call('t')} for t in {x}.unbind(0)])",
        ]
    )


def one_of_two(w, x):
    one, other = w.activation, w.choose(EXACT)
    tests = ["self.training", "len(x) > 3", f"{x}.mean() > 0.01"]
    test = w.choose(tests[:2] if w.in_loop_over_layers else tests)
    a, b = f"self.{w.add('act', one.make())}", f"self.{w.add('act', other.make())}"
    return w.choose(
        [
            f"({one.call(x)} if {test} else {other.call(x)})",
            f"({a} if {test} else {b})({x})",
            f"({a}({x}) if {test} else {b}({x}))",
        ]
    )


def checkpointed(w, x):
    if w.activation.module == "RReLU":  # torch 2.13 computes wrong gradients for this.
        return w.activation.call(x)
    called = w.choose([f"self.{w.new_module()}", f"lambda x: {w.activation.call('x')}"])
    return f"checkpoint({called}, {x}, use_reentrant=False)"


def gate(_w, x):
    return f"({x} * torch.sigmoid({x} + 0.5))"


def walrus(w, x):
    return f"((z := {w.activation.call(x)}) + 0.5 * z)"


def two_on_one_line(w, x):
    return f"({w.activation.call(x)} - {w.activation.call(f'-{x}')})"


def read_after_writing(w, x):
    name = f"t{w.number()}"
    w.forward.append(f"{name} = {w.fresh(x)}")
    return f"(F.relu_({name}) + {name})"


def without_gradients(w, x):
    name = f"t{w.number()}"
    w.forward += ["with torch.no_grad():", f"    {name} = {w.activation.call(x)}"]
    return f"({x} + {name})"


STYLES = [
    module, module, shared_module, shared_module, module_by_keyword, module_in_place, private_name,
    module_list, module_dict, sequential, plain_list, list_of_registered, fetched_by_name,
    new_in_each_call, global_module, class_attribute, property_of_module, forward_of_module,
    own_module, subclass_of_module, module_with_hook, module_with_pre_hook, attribute_is_read,
    function, function, function_by_keyword, function_in_place, method, method, function_of_self,
    stars, setting_of_self, setting_that_varies, prelu, lambda_of_self, lambda_with_self,
    lambda_here, nested_function, partial, global_function, global_table, alias, helper_method,
    method_with_decorator, mapped, one_of_two, checkpointed, gate, walrus, two_on_one_line,
    read_after_writing, without_gradients,
]  # fmt: skip
