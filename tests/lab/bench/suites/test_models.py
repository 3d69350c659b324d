import importlib.util

import pytest

from hinged import errors
from hinged.lab.bench.suites import compiled, models
from hinged.lab.bench.suites.models import INFERENCE, STEP


def silent(_):
    return None


def test_networks_are_timed_with_every_activation(quick):
    record = models.run(quick, silent, names=["cnn", "mlp"])
    assert [case.name for case in record.cases] == ["cnn", "mlp"]
    for case in record.cases:
        assert [row.name for row in case.rows] == ["relu", "gelu", "hinged K=9"]
        for row in case.rows:
            assert row.problem is None and set(row.seconds) == {STEP, INFERENCE}
            assert row.kept_bytes > 0
        assert [row.parameters > 0 for row in case.rows] == [False, False, True]
    assert record.case("mlp").row("hinged K=9").parameters == 3 * 512 * 9


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_networks_of_torchvision_run_or_say_what_is_missing(quick, name):
    (case,) = models.run(quick, silent, names=[name], activations=["relu", "hinged"]).cases
    if importlib.util.find_spec("torchvision") is None:
        assert all("pip install 'hinged[vision]'" in row.problem for row in case.rows)
        return
    assert all(row.problem is None for row in case.rows)
    filters = {"resnet18": 64 + 4 * (64 + 128 + 256 + 512), "vgg11": 2752 + 1024}
    assert case.rows[1].parameters == 9 * filters[name]


@pytest.mark.parametrize("more", [{"names": ["resnet"]}, {"activations": ["rleu"]}])
def test_unknown_names_are_told(quick, more):
    with pytest.raises(errors.UnknownNameError, match="did you mean"):
        models.run(quick, silent, **more)


def test_the_block_is_timed_compiled_and_as_it_is(quick):
    (case,) = compiled.run(
        quick, silent, activations=["relu", "hinged"], hinges=5, backend="eager"
    ).cases
    names = ["relu, compiled", "hinged K=5, compiled", "relu, eager", "hinged K=5, eager"]
    assert [row.name for row in case.rows] == names
    assert case.baseline == names[0]
    assert all(set(row.seconds) == {STEP, INFERENCE} for row in case.rows)


def test_a_compiler_that_fails_is_a_row_with_its_reason(quick):
    (case,) = compiled.run(quick, silent, activations=["relu"], backend="no-such-one").cases
    failed, eager = case.rows
    assert "no-such-one" in failed.problem and eager.problem is None
