import pytest
import torch

from hinged import errors
from hinged.lab import data

SOURCE = """
import torch
from torch.utils.data import DataLoader, TensorDataset

from hinged.lab import data

X, Y = torch.arange(20.0).view(10, 2), torch.arange(10) % 3

def tensors():
    return (X, Y), (X[:4], Y[:4])

def loaders():
    train, test = TensorDataset(X, Y), TensorDataset(X[:4], Y[:4])
    return DataLoader(train, batch_size=3), DataLoader(test, batch_size=3)

def sets():
    return TensorDataset(X, Y), TensorDataset(X[:4], Y[:4])

def numbers():
    return (X, Y.float()), (X[:4], Y[:4].float())

def finished():
    return data.load_data_set("iris")

def nothing():
    return None

def one():
    return DataLoader(TensorDataset(X, Y))

def thirds():
    return (TensorDataset(X, Y, Y), TensorDataset(X, Y, Y))

def out_of_range():
    return (X, Y), (X, Y + 1)
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    return lambda name: f"{tmp_path / 'mine.py'}:{name}"


@pytest.mark.parametrize("name", ["tensors", "loaders", "sets"])
def test_allowed_return_values(mine, name):
    loaded = data.load_data_set(mine(name))
    assert loaded.y_train.tolist() == [0, 1, 2] * 3 + [0] and loaded.classes == 3
    assert loaded.x_test.shape == (4, 2)
    torch.testing.assert_close(loaded.x_train.mean(dim=0), torch.zeros(2))
    assert "10 samples to train on, 4 to test on" in loaded.about


def test_numbers_to_predict(mine):
    loaded = data.load_data_set(mine("numbers"))
    assert loaded.classes is None and loaded.y_train.shape == (10, 1)


def test_a_finished_data_set(mine):
    assert data.load_data_set(mine("finished")).name == "iris"
    with pytest.raises(
        errors.ArgumentError, match=r"let the function .* return \(train, test\), or"
    ):
        data.load_data_set(mine("finished"), train_size=10)


def test_a_function_that_needs_arguments_is_refused(tmp_path):
    (tmp_path / "loaders.py").write_text("def make(path):\n    pass")
    message = "got a function that needs the argument path; it is called without arguments, so gi"
    with pytest.raises(errors.ArgumentError, match=message):
        data.load_data_set(f"{tmp_path / 'loaders.py'}:make")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nothing",
            "got an object of class NoneType; the function must return (train, test), each a",
        ),
        ("one", "got an object of class DataLoader; the function must return (train, test)"),
        ("thirds", "got a split with a batch that is a list of 3 elements; the function must"),
        (
            "out_of_range",
            "a test split with labels from 1 to 3; class indices of 3 classes are 0 to 2",
        ),
    ],
)
def test_other_returns_get_one_sentence(mine, name, message):
    with pytest.raises(errors.DataError) as refused:
        data.load_data_set(mine(name))
    assert message in str(refused.value) and "\n" not in str(refused.value)
