import pytest

from tests.lab.training.trainings import network, train


@pytest.fixture(scope="package")
def trained_curves():
    """A CNN with curves, trained on digits. Tests must not change it."""
    return train(network())


@pytest.fixture(scope="package")
def trained_relu():
    """The same CNN with ReLUs. Tests must not change it."""
    return train(network("relu"))
