"""Benchmarks that measure the time and memory of activations on this machine.

A benchmark is a list of cases. A case compares several activations on one input size or in one
network. Single activations are first checked for correctness. All activations of a case are then
timed in interleaved rounds (`hinged.lab.bench.timing`). The measurements are saved as a record, and
tables and plots are made from the record.
"""
