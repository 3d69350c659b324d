"""The tasks of data sets: the outputs a network needs, the loss to train and the score."""

from hinged.lab.problems.detection import Detection
from hinged.lab.problems.problem import Classification, Problem, Regression

__all__ = ["Classification", "Detection", "Problem", "Regression"]
