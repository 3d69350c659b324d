import pytest

from hinged.cli.options import complete

NAMES = {"relu": "ReLU", "relu6": "limited", "silu": "SiLU"}


@pytest.mark.parametrize(
    ("incomplete", "found"),
    [
        ("", ["relu", "relu6", "silu"]),
        ("re", ["relu", "relu6"]),
        ("silu,re", ["silu,relu", "silu,relu6"]),
        ("relu,", ["relu,relu", "relu,relu6", "relu,silu"]),
        ("x", []),
    ],
)
def test_the_last_name_of_a_list_is_completed(incomplete, found):
    completions = complete(NAMES)(incomplete)
    assert [name for name, _ in completions] == found
    assert all(NAMES[name.split(",")[-1]] == meaning for name, meaning in completions)
