import pytest

from hinged import errors, user_code

SOURCE = """
from dataclasses import dataclass
from beside import number

NOT_CALLABLE = 3

@dataclass
class Point:
    x: "int" = 0

def make():
    return Point(number)
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "beside.py").write_text("number = 7")
    return tmp_path / "mine.py"


def test_a_function_of_a_file_that_imports_its_neighbour(mine):
    assert user_code.load_function("data", f"{mine}:make")().x == 7


def test_the_file_runs_again_at_each_call(mine):
    first = user_code.load_function("data", f"{mine}:make")
    mine.write_text("def make():\n    return 'changed'")
    assert user_code.load_function("data", f"{mine}:make")() == "changed" and first().x == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "add the name of a function in this file, for example {}:make."),
        ("{}x.py:make", "which is not an existing file; give the path of an existing"),
        ("{}:mkae", "which {} does not define; this file defines Point, make."),
        ("{}:NOT_CALLABLE", "the function 'NOT_CALLABLE', which"),
    ],
)
def test_errors_of_loading_are_one_sentence(mine, text, message):
    with pytest.raises(errors.ArgumentError) as refused:
        user_code.load_function("data", text.format(mine))
    assert str(refused.value).startswith("`data`: got ")
    assert message.format(mine) in str(refused.value)


def test_exceptions_of_the_file_are_passed_on(mine):
    mine.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        user_code.load_function("data", f"{mine}:make")
