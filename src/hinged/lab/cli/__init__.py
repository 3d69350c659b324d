"""The commands of `hinged` and their options. No other files of the library print."""
