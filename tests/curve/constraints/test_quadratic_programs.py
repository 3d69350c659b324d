import torch

from hinged.curve.constraints.quadratic_programs import closest_with_limited_differences


def test_differences_without_a_lower_limit_reach_an_upper_limit_other_than_zero():
    targets = torch.tensor([[0.0, 5.0]], dtype=torch.float64)
    for most, expected in ((0.0, [2.5, 2.5]), (1.0, [2.0, 3.0])):
        limits = torch.tensor([-torch.inf]), torch.tensor([most])
        found = closest_with_limited_differences(targets, *limits, -torch.inf, torch.inf)
        assert found.tolist() == [expected]
