"""Runs the checks of the zoo on its models that torch and torchvision alone can build."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
# Only the record has these checks and models, because they take long.
LONG_CHECKS = {"compile", "pickle"}
LONG_MODELS = {"DeepLabV3", "MobileNetV3", "ResNet18"}


@pytest.fixture(scope="module")
def zoo():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return runpy.run_path(str(BENCHMARKS / "zoo.py"))
    finally:
        sys.path.remove(str(BENCHMARKS))


def check(zoo, model):
    facts = zoo["conversion"](model)
    assert facts["converted"] > 0
    assert all(each["reason"] for each in facts["left"])
    for name, run in zoo["CHECKS"].items():
        if name not in LONG_CHECKS:
            assert run(model).startswith("yes"), name
    return facts


@pytest.mark.slow
def test_models_of_torch_keep_all_promises(zoo):
    converted = {model.name: check(zoo, model)["converted"] for model in zoo["OWN"]}
    assert converted["RNN in a loop"] == 1 and converted["nn.LSTM with a head"] == 1


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_models_of_torchvision_keep_all_promises(zoo):
    zoo["provide_nms"]()
    models = [model for model in zoo["VISION"] if model.name not in LONG_MODELS]
    assert len(models) == 2
    for model in models:
        check(zoo, model)


def test_a_failing_check_is_recorded_with_its_error(zoo):
    def fail():
        raise ValueError("first line\nsecond line")

    assert zoo["_problem_of"](fail) == "ValueError: first line"


def test_the_record_says_which_packages_are_missing(zoo):
    from dataclasses import replace

    facts = zoo["examine"](replace(zoo["OWN"][0], package="not_a_package"))
    assert facts["missing"] and "checks" not in facts
