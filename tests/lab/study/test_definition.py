import pytest

from hinged import errors
from hinged.lab.study import cells, definition


def test_every_fault_is_named_at_once(tiny):
    tiny.write_text(
        tiny.read_text()
        .replace('question = "Does the number of hinges matter?"', 'measure = "beauty"')
        .replace("seeds = 4", "seeds = 1")
    )
    with pytest.raises(errors.ArgumentError) as caught:
        definition.parse_study(tiny)
    for part in (
        "got a file with 3 faults",
        "question: this key is missing",
        "line 2, measure: got 'beauty'; expected 'score'",
        "line 19, small.seeds: got 1; expected at least 2",
    ):
        assert part in str(caught.value)


def test_every_fault_of_every_experiment_is_named_at_once(tiny):
    tiny.write_text(
        tiny.read_text()
        .replace("[3, 9]", "[3, 9, 1]")
        .replace("[3, 9, 33]", "[3, 0]")
        .replace("depth = 1", "depht = 1")
        .replace("seeds = 4", 'seeds = 4\ngrid = { "network.width" = [1] }')
    )
    with pytest.raises(errors.ArgumentError) as caught:
        cells.read_study(tiny)
    assert str(caught.value).splitlines() == [
        "`hinged study tiny.toml`: got a file with 4 faults; correct them:",
        "  line 8, network.depht: there is no such key; did you mean 'depth'?",
        "  line 12, curves.hinges: got 1; expected at least 2 (scale smoke and small)",
        "  line 20, network.width: the [grid] table of the study has no such axis (scale small)",
        "  line 24, curves.hinges: got 0; expected at least 2 (scale full)",
    ]


def test_a_setting_of_a_scale_that_every_variant_sets_is_a_fault(tiny):
    variant = '[[variants]]\nname = "{}"\nsettings = {{ training = {{ epochs = {} }} }}\n'
    scale = "[full]\nsettings = { training = { epochs = 9 } }\n"
    text = tiny.read_text().replace("[full]\n", scale)
    tiny.write_text(text + variant.format("a", 2) + '[[variants]]\nname = "b"\n')
    cells.read_study(tiny)  # The setting is that of the variant `b`.
    tiny.write_text(text + variant.format("a", 2) + variant.format("b", 3))
    fault = r"training\.epochs: has no effect at this scale, because every variant sets it"
    with pytest.raises(errors.ArgumentError, match=rf"line 22, {fault} \(scale full\)"):
        cells.read_study(tiny)


def test_a_fault_at_all_scales_is_named_once(tiny):
    tiny.write_text(tiny.read_text().replace("depth = 1", "depht = 1"))
    with pytest.raises(errors.ArgumentError) as caught:
        cells.read_study(tiny)
    assert str(caught.value) == (
        "`hinged study tiny.toml`: got a file with a fault: line 8, network.depht: there is no "
        "such key; did you mean 'depth'? Correct it."
    )


def test_unknown_names_are_faults_too(tiny):
    tiny.write_text(tiny.read_text().replace('"relu", "hinged"', '"relu", "hnged"'))
    found = "line 7, activations: got 'hnged'; did you mean 'hinged'"
    with pytest.raises(errors.ArgumentError, match=found):
        cells.read_study(tiny)


def test_a_study_needs_no_doubts(tiny):
    tiny.write_text(tiny.read_text().replace('unsure = "Two blocks are not tried."', ""))
    assert cells.read_study(tiny).unsure == ""


def test_the_activations_of_the_question_are_trained(tiny):
    tiny.write_text(
        tiny.read_text().replace("[settings]", 'yes_if = { than = ["rlu"] }\n[settings]')
    )
    with pytest.raises(
        errors.ArgumentError, match=r"line 5, yes_if\.than: got 'rlu'; no experiment"
    ):
        cells.read_study(tiny)


def test_what_is_no_toml_gets_a_sentence(tiny):
    tiny.write_text("question = ")
    with pytest.raises(
        errors.ArgumentError, match="got a file that is not valid TOML: Invalid value"
    ):
        definition.parse_study(tiny)


def test_studies_are_found_by_name_or_file(tiny):
    assert definition.find_study(str(tiny)) == tiny
    assert definition.find_study("hinges").name == "hinges.toml"
    with pytest.raises(errors.UnknownNameError, match="did you mean 'hinges'"):
        definition.find_study("hinge")
    with pytest.raises(errors.ArgumentError, match="no file"):
        definition.find_study("nowhere.toml")
