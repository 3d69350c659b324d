"""Every form of data that users pass reaches the model as they mean it."""

import itertools
from collections import UserDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import hinged
from hinged import errors
from hinged.model.observation.batches import Batches

X, Y = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))


def calls(data, model=None, **more):
    return list(Batches(data, "caller", **more).calls(model or nn.Linear(3, 1)))


class Sum(nn.Module):
    """A network with two inputs."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 5)

    def forward(self, x, other):
        return self.line(x + other).relu()


@pytest.mark.parametrize(
    "data",
    [
        {"x": X, "other": Y},
        UserDict(x=X, other=Y),
        [{"x": X, "other": Y}],
        [UserDict(x=X, other=Y)],
        ((X, Y), torch.zeros(4)),
        [((X, Y), torch.zeros(4))],
        [[[X, Y], torch.zeros(4)]],
        ({"x": X, "other": Y}, torch.zeros(4)),
        ((X, Y),),
    ],
)
def test_models_with_several_inputs(data):
    model = Sum()
    before = model(X, Y)
    hinged.convert(model, data)
    assert torch.equal(model(X, Y), before) and hinged.sites(model)[0].channels == 5


def test_models_with_one_input():
    loader = DataLoader(TensorDataset(X, Y), batch_size=2)
    for data in (X, (X, Y), [X, X], [(X, Y)], [[X, Y]], loader):
        for call in calls(data):
            assert len(call.args) == 1 and call.args[0].shape[-1] == 3 and not call.kwargs


class OneDictionary(nn.Module):
    """A network whose one argument is a mapping."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 5)

    def forward(self, batch, scale=1.0):
        return self.line(batch["x"] * scale).relu()


class ListOfTensors(nn.Module):
    """A network that takes a list of images of different sizes, and says so."""

    def __init__(self):
        super().__init__()
        self.line, self.act = nn.Linear(3, 5), nn.ReLU()

    def forward(self, images: list[torch.Tensor], targets: list | None = None):
        assert isinstance(images, list) and targets is None
        return self.act(self.line(torch.stack([x.mean(0) for x in images])))


class UndeclaredList(ListOfTensors):
    """The same network without annotations."""

    def forward(self, images):
        return self.act(self.line(torch.stack([x.mean(0) for x in images])))


class Packed(nn.Module):
    """A recurrent network for a packed sequence."""

    def __init__(self):
        super().__init__()
        self.cells, self.head = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 5)

    def forward(self, sequence):
        return self.head(self.cells(sequence)[1][-1]).relu()


class Graph:
    """Stands for a batch of graphs: an iterable object whose method `to` changes the object."""

    def __init__(self, x):
        self.x = x

    def __iter__(self):
        yield "x", self.x

    def to(self, device):
        self.x = self.x.to(device)
        return self

    def __deepcopy__(self, memo):
        return Graph(self.x.clone())


