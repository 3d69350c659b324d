import re

import pytest

from hinged import errors
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.study.cells import read_study, study_cells
from hinged.lab.study.definition import find_study, shipped_studies
from hinged.lab.study.scales import SCALES
from hinged.lab.study.setting_effects import relevant_settings
from tests.lab.study import helpers


def trained(study, scale="smoke", **options):
    return {c.name: c.experiment.activations for c in study_cells(study, scale, **options)}


def test_a_network_is_trained_once_however_many_cells_it_is_in(tiny):
    assert trained(read_study(tiny)) == {"hinges-3": ("relu", "hinged"), "hinges-9": ("hinged",)}


CONTENDERS = """
from torch import nn

class Plain(nn.Tanh):
    pass

def slope(channels, dim=1):
    return nn.PReLU(channels)

class OnCurve(nn.Module):
    def __init__(self, channels, curve):
        super().__init__()
"""


def test_users_activations_without_hinges_are_trained_once(tiny):
    (tiny.parent / "my.py").write_text(CONTENDERS)
    file = tiny.parent / "my.py"
    plain, slope, on_curve = (f"{file}:{name}" for name in ("Plain", "slope", "OnCurve"))
    names = ("relu", plain, slope, on_curve, "torch.nn:Tanh")
    tiny.write_text(tiny.read_text().replace('"relu", "hinged"', str([*names])[1:-1]))
    study = read_study(tiny)
    assert trained(study) == {"hinges-3": names, "hinges-9": (on_curve,)}
    cell = study_cells(study, "smoke")[1]
    assert (cell.label(on_curve), cell.label(slope)) == ("hinges 9", "")


def test_parameters_of_users_activations_count_among_the_parts_to_train(tiny):
    (tiny.parent / "my.py").write_text(CONTENDERS)
    head, both = (
        relevant_settings(
            build_experiment(training={"trains": trains}), f"{tiny.parent}/my.py:slope"
        )
        for trains in ("head", "head+curves")
    )
    assert head != both


def test_a_users_activation_that_cannot_be_loaded_is_a_fault_of_the_study(tiny):
    tiny.write_text(tiny.read_text().replace('"hinged"]', '"hinged", "no.py:make"]'))
    with pytest.raises(errors.ArgumentError) as refused:
        read_study(tiny)
    assert "no.py, which is not an existing file" in str(refused.value)
    assert "pretrain" not in str(refused.value)


def test_networks_that_one_pretraining_cannot_serve_are_a_fault_of_the_study(tiny):
    text = tiny.read_text().replace("width = 2", 'pretrained = "study"', 1)
    tiny.write_text(text.replace("[grid]", '[grid]\n"network.width" = [2, 3]', 1))
    said = r"pretrain: .*got networks of kind cnn that are pretrained differently; a study"
    with pytest.raises(errors.ArgumentError, match=said):
        read_study(tiny)


def test_scales_lay_their_settings_and_values_over_the_study(tiny):
    study = read_study(tiny)
    smoke, small, full = (study_cells(study, scale) for scale in SCALES)
    assert [len(smoke), len(small), len(full)] == [2, 2, 3]
    assert smoke[0].experiment.train_size == 100 and small[0].experiment.train_size is None
    assert small[1].experiment.seeds == (0, 1, 2, 3)
    assert smoke[1].experiment.network.width == 2
    assert study_cells(study, "small", seeds=2)[0].experiment.seeds == (0, 1)


def test_fallback_takes_the_place_of_the_data_and_of_their_axis(tiny):
    tiny.write_text(
        tiny.read_text()
        .replace("[grid]", '[grid]\ndata = ["mnist", "fashion-mnist"]')
        .replace("seeds = 3", 'seeds = 3\nfallback = "digits"')
    )
    study = read_study(tiny)
    assert {c.experiment.data for c in study_cells(study, "smoke")} == {"mnist", "fashion-mnist"}
    assert {c.experiment.data for c in study_cells(study, "smoke", fallback=True)} == {"digits"}
    assert trained(study)["data-mnist_hinges-3"] == ("relu", "hinged")


@pytest.mark.parametrize("name", shipped_studies())
def test_no_cell_needs_other_data_where_there_is_a_fallback(name):
    study = read_study(find_study(name))
    fallback = study.smoke.fallback
    if fallback is not None:
        data = {cell.experiment.data for cell in study_cells(study, "smoke", fallback=True)}
        assert data == {fallback}


def test_labels_leave_out_what_does_not_concern_an_activation(tiny):
    first, second = study_cells(read_study(tiny), "smoke")
    assert first.label("relu") == "" and second.label("hinged") == "hinges 9"


