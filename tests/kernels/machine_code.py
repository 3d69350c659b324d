"""Compiles the launches of the Triton kernels for an H100, which need not be present.

The interpreter runs kernels in NumPy, so it does not see what the compiler rejects, spills or fails
to vectorise. Run as a script with the interpreter off, this module calls the host code on CPU
tensors, compiles each launch instead of running it, and prints a JSON list: for each case the
launches by kernel name. Equal launches of several cases are compiled once.
"""

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from hinged.curve import uniform_grid
from hinged.curve.metric import MetricState, MetricStep
from hinged.kernels import (
    triton_launch,
    triton_metric_launch,
    triton_metric_programs,
    triton_programs,
)

TARGET = GPUTarget("cuda", 90, 32)
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float64: "*fp64",
    torch.int64: "*i64",
}
KERNELS = {
    triton_programs: ("tabulate", "forward_kernel", "backward_kernel", "reduce_kernel"),
    triton_metric_programs: ("step_kernel", "moments_kernel"),
}
PLAN_ARGUMENTS = triton_launch.TilePlan.arguments
OPTIONS = ("num_warps", "enable_fp_fusion")
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)", re.M)


class CompileOnly:
    """Replaces a kernel: compiles each launch instead of running it."""

    def __init__(self, kernel, launches, compiled):
        self.kernel, self.launches, self.compiled = kernel, launches, compiled

    def __getitem__(self, grid):
        return self.compile

    def compile(self, *args, **kwargs):
        options = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        bound = inspect.signature(self.kernel.fn).bind(*args, **kwargs).arguments
        constant = {
            parameter.name for parameter in self.kernel.params if parameter.is_constexpr
        } | {name for name, value in bound.items() if value is None}
        signature = {name: type_of(value, name in constant) for name, value in bound.items()}
        aligned = {
            (index,): [["tt.divisibility", 16]]
            for index, value in enumerate(bound.values())
            if isinstance(value, torch.Tensor) and not self.kernel.params[index].do_not_specialize
        }
        constants = {name: bound[name] for name in constant}
        name = self.kernel.fn.__name__
        key = str((name, signature, sorted(constants.items()), options))
        if key not in self.compiled:
            source = ASTSource(self.kernel, signature, constants, aligned)
            code = triton.compile(source, target=TARGET, options=options)
            self.compiled[key] = {"kernel": name, **inspect_code(code.asm)}
        self.launches.append(self.compiled[key])


def type_of(value, constant):
    if constant:
        return "constexpr"
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype]
    if isinstance(value, float):
        return "fp64"
    return "i32" if abs(value) < 2**31 else "i64"


def inspect_code(asm):
    """Return the widths of accesses in PTX, and registers, stack and instructions in SASS."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(asm["cubin"])
        command = [TOOLS / "cuobjdump", "-res-usage", "-sass", path]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        "accesses": Counter(re.findall(r"(?:ld|st)\.global[.\w:]*", asm["ptx"])),
        "atomics": len(re.findall(r"\b(?:atom|red)\.", asm["ptx"])),
        "registers": int(re.search(r"REG:(\d+)", text)[1]),
        "stack": int(re.search(r"STACK:(\d+)", text)[1]),
        "shared": int(re.search(r"SHARED:(\d+)", text)[1]),
        "instructions": Counter(INSTRUCTION.findall(text)),
        "sass": text if os.environ.get("KEEP_SASS") else "",
    }


def compile_in_new_process(cases):
    """Run this module as a script, and return the launches of each case, by kernel name."""
    command = [sys.executable, "-m", "tests.kernels.machine_code", json.dumps(cases)]
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    out = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert out.returncode == 0, out.stderr
    return [{launch["kernel"]: launch for launch in case} for case in json.loads(out.stdout)]


def launch_case(dtype, count, tails, uniform, layout, rows, needs_grad, wide):
    """Launch forward and backward of one case, on tensors too small to matter."""
    triton_launch.TilePlan.arguments = lambda plan: {**PLAN_ARGUMENTS(plan), "LONG_OFFSETS": wide}
    planar, inner = layout
    channels, outer = 64, 64
    shape = (outer, channels, inner) if planar else (outer, inner, channels)
    x = torch.zeros(shape, dtype=dtype)
    memory = (outer, channels, inner) if planar else (outer * inner, channels, 1)
    hinges = uniform_grid(count).expand(channels, count).contiguous()
    hinges = hinges if rows else hinges[0].clone()
    values = torch.zeros(channels, count)
    slopes = torch.zeros(channels, 2) if tails == "free" else None
    triton_launch.forward(x, values, hinges, slopes, tails, uniform, memory)
    triton_launch.backward(x, x, values, hinges, slopes, tails, uniform, memory, needs_grad)


def launch_step_in_metric():
    """Launch a step in the metric and a measurement of inputs, on tensors too small to matter."""
    hinges, values = uniform_grid(9), torch.zeros(64, 9)
    state = MetricState(values, torch.zeros(64), torch.zeros(64), torch.zeros(64, 19), values)
    triton_metric_launch.take_step(values, values, hinges, state, MetricStep(0.1, 0.1))
    x = torch.zeros(2048, 64)
    triton_metric_launch.input_moments(x, hinges, (2048, 64, 1), 1)


def main(cases):
    launches, results, compiled = [], [], {}
    for module, names in KERNELS.items():
        for name in names:
            setattr(module, name, CompileOnly(getattr(module, name), launches, compiled))
    for case in cases:
        if case == {"step_in_metric": True}:
            launch_step_in_metric()
        else:
            launch_case(**{**case, "dtype": getattr(torch, case["dtype"])})
        results.append(list(launches))
        launches.clear()
    print(json.dumps(results))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
