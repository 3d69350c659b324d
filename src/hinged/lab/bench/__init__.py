"""What trainable curves cost on this machine, measured against what they replace.

Every benchmark is a list of cases; in a case, contestants are timed in interleaved rounds, after
they have been checked; the outcome is a record that tables and pictures are drawn from.
"""
