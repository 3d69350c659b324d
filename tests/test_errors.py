import pickle

import pytest
import torch

from hinged import errors

OWN = [
    value
    for value in vars(errors).values()
    if isinstance(value, type)
    and issubclass(value, Exception)
    and value.__module__ == "hinged.errors"
]


def test_a_message_names_the_call_the_given_value_and_what_to_do():
    found = errors.message("hinged.convert(model)", "no site", "pass a batch it can run")
    assert found == "`hinged.convert(model)`: got no site; pass a batch it can run."


@pytest.mark.parametrize("kind", OWN)
def test_every_class_is_either_an_error_of_hinged_or_a_warning(kind):
    assert issubclass(kind, errors.HingedError) != issubclass(kind, UserWarning)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ArgumentError, ValueError),
        (errors.UnknownNameError, ValueError),
        (errors.DtypeError, TypeError),
        (errors.MissingExtraError, ImportError),
        (errors.RunFolderError, RuntimeError),
        (errors.WorkerError, RuntimeError),
        (errors.InexactStartWarning, UserWarning),
    ],
)
def test_errors_are_subclasses_of_builtin_exceptions(kind, builtin):
    assert issubclass(kind, builtin)


@pytest.mark.parametrize("kind", OWN)
def test_errors_can_be_pickled(kind):
    copied = pickle.loads(pickle.dumps(kind("`f`: got x; expected y.")))
    assert type(copied) is kind
    assert str(copied) == "`f`: got x; expected y."


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rleu", "did you mean 'relu' or 'gelu'? All of: abs, gelu, relu"),
        ("GELU", "did you mean 'gelu'? All of: abs, gelu, relu"),
        ("xyz", "expected one of: abs, gelu, relu"),
        (3, "expected one of: abs, gelu, relu"),
    ],
)
def test_the_error_for_an_unknown_name_lists_similar_names_or_all_names(name, hint):
    error = errors.unknown_name("f(init=...)", name, {"relu", "gelu", "abs"})
    assert isinstance(error, errors.UnknownNameError)
    assert str(error) == f"`f(init=...)`: got {name!r}; {hint}."


def test_an_installed_extra_raises_no_error():
    errors.require_extra("lab", ["torch", "json"])


def test_the_error_for_a_missing_extra_names_its_packages_and_what_to_install():
    with pytest.raises(errors.MissingExtraError) as caught:
        errors.require_extra("lab", ["torch", "no_such_package", "nor_this"])
    assert str(caught.value) == (
        "`hinged.lab` needs no_such_package, nor_this (not installed). Install what is missing "
        "with: pip install 'hinged[lab]'."
    )


def test_a_long_list_of_names_is_cut():
    error = errors.unknown_name("f(head=...)", "fc", [f"layer{number:03}" for number in range(200)])
    assert str(error).endswith("layer058, layer059 and 140 more.")


@pytest.mark.parametrize(
    "value", ["x" * 200, list(range(100)), torch.nn.Sequential(torch.nn.ReLU())]
)
def test_long_values_are_shown_by_their_class(value):
    assert errors.shown(value) == f"a {type(value).__name__}"


def test_what_else_is_valid_stands_after_the_names():
    error = errors.unknown_name("f(data=...)", "xyz", ["mnist"], ", or a folder")
    assert str(error) == "`f(data=...)`: got 'xyz'; expected one of: mnist, or a folder."
