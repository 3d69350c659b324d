import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors


def network():
    rows = torch.tensor([-1.0, 0, 1]) * torch.tensor([[1.0], [2], [3]])
    return nn.Sequential(
        nn.Linear(2, 5), PiecewiseLinear(5), nn.Linear(5, 3), PiecewiseLinear(3, rows, tails="free")
    )


def recorded(steps=(0, 10, 20), **how):
    model, history, states = network(), hinged.History(**how), []
    for step in steps:
        history.record(model, step)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        for parameter in model.parameters():
            nn.init.normal_(parameter)
    return history, states


def test_frames_have_the_curves_of_their_step():
    history, states = recorded()
    assert history.layers == ("1", "3") and len(history) == 3
    for frame, state in zip(history.frames, states, strict=True):
        for name, curve in frame.items():
            assert torch.equal(curve.values, state[f"{name}.values"])
            assert torch.equal(curve.hinges, state[f"{name}.hinges"])
            assert not curve.values.requires_grad


def test_steps_may_be_numbers_of_numpy(tmp_path):
    history, _ = recorded(steps=np.arange(3))
    history.save(tmp_path / "h.safetensors")
    assert hinged.History.load(tmp_path / "h.safetensors").steps == [0, 1, 2]


def test_a_saved_history_is_loaded_completely(tmp_path):
    history, _ = recorded(channels=2)
    history.save(tmp_path / "h.safetensors")
    found = hinged.History.load(tmp_path / "h.safetensors")
    assert (found.steps, found.channels) == (history.steps, 2)
    for one, other in zip(found.frames, history.frames, strict=True):
        for name, curve in one.items():
            assert curve.tails == other[name].tails
            for part in ("hinges", "values"):
                assert torch.equal(getattr(curve, part), getattr(other[name], part))
    assert torch.equal(found.frames[2]["3"].tail_slopes, history.frames[2]["3"].tail_slopes)
    assert [each.name for each in tmp_path.iterdir()] == ["h.safetensors"]


def test_recorded_channels_are_evenly_spaced():
    history, states = recorded(channels=3)
    assert torch.equal(history.frames[1]["1"].values, states[1]["1.values"][[0, 2, 4]])
    history, states = recorded(channels=2)
    assert torch.equal(history.frames[1]["3"].hinges, states[1]["3.hinges"][[0, 2]])


def test_hinges_may_move_and_grow_between_steps():
    model, history = network(), hinged.History()
    history.record(model)
    hinged.calibrate(model, 10 * torch.randn(50, 2), hinges=12)
    history.record(model)
    assert [frame["1"].values.shape[1] for frame in history.frames] == [9, 12]
    assert history.steps == [0, 1]


def test_a_resumed_training_replaces_later_records():
    history, _ = recorded((0, 10, 20, 30))
    history.record(network(), 15)
    assert history.steps == [0, 10, 15] and len(history.frames) == 3


def test_refusals(tmp_path):
    with pytest.raises(errors.ArgumentError, match=r"channels=\.\.\.\)`: got 0"):
        hinged.History(0)
    with pytest.raises(errors.ArgumentError, match="got an empty history"):
        hinged.History().save(tmp_path / "h")
    history, _ = recorded()
    with pytest.raises(errors.ArgumentError, match=r"in the layers \['', '1', '3'\] from"):
        history.record(PiecewiseLinear(2))
    history.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.CurveFileError, match="truncated"):
        hinged.History.load(tmp_path / "half")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(errors.CurveFileError, match=r"a file that hinged\.History\.save"):
        hinged.History.load(tmp_path / "other")


@pytest.mark.parametrize("step", ["epoch 1", 1.5, True])
def test_a_step_is_a_whole_number(step):
    with pytest.raises(errors.ArgumentError, match=r"record\(step=...\)`: got .*a whole number"):
        hinged.History().record(hinged.PiecewiseLinear(2), step)


def test_a_model_in_place_of_a_number_is_named_by_its_class():
    with pytest.raises(errors.ArgumentError, match=r"got a Sequential; expected a whole number"):
        hinged.History(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
