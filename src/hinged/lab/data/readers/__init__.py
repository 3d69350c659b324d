"""Functions that read data sets. Each module handles one format or source."""
