"""Compile what `hinged.kernels.triton_launch` launches for an H100, which need not be there.

The interpreter runs kernels as NumPy, and so cannot see what the compiler refuses, spills or fails
to vectorise. Run as a script (without interpreting), this calls the host code on CPU tensors with
the launches replaced by compilation, and prints a JSON list of what came out.
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
from hinged.kernels import triton_launch, triton_programs

TARGET = GPUTarget("cuda", 90, 32)
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int64: "*i64",
}
ARGUMENTS = triton_launch.Plan.arguments
OPTIONS = ("num_warps", "enable_fp_fusion")
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)", re.M)


class Compiler:
    """In place of a kernel: compiles each launch instead of launching."""

    def __init__(self, kernel, found):
        self.kernel, self.found = kernel, found

    def __getitem__(self, grid):
        return self.compile

    def compile(self, *args, **kwargs):
        options = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        bound = inspect.signature(self.kernel.fn).bind(*args, **kwargs).arguments
        constant = {
            parameter.name for parameter in self.kernel.params if parameter.is_constexpr
        } | {name for name, value in bound.items() if value is None}
        signature = {name: kind(value, name in constant) for name, value in bound.items()}
        aligned = {
            (place,): [["tt.divisibility", 16]]
            for place, value in enumerate(bound.values())
            if isinstance(value, torch.Tensor)
        }
        constants = {name: bound[name] for name in constant}
        source = ASTSource(self.kernel, signature, constants, aligned)
        code = triton.compile(source, target=TARGET, options=options)
        self.found.append({"kernel": self.kernel.fn.__name__, **inspect_code(code.asm)})


def kind(value, constant):
    if constant:
        return "constexpr"
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype]
    return "i32" if abs(value) < 2**31 else "i64"


def inspect_code(asm):
    """Widths of the accesses to memory in PTX; registers, stack and instructions in SASS."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(asm["cubin"])
        usage = tool("-res-usage", path)
        sass = tool("-sass", path)
    return {
        "accesses": Counter(re.findall(r"(?:ld|st)\.global[.\w:]*", asm["ptx"])),
        "atomics": len(re.findall(r"\b(?:atom|red)\.", asm["ptx"])),
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "stack": int(re.search(r"STACK:(\d+)", usage)[1]),
        "shared": int(re.search(r"SHARED:(\d+)", usage)[1]),
        "instructions": Counter(INSTRUCTION.findall(sass)),
        "sass": sass if os.environ.get("KEEP_SASS") else "",
    }


def tool(option, path):
    command = [TOOLS / "cuobjdump", option, path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def call(dtype, count, tails, uniform, layout, rows, wants, wide):
    """Forward and backward of one case, on tensors too small to matter."""
    triton_launch.Plan.arguments = lambda plan: {**ARGUMENTS(plan), "WIDE": wide}
    planar, inner = layout
    channels, outer = 64, 64
    shape = (outer, channels, inner) if planar else (outer, inner, channels)
    x = torch.zeros(shape, dtype=dtype)
    geometry = (outer, channels, inner) if planar else (outer * inner, channels, 1)
    hinges = uniform_grid(count).expand(channels, count).contiguous()
    hinges = hinges if rows else hinges[0].clone()
    values = torch.zeros(channels, count)
    slopes = torch.zeros(channels, 2) if tails == "free" else None
    triton_launch.forward(x, values, hinges, slopes, tails, uniform, geometry)
    triton_launch.backward(x, x, values, hinges, slopes, tails, uniform, geometry, wants)


def main(cases):
    found = []
    for name in ("tabulate", "forward_kernel", "backward_kernel", "reduce_kernel"):
        kernel = getattr(triton_programs, name)
        setattr(triton_programs, name, Compiler(kernel, found))
    answers = []
    for case in cases:
        case["dtype"] = getattr(torch, case["dtype"])
        call(**case)
        answers.append(list(found))
        found.clear()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
