import inspect

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from hinged.nn import check_model

X = torch.zeros(4, 2)


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU())


NOT_MODELS = {
    "text": (
        "resnet18",
        r"got the text 'resnet18'; build the model first .*\.models\.resnet18\(\)",
    ),
    "other text": ("vgg11", r"models\.vgg11\(\)"),
    "path": ("runs/model.pt", r"got the text 'runs/model\.pt'; .* pass it, .*\.resnet18\(\)"),
    "class": (nn.Linear, r"got the class Linear; make a model .* model = Linear\(\.\.\.\)"),
    "tensor": (X, r"got a tensor of shape \(4, 2\); the model is the first argument"),
    "optimiser": (
        torch.optim.SGD(network().parameters(), lr=0.1),
        "got the optimizer SGD; pass the model that it trains",
    ),
    "state": (network().state_dict(), r"OrderedDict, which is not .* model\.load_state_dict"),
    "list": ([network()], "got a list, which is not a model; pass the model itself"),
    "None": (None, r"got None; expected a model, which is a torch\.nn\.Module"),
    "function": (len, "expected a model"),
}

VERBS = {
    "hinged.convert": lambda model: hinged.convert(model, X),
    "hinged.sites": lambda model: hinged.sites(model, X),
    "hinged.revert": hinged.revert,
    "hinged.calibrate": lambda model: hinged.calibrate(model, X),
    "hinged.calibrate_after": lambda model: hinged.calibrate_after(model, 10),
    "hinged.constrain": lambda model: hinged.constrain(model, monotone=True),
    "hinged.copy_curves": hinged.copy_curves,
    "hinged.diagnose": lambda model: hinged.diagnose(model, X),
    "hinged.History.record": hinged.History().record,
    "hinged.load_curves": lambda model: hinged.load_curves(model, "curves.safetensors"),
    "hinged.monitor_range": hinged.monitor_range,
    "hinged.param_groups": lambda model: hinged.param_groups(model, 0.1),
    "hinged.penalty": hinged.penalty,
    "hinged.plot": hinged.plot,
    "hinged.save_curves": lambda model: hinged.save_curves(model, "curves.safetensors"),
    "hinged.share": lambda model: hinged.share(model, 0.1),
    "hinged.simplify": lambda model: hinged.simplify(model, 0.1),
    "hinged.to_native": hinged.to_native,
    "hinged.train_only": hinged.train_only,
}


@pytest.mark.parametrize("kind", NOT_MODELS)
def test_the_message_says_what_to_pass_instead_of_what_came(kind):
    given, message = NOT_MODELS[kind]
    with pytest.raises(errors.ArgumentError, match=message):
        check_model(given, "a call")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("given", ["resnet18", nn.Linear, X, len], ids=str)
def test_every_function_of_a_model_names_itself_when_it_gets_something_else(verb, given):
    with pytest.raises(errors.ArgumentError) as caught:
        VERBS[verb](given)
    assert str(caught.value).startswith(f"`{verb}(model)`: got ")


def test_every_verb_that_takes_a_model_is_tried():
    taking = {
        f"hinged.{name}"
        for name in hinged.__all__
        if callable(getattr(hinged, name))
        and "model" in inspect.signature(getattr(hinged, name)).parameters
    }
    assert taking == VERBS.keys() - {"hinged.History.record"}


@pytest.mark.parametrize("listed", [iter, list])
@pytest.mark.parametrize("parameters", [nn.Module.parameters, nn.Module.named_parameters])
def test_parameters_are_answered_with_the_model(listed, parameters):
    message = r"not a model; pass the model itself, not its parameters: hinged.param_groups\(model"
    with pytest.raises(errors.ArgumentError, match=message):
        hinged.param_groups(listed(parameters(network())), 0.1)
