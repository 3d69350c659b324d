"""The command line: names, options and help texts of all commands.

Modules of this package import neither torch nor another large package, so that help and shell
completion are quick. A command imports its implementation when it runs: `hinged.lab.cli` contains
the implementations of the laboratory, and `hinged.cli.core_commands` the others.
"""
