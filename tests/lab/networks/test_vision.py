import pytest
import torch
from torch import nn

from hinged import errors
from hinged.lab.networks import vision

SIZES = {  # Published numbers of parameters, for 1,000 classes of ImageNet.
    "mobilenet_v2": 3504872,
    "resnet18": 11689512,
    "squeezenet1_0": 1248424,
}


@pytest.mark.parametrize("kind", SIZES)
def test_networks_for_large_images_have_the_published_sizes(kind):
    model = vision.find_vision_network(kind).make(1000, 224)
    assert sum(p.numel() for p in model.parameters()) == SIZES[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", vision.NETWORKS)
def test_a_network_has_a_head_for_the_classes(kind):
    found = vision.find_vision_network(kind)
    model = found.make(7, 32).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    (head,) = (model.get_submodule(name) for name in found.head)
    assert head.weight.shape[0] == 7
    others = [p for n, p in model.named_parameters() if not n.startswith(found.head)]
    larger = dict(found.make(9, 32).named_parameters())
    assert [p.shape for p in others] == [
        p.shape for n, p in larger.items() if not n.startswith(found.head)
    ]


def test_resnet18_has_a_stem_for_small_images_below_48_pixels():
    small, large = vision.resnet18(2, 47), vision.resnet18(2, 48)
    assert small.conv1.stride == (1, 1) and isinstance(small.maxpool, nn.Identity)
    assert large.conv1.stride == (2, 2) and isinstance(large.maxpool, nn.MaxPool2d)


def test_vgg11_starts_with_torchvisions_layers_in_torchvisions_order():
    models = pytest.importorskip("torchvision").models
    with torch.device("meta"):
        whole = models.vgg11_bn()
    small = vision.find_vision_network("vgg11_bn").make(3, 127)
    shapes = {n: p.shape for n, p in whole.state_dict().items() if n.startswith("features.")}
    own = {n: p.shape for n, p in small.state_dict().items() if n.startswith("features.")}
    assert own == shapes


def test_networks_of_timm_by_name():
    pytest.importorskip("timm")
    found = vision.find_vision_network("timm:resnet10t")
    assert found.head == ("fc",)
    assert found.make(5, 32).fc.out_features == 5
    with pytest.raises(errors.UnknownNameError, match="did you mean resnet10t"):
        vision.find_vision_network("timm:resnet10tt")
