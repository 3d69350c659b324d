import copy

import pytest
import torch
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hinged
from hinged import PiecewiseLinear, errors
from tests.processes import in_two_processes


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), PiecewiseLinear(4), nn.Linear(4, 1))


def train(model, calibration, optimiser, steps, seed=0):
    """Train for some steps and return whether values had changed after each."""
    generator = torch.Generator().manual_seed(seed)
    changed = []
    for _ in range(steps):
        before = model[1].values.detach().clone(), model[0].weight.detach().clone()
        optimiser.zero_grad()
        x = 30 * torch.randn(16, 3, generator=generator)
        model(x).square().mean().backward()
        optimiser.step()
        changed.append(not torch.equal(model[1].values, before[0]))
        assert not torch.equal(model[0].weight, before[1])
        calibration.step()
    return changed


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("groups_first", [True, False])
def test_curves_are_frozen_then_calibrated_then_trained(kind, groups_first):
    model = network()
    make = lambda: kind(hinged.param_groups(model, 1e-6, weight_decay=0.1))  # noqa: E731
    optimiser = make() if groups_first else None
    values = model[1].values
    calibration = hinged.calibrate_after(model, 5, observed_steps=2)
    optimiser = optimiser or make()
    assert train(model, calibration, optimiser, 5) == [False] * 5
    assert calibration.done and model[1].values is values and model[1].hinges.max() > 10
    assert train(model, calibration, optimiser, 2) == [True] * 2
    assert not model[1]._forward_hooks and not values._post_accumulate_grad_hooks


def test_optimisers_have_no_state_from_frozen_steps():
    model = network()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    calibration = hinged.calibrate_after(model, 5)
    train(model, calibration, optimiser, 4)
    assert model[1].values not in optimiser.state
    train(model, calibration, optimiser, 2)
    assert optimiser.state[model[1].values]["step"] == 1


def test_it_gives_the_result_of_calibrate_on_the_same_inputs():
    model = network()
    calibration = hinged.calibrate_after(
        model, 6, observed_steps=3, coverage=0.9, placement="quantile", hinges=7
    )
    other = copy.deepcopy(model)
    inputs = []
    for step in range(6):
        x = (1 + step) * torch.randn(16, 3)
        inputs.append(x)
        model(x).sum().backward()
        with torch.no_grad():
            model(1e6 * x)  # Inputs of a validation are not observed.
        calibration.step()
    done = hinged.calibrate(other, inputs[3:], coverage=0.9, placement="quantile", hinges=7)
    assert calibration.result == done and calibration.result.stale == ("1",)
    assert torch.equal(model[1].hinges, other[1].hinges)


def test_a_closure_does_not_move_frozen_curves():
    model = network()
    calibration = hinged.calibrate_after(model, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[1].values.detach().clone()

    def closure():
        optimiser.zero_grad()
        loss = model(torch.randn(8, 3)).square().mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert torch.equal(model[1].values, before) and not calibration.done


def test_of_large_batches_a_sample_is_observed():
    model = nn.Sequential(PiecewiseLinear(2))
    calibration = hinged.calibrate_after(model, 1)
    model(5 * torch.randn(2**19, 2))
    every_17th = 2**19 // 17 + 1  # 16 would be enough, but has a common factor with the batch size.
    assert calibration._collector.statistics["0"].inputs.count.tolist() == [every_17th] * 2
    calibration.step()
    assert calibration.result.layers["0"].after[1] == pytest.approx(15, rel=0.03)


def test_a_share_of_the_training_and_a_resumed_training():
    model = network()
    calibration = hinged.calibrate_after(model, 0.25, total=40, observed_steps=2)
    assert calibration.steps == 10
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    train(model, calibration, optimiser, 7)
    resumed = hinged.calibrate_after(copy.deepcopy(model), 0.25, total=40, observed_steps=2)
    resumed.load_state_dict(calibration.state_dict())
    calibration.remove()
    assert resumed.count == 7 and not resumed.done
    model = nn.Sequential(*resumed._layers.values())
    again = hinged.calibrate_after(network(), 10)
    again.load_state_dict({"count": 10})
    assert again.done and again.result is None


def test_after_remove_curves_are_trained_at_once():
    model = network()
    calibration = hinged.calibrate_after(model, 100)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    assert train(model, calibration, optimiser, 1) == [False]
    calibration.remove()
    assert train(model, calibration, optimiser, 1) == [True]
    assert calibration.done and model[1].hinges.max() == 3


def test_an_object_that_is_not_kept_freezes_nothing():
    model = network()
    hinged.calibrate_after(model, 5)
    calibration = hinged.calibrate_after(model, 1000, observed_steps=1)
    del calibration
    model(torch.randn(4, 3)).sum().backward()
    assert model[1].values.grad is not None and not model[1]._forward_hooks


def test_curves_frozen_by_the_user_stay_frozen():
    model = network()
    model[1].requires_grad_(False)
    calibration = hinged.calibrate_after(model, 1)
    model(torch.randn(4, 3)).sum().backward()
    calibration.step()
    assert not model[1].values.requires_grad


def test_a_calibration_without_inputs_warns():
    calibration = hinged.calibrate_after(network(), 1)
    with pytest.warns(errors.NoInputsSeenWarning, match="no inputs of curves in the 20 steps"):
        calibration.step()
    assert calibration.result.layers["1"].reason == "no data reached it"


@pytest.mark.parametrize(
    "steps, how, message",
    [
        (0, {}, "got 0; expected a number of steps"),
        (1.5, {}, "got 1.5; expected a number of steps"),
        (0.5, {}, r"got steps=0.5 and total=None; a fraction needs"),
        (0.5, {"total": float("inf")}, "a fraction needs the number of steps"),
        (5, {"observed_steps": 0}, r"observed_steps=\.\.\.\)`: got 0"),
        (5, {"placement": "even"}, r"hinged\.calibrate_after\(placement"),
    ],
)
def test_invalid_arguments_are_rejected(steps, how, message):
    with pytest.raises(errors.ArgumentError, match=message):
        hinged.calibrate_after(network(), steps, **how)


def _train(rank, folder):
    model = network()
    wrapped = DistributedDataParallel(model)
    optimiser = torch.optim.Adam(hinged.param_groups(model, 0.01))
    calibration = hinged.calibrate_after(model, 4, observed_steps=2)
    start, seen = model[1].values.detach().clone(), []
    for step in range(8):
        optimiser.zero_grad()
        x = torch.load(f"{folder}/x.pt")[step, rank::2]
        seen.append(model[0](x).detach())
        wrapped(x).square().mean().backward()
        optimiser.step()
        if step < 4:
            assert torch.equal(model[1].values, start)
        calibration.step()
        if step == 3:
            calibrated = model[1].hinges.clone()
    assert not torch.equal(model[1].values, start)
    torch.save((model.state_dict(), calibrated, torch.cat(seen[2:4])), f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_get_the_same_calibration(tmp_path):
    torch.save(10 * torch.randn(8, 20, 3), tmp_path / "x.pt")
    in_two_processes(_train, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, tensor in first[0].items():
        assert torch.equal(tensor, second[0][name]), name
    one = PiecewiseLinear(4)
    hinged.calibrate(one, torch.cat((first[2], second[2])))
    torch.testing.assert_close(first[1], one.hinges, rtol=1e-6, atol=1e-6)
