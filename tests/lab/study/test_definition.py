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
    for part in ("question: Field required", "measure: Input should be", "small.seeds: Input"):
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
    said = str(caught.value)
    assert "network.depht: Extra inputs are not permitted" in said
    assert "[smoke] `build_experiment`: got network.depht" in said
    assert "[full]" in said and "curves.hinges: Input should be greater" in said
    assert "[small] grid: the [grid] table of the study has no axis network.width" in said


def test_unknown_names_are_faults_too(tiny):
    tiny.write_text(tiny.read_text().replace('"relu", "hinged"', '"relu", "hnged"'))
    with pytest.raises(errors.ArgumentError, match="did you mean 'hinged'"):
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
