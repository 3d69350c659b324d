"""Storey 2: the numbers of `hinged.curve`, fast."""
