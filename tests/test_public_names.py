"""The public names are those of `__all__`, and nothing else leaks."""

import types

import hinged

# Packages that `import hinged` loads, and that users reach by their full names.
PACKAGES = {"atomic_files", "errors", "kernels", "model", "nn"}


def test_every_public_name_exists():
    assert [name for name in hinged.__all__ if not hasattr(hinged, name)] == []
    assert hinged.__all__ == sorted(hinged.__all__)


def test_nothing_else_is_public():
    found = {name for name in vars(hinged) if not name.startswith("_")}
    assert found - PACKAGES == set(hinged.__all__)
    assert all(isinstance(getattr(hinged, name), types.ModuleType) for name in PACKAGES)
