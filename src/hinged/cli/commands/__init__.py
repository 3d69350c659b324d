"""The declarations of the commands, one module for each command in `hinged --help`."""
