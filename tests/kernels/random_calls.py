"""Random calls of the public functions that compute curves, with valid and with invalid arguments.

`make sanitize` runs this file as a script, with a library of kernels that was compiled with
AddressSanitizer and UndefinedBehaviorSanitizer:

    python -m tests.kernels.random_calls LIBRARY NUMBER

A kernel that reads or writes outside of a tensor then stops the process with a report.
"""

import concurrent.futures
import contextlib
import os
import random
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call

import hinged
from hinged import errors
from hinged.curve.curve import TAILS
from hinged.kernels import cpu_library
from hinged.kernels.select_kernel import kernel_names, use_kernel

REFUSED = (errors.ArgumentError, errors.DtypeError)
"""The errors that invalid arguments may raise."""


class RandomCall:
    """One call that is made from a seed.

    Args:
        seed: makes the call. The same seed makes the same call.
    """

    def __init__(self, seed):
        self.choose = random.Random(seed)
        self.noise = torch.Generator().manual_seed(seed)

    def run(self):
        """Make the call. Return whether its arguments were valid.

        Raises:
            AssertionError: if a result differs from the reference, or if invalid arguments are
                accepted.
        """
        kinds = {
            self.layer: 6,
            self.function: 3,
            self.training: 2,
            self.invalid_layer: 6,
            self.invalid_backward: 1,
            self.invalid_step: 1,
        }
        kind = self.choose.choices(list(kinds), list(kinds.values()))[0]
        kernels = [name for name in kernel_names() if name not in ("auto", "reference", "triton")]
        with use_kernel(self.choose.choice(kernels)):
            return kind()

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.noise)

    def hinges(self, channels, count):
        kind = self.choose.choice(["uniform", "uneven", "by channel", "one row"])
        if kind == "uniform":
            return torch.linspace(-2, 2, count)
        rows = {"uneven": (), "by channel": (channels,), "one row": (1,)}[kind]
        steps = torch.rand(*rows, count, generator=self.noise) + 0.01
        return steps.cumsum(-1) - count / 4

    def sizes(self):
        channels = self.choose.choice([1, 1, 2, 3, 7, 8, 16, 17, 33, 64, 100])
        return channels, self.choose.choice([2, 3, 5, 9, 9, 10, 16, 17, 33, 65, 129, 500, 501])

    def curves(self, channels, count):
        tails = self.choose.choice(TAILS)
        slopes = self.normal(channels, 2) if tails == "free" else None
        return self.normal(channels, count), self.hinges(channels, count), tails, slopes

    def inputs(self, channels):
        """Return inputs with any layout in memory, and their channel axis."""
        rank = self.choose.choice([1, 2, 2, 3, 4, 4, 5])
        shape = [self.choose.choice([0, 1, 1, 2, 3, 5]) for _ in range(rank)]
        dim = self.choose.randrange(-rank, rank)
        if channels > 1 or self.choose.random() < 0.5:
            shape[dim] = channels
        x = 2 * self.normal(*shape)
        layout = self.choose.choice(["dense", "dense", "permuted", "strided", "expanded", "lazy"])
        if layout == "permuted":
            order = self.choose.sample(range(rank), rank)
            x = x.permute(order).contiguous().permute([order.index(i) for i in range(rank)])
        elif layout == "strided":
            x = torch.stack([x, x], -1)[..., 0]
        elif layout == "expanded":
            x = x[:1].expand(x.shape) if x.shape[0] else x
        elif layout == "lazy":
            x = torch._neg_view(x)
        if self.choose.random() < 0.1 and x.numel():
            x = x.clone()
            x[(0,) * rank] = self.choose.choice([torch.nan, torch.inf, -torch.inf])
        return x.to(self.choose.choice([torch.float32, torch.float32, torch.bfloat16])), dim

    def layer(self):
        channels, count = self.sizes()
        values, hinges, tails, slopes = self.curves(channels, count)
        x, dim = self.inputs(channels)
        layer = hinged.PiecewiseLinear(
            channels, hinges=count, init="identity", dim=dim, tails=tails
        )
        layer.set_curve(hinged.Curve(hinges, values, tails, slopes))
        self.check(layer, x)
        return True

    def function(self):
        channels, count = self.sizes()
        values, hinges, tails, slopes = self.curves(channels, count)
        x, dim = self.inputs(channels)
        values.requires_grad_()

        def call(x):
            return hinged.piecewise_linear(x, values, hinges, dim, tails, slopes)

        self.check(call, x)
        return True

    def check(self, call, x):
        """Compare outputs and gradients with those of the reference."""
        grad_y = self.normal(*x.shape).to(x.dtype)
        fast = self.derive(call, x, grad_y)
        with use_kernel("reference"):
            expected = self.derive(call, x, grad_y)
        for name, one, other in zip(("outputs", "gradients"), fast, expected, strict=True):
            assert torch.equal(one.nan_to_num(), other.nan_to_num()), name

    def derive(self, call, x, grad_y):
        """Return the outputs and the gradients of the inputs."""
        x = x.detach().requires_grad_()
        y = call(x)
        y.backward(grad_y)
        return y.detach(), x.grad

    def training(self):
        channels, count = self.sizes()
        model = nn.Sequential(nn.Linear(3, channels), hinged.PiecewiseLinear(channels))
        values, hinges, tails, slopes = self.curves(channels, count)
        model[1] = hinged.PiecewiseLinear(channels, hinges=count, init="identity", tails=tails)
        model[1].set_curve(hinged.Curve(hinges, values, tails, slopes))
        optimizer = torch.optim.SGD(hinged.param_groups(model, lr=0.01))
        for _ in range(3):
            optimizer.zero_grad()
            model(self.normal(4, 3)).square().mean().backward()
            optimizer.step()
        assert model[1].values.isfinite().all()
        return True

    def other(self, number):
        return self.choose.choice([n for n in (0, 1, 2, 3, 9, 64, 200) if n != number])

    def wrong_tensors(self, channels, count):
        """Return tensors of a layer: one is wrong, or there are too few hinges."""
        if self.choose.random() < 0.1:
            few = self.choose.choice([0, 1])
            return {"values": torch.zeros(channels, few), "hinges": torch.zeros(few)}
        name = self.choose.choice(["values", "hinges"])
        shape = [channels, count]
        kind = self.choose.choice(["count", "rank", "meta"])
        if kind == "count":
            shape[1] = self.other(count)
        elif kind == "rank":
            shape = self.choose.choice([[], [1, 1, *shape]])
        tensor = torch.zeros(shape).sort(-1).values if shape else torch.zeros(())
        return {name: tensor.to("meta") if kind == "meta" else tensor}

    def invalid_layer(self):
        channels, count = self.sizes()
        layer = hinged.PiecewiseLinear(channels, hinges=count, init="identity")
        x = self.normal(3, channels)
        kind = self.choose.choice(["tensors", "tails", "slopes", "channels", "dtype"])
        tensors = {}
        if kind == "tensors":
            tensors = self.wrong_tensors(channels, count)
        elif kind == "tails":
            layer.tails = "free"
        elif kind == "slopes":
            layer = hinged.PiecewiseLinear(channels, hinges=count, init="identity", tails="free")
            layer.tail_slopes = nn.Parameter(torch.zeros(self.other(channels), 2))
        elif kind == "channels":
            layer = hinged.PiecewiseLinear(max(channels, 2), hinges=count, init="identity")
            x = self.normal(3, max(channels, 2) + 1)
        else:
            x = x.long()
        with contextlib.suppress(*REFUSED):
            functional_call(layer, tensors, (x,))
            raise AssertionError(f"accepted: {kind}, {channels} channels, {count} hinges")
        return False

    def invalid_backward(self):
        """Compute gradients after the inputs or the values got other shapes."""
        channels, count = self.sizes()
        count = min(count, 500)  # Plain torch, which has no kernel, computes more hinges.
        layer = hinged.PiecewiseLinear(channels, hinges=count, init="identity")
        x = self.normal(3, channels).requires_grad_()
        y, grad_y = layer(x), self.normal(3, channels)
        if self.choose.random() < 0.5:
            shape = self.choose.choice([(3, self.other(channels)), (self.other(3), channels)])
            x.data = torch.zeros(shape)
        else:
            shape = (self.choose.choice([2, 5, 200]) + channels, count)
            layer.values.data = torch.zeros(shape)
        with contextlib.suppress(*REFUSED):
            y.backward(grad_y)
            raise AssertionError(f"accepted: {shape}, {channels} channels, {count} hinges")
        return False

    def invalid_step(self):
        channels, count = self.sizes()
        model = nn.Sequential(
            nn.Linear(3, channels), hinged.PiecewiseLinear(channels, count, init="identity")
        )
        optimizer = torch.optim.SGD(hinged.param_groups(model, lr=0.01))
        model(self.normal(4, 3)).sum().backward()
        if self.choose.random() < 0.5:
            return self.invalid_state(model, optimizer)
        shape = self.choose.choice([(self.other(count) + 2 + count,), (channels + 1, count)])
        model[1].hinges = torch.arange(float(shape[-1])).expand(shape).clone()
        with contextlib.suppress(*REFUSED):
            optimizer.step()
            raise AssertionError(f"accepted: a step with hinges {shape}, {channels} channels")
        return False

    def invalid_state(self, model, optimizer):
        """Take a step with an optimizer state in which one tensor has a wrong shape."""
        optimizer.step()
        state = optimizer.state[model[1].values]
        name = self.choose.choice(["start", "direction", "size", "largest", "moments"])
        row, *others = state[name].shape
        state[name] = torch.zeros(self.other(row), *others)
        with contextlib.suppress(*REFUSED):
            optimizer.step()
            raise AssertionError(f"accepted: a step with {name} of {tuple(state[name].shape)}")
        return False


def run_calls(seeds):
    """Make the calls of the seeds. Return how many had valid arguments."""
    valid = 0
    for seed in seeds:
        try:
            valid += RandomCall(seed).run()
        except BaseException:
            print(f"The call of seed {seed} failed.", file=sys.stderr)
            raise
    return valid


def main():
    """Make a number of calls with the library of a path, and print what was done."""
    path, number = Path(sys.argv[1]), int(sys.argv[2])
    cpu_library.find_cpu_library = lambda: path
    library = cpu_library.load_cpu_library()
    assert library.handle is not None, library.why_not
    begun, workers = time.monotonic(), os.cpu_count() or 1
    shares = [range(first, number, workers) for first in range(workers)]
    with concurrent.futures.ProcessPoolExecutor(workers, get_context("fork")) as pool:
        valid = sum(pool.map(run_calls, shares))
    seconds = time.monotonic() - begun
    print(f"{number} random calls, {valid} of them valid, in {seconds:.0f} s: no fault in {path}")


if __name__ == "__main__":
    main()
