"""What a data set asks of a network: its outputs, its loss and its score."""

from hinged.lab.problems.detection import Detection
from hinged.lab.problems.problem import Classification, Problem, Regression

__all__ = ["Classification", "Detection", "Problem", "Regression"]
