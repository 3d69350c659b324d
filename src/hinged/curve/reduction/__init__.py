"""Simpler curves within an error bound: fewer hinges, fewer curves, or a native activation."""
