from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.setting_list import list_settings


def leaves(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_every_setting_is_listed_with_its_default():
    assert {name: each.default for name, each in list_settings().items()} == dict(
        leaves(Experiment().model_dump())
    )


def test_every_setting_has_a_meaning_on_one_line():
    for name, setting in list_settings().items():
        assert len(setting.meaning) > 10 and "\n" not in setting.meaning, name
        assert setting.meaning.startswith(setting.summary) and setting.summary.endswith("."), name


def test_defaults_as_texts():
    settings = list_settings()
    names = ("folds", "training.augment", "activations", "training.lr", "network.batch_norm")
    texts = [settings[name].default_text for name in names]
    assert texts == ["-", "-", "relu,leaky_relu,prelu,silu,hinged", "0.006", "False"]
