"""Moves the hinges of curves to the range of the inputs that the curves receive."""
