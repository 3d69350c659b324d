"""Small networks and trainings."""

from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.networks import catalogue
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.training import fit

SETTINGS = TrainingSettings(epochs=3, batch_size=64, lr=0.02)


def network(activation="hinged", name="digits", kind="cnn", curves=None, **settings):
    factory = ACTIVATIONS[activation](curves or CurveSettings())
    settings = NetworkSettings(**{"kind": kind, "width": 4, "depth": 1, **settings})
    return catalogue.build_network(settings, data.load_data_set(name), factory, 0)


def train(model, name="digits", seed=0, settings=None, **kwargs):
    """Train by `SETTINGS`, with `settings` in place of some of them."""
    changed = SETTINGS.model_copy(update=settings or {})
    return fit.train_network(model, data.load_data_set(name), changed, seed, **kwargs)