def test_variants_are_named(tiny):
    tiny.write_text(
        tiny.read_text().replace(
            "[smoke]",
            '[[variants]]\nname = "as it is"\n'
            '[[variants]]\nname = "wide"\nsettings = { network = { width = 3 } }\n[smoke]',
        )
    )
    found = {cell.name: cell for cell in study_cells(read_study(tiny), "smoke")}
    assert list(found) == [
        "as-it-is_hinges-3", "as-it-is_hinges-9", "wide_hinges-3", "wide_hinges-9"
    ]  # fmt: skip
    assert found["as-it-is_hinges-3"].label("relu") == ""
    assert found["wide_hinges-3"].label("relu") == "wide"
    assert found["wide_hinges-9"].label("hinged") == "hinges 9, wide"
    assert found["wide_hinges-3"].experiment.network.width == 3
    assert found["wide_hinges-3"].experiment.network.depth == 1


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"curves": {"hinges": 33}}, {"relu", "prelu"}),
        (
            {"training": {"curve_lr_factor": 3.0, "smoothing": 0.1, "curve_decay": 0.3}},
            {"relu", "prelu"},
        ),
        ({"training": {"activation_lr_factor": 3.0}}, {"relu", "hinged"}),
        ({"training": {"calibrate_after": 0.1, "curve_penalty": 1.0}}, {"relu", "prelu"}),
        ({"training": {"lr": 0.5}}, set()),
        ({"seeds": (5, 6)}, {"relu", "prelu", "hinged"}),
    ],
)
def test_plain_tells_which_networks_are_the_same(settings, same):
    base, other = build_experiment(), build_experiment(**settings)
    equal = {
        a
        for a in ("relu", "prelu", "hinged")
        if relevant_settings(base, a) == relevant_settings(other, a)
    }
    assert equal == same


@pytest.mark.parametrize(("tails", "same"), [("linear", True), ("free", False)])
def test_slopes_of_free_tails_have_the_rate_of_other_activations(tails, same):
    base, other = (
        build_experiment(curves={"tails": tails}, training={"activation_lr_factor": factor})
        for factor in (1.0, 3.0)
    )
    assert (relevant_settings(base, "hinged") == relevant_settings(other, "hinged")) == same


def test_a_value_of_an_axis_may_be_several_settings(tiny):
    value = "[{ width = 3, depth = 2 }, { width = 5 }]"
    tiny.write_text(tiny.read_text().replace("[grid]", f"[grid]\nnetwork = {value}"))
    found = study_cells(read_study(tiny), "smoke")
    assert [cell.name for cell in found[::2]] == ["network-3-2_hinges-3", "network-5_hinges-3"]
    networks = [(c.experiment.network.width, c.experiment.network.depth) for c in found[::2]]
    assert networks == [(3, 2), (5, 1)]


@pytest.mark.parametrize(
    ("trains", "same"),
    [("everything", False), ("head+curves", True), ("head+curves+norm", False), ("head", True)],
)
def test_training_the_curves_as_well_is_nothing_new_to_a_fixed_activation(trains, same):
    head = build_experiment(training={"trains": "head"})
    other = build_experiment(training={"trains": trains})
    assert (relevant_settings(head, "relu") == relevant_settings(other, "relu")) == same
    assert (relevant_settings(head, "prelu") == relevant_settings(other, "prelu")) == (
        trains == "head"
    )
    assert (relevant_settings(head, "hinged") == relevant_settings(other, "hinged")) == (
        trains == "head"
    )


@pytest.mark.parametrize("name", shipped_studies())
def test_cells_of_the_shipped_studies_have_names_of_their_own(name):
    study = read_study(find_study(name))
    for scale in SCALES:
        for fallback in (False, True):
            own = [cell.name for cell in study_cells(study, scale, fallback)]
            assert len(set(own)) == len(own) > 0
            assert all(re.fullmatch(r"[\w.-]+", word) for word in own)


def test_a_study_has_one_baseline(tiny):
    variants = '\n[[variants]]\nname = "a"\n[[variants]]\nname = "b"\n'
    tiny.write_text(tiny.read_text() + variants + 'settings = { baseline = "hinged" }\n')
    with pytest.raises(
        errors.ArgumentError,
        match="line 29, baseline: got 'hinged' and 'relu'; all experiments of a study have the",
    ):
        read_study(tiny)


def test_variants_other_than_the_first_need_no_baseline(tmp_path):
    path = tmp_path / "contenders.toml"
    path.write_text(helpers.CONTENDERS)
    found = {c.name: c.experiment.baseline for c in study_cells(read_study(path), "full")}
    assert found["head_train-size-100"] == "relu" and found["everything_train-size-100"] == "relu"
    assert found["head-and-curves_train-size-200"] == "hinged"
    path.write_text(helpers.CONTENDERS.replace('against = "first variant"', ""))
    with pytest.raises(errors.ArgumentError, match="the same baseline"):
        read_study(path)
