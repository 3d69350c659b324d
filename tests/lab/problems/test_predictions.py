import sklearn.metrics
import torch

from hinged.lab.problems.predictions import (
    MOST_NUMBERS,
    ConfusionMatrix,
    PredictedNumbers,
    count_classes,
    keep_numbers,
    read_predictions,
    serialize_predictions,
)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    predicted, targets = (torch.randint(0, 4, (70,), generator=generator) for _ in range(2))
    expected = sklearn.metrics.confusion_matrix(targets, predicted, labels=range(5))
    found = count_classes(predicted, targets, tuple("abcde"))
    assert found.counts.tolist() == expected.tolist()


def test_at_most_some_samples_are_kept_and_always_the_same():
    targets = torch.arange(3.0 * MOST_NUMBERS).unsqueeze(1)
    first, second = (keep_numbers(targets + by, targets, ("y",)) for by in (1, 2))
    assert len(first.targets) == MOST_NUMBERS
    assert torch.equal(first.targets, second.targets)
    assert torch.equal(first.outputs, first.targets + 1)
    assert len(first.targets.unique()) == MOST_NUMBERS
    # A fair draw: the mean of the rows is near the middle, within four standard errors.
    spread = targets.std().item() / MOST_NUMBERS**0.5
    assert abs(first.targets.mean().item() - targets.mean().item()) < 4 * spread
    assert torch.equal(keep_numbers(targets[:5], targets[:5], ("y",)).targets, targets[:5])


def test_predictions_are_read_back(tmp_path):
    path = tmp_path / "saved"
    matrix = ConfusionMatrix(torch.tensor([[3, 1], [0, 2**40]]), ("cat", "d\u00f6g"))
    numbers = PredictedNumbers(torch.rand(3, 2), torch.rand(3, 2), ("price", "area"))
    for saved in (matrix, numbers):
        path.write_bytes(serialize_predictions(saved))
        found = read_predictions(path)
        assert type(found) is type(saved) and found.names == saved.names
        for one, other in zip(found[:-1], saved[:-1], strict=True):
            assert torch.equal(one, other)
