"""Tasks of data sets. A task defines the number of network outputs, the loss and the score."""

from hinged.lab.problems.detection import Detection
from hinged.lab.problems.problem import Classification, Problem, Regression

__all__ = ["Classification", "Detection", "Problem", "Regression"]
