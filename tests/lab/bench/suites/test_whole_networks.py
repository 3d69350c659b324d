import importlib.util

import pytest

from hinged import errors
from hinged.lab.bench.suites.whole_networks import (
    INFERENCE,
    TRAINING_STEP,
    benchmark_whole_networks,
)


def show_nothing(_):
    return None


@pytest.mark.slow
def test_networks_are_timed_with_every_activation(quick):
    record = benchmark_whole_networks(quick, show_nothing, networks=["cnn", "mlp"])
    assert [case.name for case in record.cases] == ["cnn", "mlp"]
    for case in record.cases:
        assert [row.name for row in case.rows] == ["relu", "gelu", "hinged K=9"]
        for row in case.rows:
            assert row.problem is None and set(row.seconds) == {TRAINING_STEP, INFERENCE}
            assert row.kept_bytes > 0
        assert [row.parameters > 0 for row in case.rows] == [False, False, True]
    assert record.case("mlp").row("hinged K=9").parameters == 3 * 512 * 9


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs torchvision")
@pytest.mark.parametrize(
    "name, filters",
    [("resnet18", 64 + 4 * (64 + 128 + 256 + 512)), ("vgg11", 2752 + 1024)],
)
def test_networks_of_torchvision_are_timed(quick, name, filters):
    record = benchmark_whole_networks(
        quick, show_nothing, networks=[name], activations=["relu", "hinged"]
    )
    rows = record.case(name).rows
    assert [row.problem for row in rows] == [None, None]
    assert rows[1].parameters == 9 * filters


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="no torchvision")
@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_networks_of_torchvision_name_the_missing_extra(quick, name):
    record = benchmark_whole_networks(quick, show_nothing, networks=[name])
    for row in record.case(name).rows:
        assert "pip install 'hinged[vision]'" in row.problem


@pytest.mark.parametrize("arguments", [{"networks": ["resnet"]}, {"activations": ["rleu"]}])
def test_unknown_names_list_similar_names(quick, arguments):
    with pytest.raises(errors.UnknownNameError, match="did you mean"):
        benchmark_whole_networks(quick, show_nothing, **arguments)
