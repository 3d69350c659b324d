import pytest

from hinged.cli.option_names import SETTING_OPTIONS
from hinged.lab.experiment.schema import Experiment
from hinged.lab.runs.build_experiment import build_experiment
from tests.cli.all_commands import all_commands
from tests.cli.run_command import run


def parameters(command):
    found = all_commands()[command].params
    return {option: parameter for parameter in found for option in parameter.opts}


@pytest.mark.parametrize("command", ["compare", "train"])
def test_every_setting_option_has_a_help_text(command):
    options = parameters(command)
    for option in SETTING_OPTIONS.values():
        assert len(options[option].help) > 10, option


@pytest.fixture
def build(monkeypatch):
    """Return a function that gives the experiment of a command instead of running it."""

    def build(*arguments):
        built = []

        def stop(*assignments, **settings):
            built.append(build_experiment(*assignments, **settings))
            raise SystemExit

        monkeypatch.setattr("hinged.lab.cli.run_commands.build_experiment", stop)
        run(*arguments)
        return built[0]

    return build


def test_without_options_a_command_uses_the_defaults_of_the_settings(build):
    assert build("compare") == Experiment()
    one = {"activations": ("hinged",), "seeds": (0,), "baseline": "hinged"}
    assert build("train") == Experiment().model_copy(update=one)


def test_the_default_network_of_a_table_is_an_mlp(build):
    assert build("compare", "--data", "wine.csv").network.kind == "mlp"
    assert build("compare", "--data", "wine.csv", "--model", "cnn").network.kind == "cnn"
    assert build("train", "--data", "digits").network.kind == "cnn"


def test_every_option_reaches_its_setting(build):
    values = {
        "data": ("wine.csv:kind", "wine.csv:kind"),
        "train_size": ("50", 50),
        "test_size": ("20", 20),
        "table.task": ("regression", "regression"),
        "table.split": ("group:customer", "group:customer"),
        "table.leave_out": ("id, name", ("id", "name")),
        "network.kind": ("bypass-mlp", "bypass-mlp"),
        "network.width": ("3", 3),
        "network.depth": ("4", 4),
        "network.batch_norm": (None, True),
        "network.pretrained": ("imagenet", "imagenet"),
        "network.image_size": ("48", 48),
        "curves.hinges": ("11", 11),
        "curves.low": ("-2", -2.0),
        "curves.high": ("4", 4.0),
        "curves.init": ("gelu", "gelu"),
        "training.trains": ("head+curves", "head+curves"),
        "training.epochs": ("7", 7),
        "training.batch_size": ("64", 64),
        "training.lr": ("0.5", 0.5),
        "training.weight_decay": ("0.25", 0.25),
        "training.augment": ("crop, flip", ("crop", "flip")),
    }
    assert values.keys() == SETTING_OPTIONS.keys()
    arguments = []
    for setting, (text, _) in values.items():
        option = SETTING_OPTIONS[setting]
        arguments += [] if option in arguments else [option]
        arguments += [] if text is None else [text]
    experiment = build("compare", *arguments).model_dump()
    for setting, (_, value) in values.items():
        section, _, name = setting.rpartition(".")
        assert (experiment[section] if section else experiment)[name] == value, setting
