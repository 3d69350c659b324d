"""Benchmarks: the time and memory that trainable curves cost on this machine.

A benchmark is a list of cases. A case checks several activations for correctness, then times them
in interleaved rounds. The result is a record, and tables and plots are drawn from the record.
"""