class OneGraph(nn.Module):
    """A network that takes a batch of graphs and, as is usual, writes into it."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 5)

    def forward(self, data):
        data.x = self.line(data.x).relu()
        return data.x


RECORD = {"x": X, "y": torch.zeros(4)}
IMAGES, TARGETS = [torch.rand(4, 3), torch.rand(2, 3)], [{}, {}]
SEQUENCE = pack_padded_sequence(torch.randn(4, 5, 3), [5, 4, 2, 1], batch_first=True)
GRAPH = Graph(X)
FORMS = [
    (OneDictionary, RECORD),
    (OneDictionary, [RECORD]),
    (OneDictionary, (RECORD, None)),
    (OneDictionary, ((RECORD,), None)),
    (OneDictionary, {"batch": RECORD}),
    (OneDictionary, {"batch": RECORD, "scale": 2.0}),
    (OneDictionary, UserDict(RECORD)),
    (OneDictionary, ((UserDict(RECORD), 2.0), None)),
    (ListOfTensors, IMAGES),
    (ListOfTensors, (IMAGES, TARGETS)),
    (ListOfTensors, [(tuple(IMAGES), tuple(TARGETS))]),
    (ListOfTensors, ((IMAGES,), None)),
    (ListOfTensors, {"images": IMAGES}),
    (UndeclaredList, (IMAGES, TARGETS)),
    (UndeclaredList, ((IMAGES,), None)),
    (Packed, SEQUENCE),
    (Packed, [SEQUENCE, SEQUENCE]),
    (Packed, [(SEQUENCE, Y)]),
    (Packed, ((SEQUENCE,), Y)),
    (OneGraph, GRAPH),
    (OneGraph, [GRAPH, GRAPH]),
    (OneGraph, (GRAPH, Y)),
    (OneGraph, ((GRAPH,), None)),
    (OneGraph, {"data": GRAPH}),
]


@pytest.mark.parametrize("network, data", FORMS)
def test_forms_of_input(network, data):
    model = hinged.convert(network(), data)
    assert [site.channels for site in hinged.sites(model, data).converted] == [5]
    assert not hinged.diagnose(model, data).unreached
    assert hinged.calibrate(model, data).layers
    assert GRAPH.x is X, "the model must write into a copy"


@dataclass
class Record:
    """A batch that only its owner can read."""

    image: torch.Tensor


PAIR = namedtuple("PAIR", "image label")


@pytest.mark.parametrize(
    "data, call",
    [
        (Record(X), lambda model, batch: model(batch.image)),
        ([Record(X), Record(Y)], lambda model, batch: model(batch.image)),
        (PAIR(X, Y), lambda model, batch: model(batch.label)),
        ((X, Y, X), lambda model, batch: model(batch[0] + batch[2])),
        ("text", lambda model, batch: model(torch.ones(len(batch), 3))),
        (["some", "texts"], lambda model, batch: model(torch.ones(len(batch), 3))),
        (np.ones((2, 4, 3)), lambda model, batch: model(torch.as_tensor(batch).float())),
        (3, lambda model, batch: model(torch.ones(batch, 3))),
    ],
)
def test_a_function_that_calls_the_model(data, call):
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
    assert len(hinged.sites(model, data, call=call).converted) == 1
    hinged.convert(model, data, call=call)
    for use in (hinged.calibrate, hinged.sites, hinged.diagnose, hinged.plot):
        use(model, data, call=call)
    hinged.simplify(model, 0.1, data, call=call)
    assert hinged.to_native(model, 0.1, data, call=call).layers["1"].nearest


def test_the_function_may_call_another_method():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.line, self.last = nn.Linear(3, 5), nn.Linear(5, 1)

        def training_step(self, batch):
            return self.last(self.line(batch[0]).relu()).mean()

    model = hinged.convert(
        Network(), [(X, Y)], call=lambda model, batch: model.training_step(batch)
    )
    assert len(hinged.sites(model).converted) == 1


class Endless(IterableDataset):
    """A data set without an end."""

    def __iter__(self):
        return (X[0] for _ in itertools.count())


ENDLESS = [
    lambda: itertools.repeat((X, Y)),
    lambda: (X for _ in itertools.count()),
    lambda: itertools.cycle([X, Y]),
    lambda: DataLoader(Endless(), batch_size=2),
]


@pytest.mark.parametrize("data", ENDLESS)
def test_the_number_of_batches_bounds_endless_data(data):
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    hinged.convert(model, data(), batches=3)
    for use in (hinged.calibrate, hinged.sites, hinged.diagnose, hinged.plot):
        use(model, data(), batches=2)
    hinged.simplify(model, 0.1, data(), batches=2)
    assert hinged.to_native(model, 0.1, data(), batches=1).layers["1"].nearest


def test_no_batch_beyond_the_bound_is_drawn():
    data = iter([X, X, X])
    assert len(calls(data, limit=2)) == 2 and len(list(data)) == 1


def test_very_many_batches_without_a_length_get_a_warning(monkeypatch):
    monkeypatch.setattr("hinged.model.observation.batches.MANY", 3)
    with pytest.warns(errors.ManyBatchesWarning, match="pass batches=..., the number of batches"):
        calls(x for x in [X] * 4)
    assert len(calls([X] * 4)) == 4


def test_nested_tensors_move_to_the_device_of_the_model():
    model = nn.Linear(3, 1, device="meta")
    graph = Graph(X)
    for data in (
        ((X, {"a": [X, (X,)]}), None),
        {"input": {"a": X}},
        ((UserDict(a=X), [UserDict(a=X)]), None),
        ((graph,), None),
        ((torch.nested.nested_tensor([X, X], layout=torch.jagged),), None),
    ):
        (call,) = calls(data, model)
        assert {x.device.type for x in tensors_of(call)} == {"meta"}
    assert graph.x.device.type == "cpu"


def tensors_of(x):
    if isinstance(x, torch.Tensor):
        return [x]
    if isinstance(x, dict | UserDict):
        x = list(x.values())
    elif not isinstance(x, tuple | list):
        x = list(vars(x).values()) if x is not None else []
    return [tensor for each in x for tensor in tensors_of(each)]


def test_copies_are_deep():
    packed = pack_padded_sequence(torch.ones(2, 1, 3), [2])
    data = (([X.clone()], UserDict(a=X.clone()), {"b": Graph(X.clone())}, packed), None)
    (call,) = calls(data)
    before = [x.clone() for x in tensors_of(call)]
    for x in tensors_of(call.copy()):
        x.add_(1)
    assert all(map(torch.equal, tensors_of(call), before))


@pytest.mark.parametrize(
    "data, said",
    [
        ((X, Y, X), "a tuple of length 3"),
        (3, "an int"),
        ([], "no batches"),
        (["text"], "a batch that is a str"),
        ([("text", X)], "a batch that is a tuple"),
        ([((), X)], "a batch that is a tuple"),
        ([([], X)], "a batch that is a tuple"),
        (Record(X), "a Record"),
        ([Record(X)], "a batch that is a Record"),
    ],
)
def test_refusals(data, said):
    with pytest.raises(errors.ArgumentError, match=f"`caller.data=....`: got {said}"):
        calls(data)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"call": 3}, r"`hinged.convert\(call=...\)`: got 3; expected a function"),
        ({"batches": 0}, r"`hinged.convert\(batches=...\)`: got 0; expected a whole number"),
        ({"batches": True}, r"`hinged.convert\(batches=...\)`: got True"),
        ({"batches": 2.0}, r"`hinged.convert\(batches=...\)`: got 2.0"),
    ],
)
def test_refused_settings(more, said):
    with pytest.raises(errors.ArgumentError, match=said):
        hinged.convert(nn.Sequential(nn.Linear(3, 1), nn.ReLU()), X, **more)


def test_a_model_without_a_signature_gets_mappings_as_keywords(monkeypatch):
    def no_signature(*_):
        raise ValueError

    monkeypatch.setattr("inspect.signature", no_signature)
    (call,) = calls(RECORD)
    assert call.kwargs.keys() == {"x", "y"}
