"""Storey 4: whole models."""
