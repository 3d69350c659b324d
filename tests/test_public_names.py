"""Tests that `hinged` has no public names except those in `__all__` and its modules."""

import sys

import hinged


def test_every_public_name_exists():
    assert [name for name in hinged.__all__ if not hasattr(hinged, name)] == []
    assert hinged.__all__ == sorted(hinged.__all__)


def test_everything_else_without_an_underscore_is_a_module_of_hinged():
    public = {name: value for name, value in vars(hinged).items() if not name.startswith("_")}
    others = {name: value for name, value in public.items() if name not in hinged.__all__}
    leaked = [name for name, v in others.items() if v is not sys.modules.get(f"hinged.{name}")]
    assert leaked == []
