import dataclasses
import importlib.util

import pytest
import torch

collect_ignore_glob = (
    [] if importlib.util.find_spec("triton") else ["*machine_code.py", "test_triton_*.py"]
)


@pytest.fixture
def without_ignored_checks(monkeypatch):
    """Skip the interpreter's overflow checks, which it computes and, unless debugging, ignores."""
    from triton.runtime import interpreter

    if not torch.cuda.is_available():
        builder = interpreter.interpreter_builder
        options = dataclasses.replace(builder.options, sanitize_overflow=builder.options.debug)
        monkeypatch.setattr(builder, "options", options)


@pytest.fixture
def poisoned(monkeypatch):
    """Fill new memory with NaN, so that a test sees memory that a kernel left unwritten."""
    for owner, name in (
        (torch, "empty"),
        (torch, "empty_like"),
        (torch.Tensor, "new_empty"),
    ):
        allocate = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, allocate=allocate, **k: _fill(allocate(*a, **k))
        )


def _fill(tensor):
    return tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor
