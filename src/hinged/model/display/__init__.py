"""Draws a model's curves as pictures and animations."""
