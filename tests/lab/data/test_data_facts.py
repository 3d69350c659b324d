import numpy as np
import pytest
import torch

from hinged.lab import data
from hinged.lab.data.data_facts import collect_facts, count_repeated
from hinged.lab.problems import Classification, Detection, Regression


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3,), (1, 2, 2), ()])
def test_repeated_samples_are_counted_as_by_comparing_all_pairs(kind, shape):
    generator = torch.Generator().manual_seed(0)
    train = torch.randint(0, 3, (40, *shape), generator=generator).to(kind)
    test = torch.randint(0, 4, (30, *shape), generator=generator).to(kind)
    pairs = [(a == b).all().item() for a in test for b in train]
    expected = np.array(pairs).reshape(30, 40).any(axis=1).sum()
    assert 0 < expected < 30
    assert count_repeated(train, test) == expected


def test_samples_are_compared_after_scaling_and_the_facts_are_kept_for_another_format():
    facts = data.load_data_set("iris").facts
    assert (facts.train_samples, facts.test_samples, facts.repeated) == (105, 45, 1)
    digits = data.load_data_set("digits")
    assert digits.with_input_format(16, 3, None).facts is digits.facts


def test_chance_is_the_score_of_the_best_constant_output():
    labels = torch.tensor([0, 2, 2, 1, 2, 2, 0, 2])
    x = torch.randn(8, 2)
    problem = Classification(3)
    facts = collect_facts(x, x, labels, problem)
    scores = [problem.score(torch.eye(3)[[label] * 8], labels) for label in range(3)]
    assert facts.chance == max(scores) == 0.625
    assert facts.chance_margin == pytest.approx(2 * (0.625 * 0.375 / 8) ** 0.5)
    assert "most frequent class" in facts.chance_about and facts.repeated == 8


def test_chance_of_a_regression_is_the_score_of_the_mean():
    targets = torch.randn(20, 2, dtype=torch.float64)
    problem = Regression(2)
    mean = targets.mean(dim=0).expand(20, 2)
    assert problem.chance(targets).score == pytest.approx(problem.score(mean, targets), abs=1e-12)


def test_chance_of_a_detection_is_zero():
    assert Detection(("a", "b"), (8, 12)).chance(torch.zeros(1, 1, 5)).score == 0
