import pytest

from hinged.lab.study.faults import experiment_faults, list_faults, with_lines

TEXT = """question = "Why?"

[settings]
# epochs = 3 is too few
data = "mnst"
training = { epochs = 0 }

[grid]
"curves.hinges" = [1]

[small]
settings = { training = { epochs = 0 } }

[full]
settings = { data = "digits" }
"""


@pytest.mark.parametrize(
    ("fault", "scales", "lines"),
    [
        ("training.epochs: got 0", ["small"], "line 12, "),
        ("training.epochs: got 0", ["full"], "line 6, "),
        ("training.epochs: got 0", ["smoke", "small", "full"], "line 12, "),
        ("curves.hinges: got 1", ["small"], "line 9, "),
        ("data: got 'mnst'; did you mean 'mnist'?", ["small", "full"], "line 5, "),
        ("network.depht: there is no such key", [], ""),
    ],
)
def test_a_fault_is_found_on_the_line_of_its_key(fault, scales, lines):
    assert with_lines(fault, TEXT, scales) == lines + fault


def test_a_key_on_many_lines_gets_no_line():
    text = "\n".join(f"[a{number}]\nseeds = 1" for number in range(4))
    assert with_lines("seeds: got 1", text) == "seeds: got 1"
    assert with_lines("seeds: got 1", text.partition("[a3]")[0]) == "lines 2, 4, 6, seeds: got 1"


def test_faults_of_an_experiment_name_their_setting():
    assert experiment_faults({"data": "digits"}) == []
    wrong = {"training": {"epochs": 0, "lrr": 1}, "network": {"widht": 2}}
    assert experiment_faults(wrong) == [
        "network.widht: there is no such key; did you mean 'width'?",
        "training.epochs: got 0; expected at least 1",
        "training.lrr: there is no such key; did you mean 'lr'?",
    ]
    (unknown,) = experiment_faults({"data": "mnst"})
    assert unknown.startswith("data: got 'mnst'; did you mean 'mnist'")


def test_a_single_fault_is_one_sentence():
    assert list_faults("a.toml", ["line 2, seeds: got 1"]) == (
        "`hinged study a.toml`: got a file with a fault: line 2, seeds: got 1. Correct it."
    )
