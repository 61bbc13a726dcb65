"""Counting against hand formulas, against torch's own counter, and against gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fashionlib.blocks import PLANS, InvertedResidual, MobileNetBackbone, conv_bn
from fashionlib.counting import (
    Field,
    count_macs,
    count_parameters,
    footprint,
    layer_table,
    measured_receptive_field,
    receptive_field,
    receptive_fields,
)
from fashionlib.heads import build_classifier


def test_parameters_of_a_block_by_hand():
    assert count_parameters(InvertedResidual(24, 32, 3)) == (
        24 * 72 + 2 * 72 + 9 * 72 + 2 * 72 + 72 * 32 + 2 * 32
    )


@pytest.mark.parametrize(("groups", "bias"), [(1, False), (1, True), (8, False), (2, True)])
def test_macs_of_a_convolution_by_hand(groups, bias):
    conv = nn.Conv2d(8, 16, (3, 5), stride=(2, 1), padding=(1, 2), groups=groups, bias=bias)
    assert count_macs(conv, (11, 7), channels=8) == (8 // groups) * 16 * 15 * 6 * 7


def test_macs_of_a_linear_layer_by_hand():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 7))
    assert count_macs(network, 4) == 48 * 7


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("size", [64, (45, 70)])
def test_macs_are_half_of_what_torch_counts_as_flops(plan, size):
    network = build_classifier(plan).eval()
    height, width = (size, size) if isinstance(size, int) else size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, height, width))
    assert 2 * count_macs(network, size) == counter.get_total_flops()


def test_a_network_in_double_precision_counts_as_much():
    network = MobileNetBackbone("article")
    count = count_macs(network, 32)
    assert count_macs(network.double(), 32) == count


def test_a_layer_that_runs_twice_counts_twice():
    conv = nn.Conv2d(3, 3, 1)
    assert count_macs(nn.Sequential(conv, nn.ReLU(), conv), 8) == 2 * 9 * 64


def test_counting_leaves_the_module_as_it_was():
    network = build_classifier("article").train()
    network.backbone.blocks[1].eval()  # a mixture, as with a frozen part
    modes = [part.training for part in network.modules()]
    before = copy.deepcopy(network.state_dict())
    count_macs(network, 16)  # its last maps are one pixel: in training there would be no norm
    layer_table(network, (3, 32, 32))
    footprint(network.backbone.blocks, 32)
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert not any(part._forward_hooks for part in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_module_is_restored_when_it_fails():
    block = InvertedResidual(24, 32).train()
    with pytest.raises(RuntimeError, match="channels"):
        count_macs(block, 32, channels=3)
    assert all(part.training for part in block.modules())
    assert not any(part._forward_hooks for part in block.modules())


def test_layer_table_of_a_block():
    lines = layer_table(InvertedResidual(24, 32, 3, stride=2), (24, 9, 9), depth=1)
    assert [(line.name, line.shape) for line in lines] == [
        ("expand", (72, 9, 9)),
        ("filter", (72, 5, 5)),
        ("project", (32, 5, 5)),
    ]
    assert [line.parameters for line in lines] == [1872, 792, 2368]
    assert [line.macs for line in lines] == [24 * 72 * 81, 9 * 72 * 25, 72 * 32 * 25]


@pytest.mark.parametrize("depth", [0, 1, 2, 3, None])
@pytest.mark.parametrize("plan", PLANS)
def test_layer_table_adds_up_at_every_depth(plan, depth):
    network = build_classifier(plan)
    lines = layer_table(network, (3, 40, 40), depth)
    if depth == 2:
        # the backbone's list of blocks is one line and the head's layer another
        assert [line.name for line in lines] == ["backbone.blocks", "head.linear"]
    assert sum(line.parameters for line in lines) == count_parameters(network)
    assert sum(line.macs for line in lines) == count_macs(network, 40)


def test_receptive_field_by_hand():
    # 3, then 3 + 2·2, then 7 + 4·4, with steps 2, 4, 4
    network = nn.Sequential(
        conv_bn(3, 4, kernel=3, stride=2), conv_bn(4, 4, kernel=3, stride=2), nn.Conv2d(4, 4, 5)
    )
    assert receptive_fields(network) == [
        Field("0.0", kernel=3, stride=2, size=3, step=2),
        Field("1.0", kernel=3, stride=2, size=7, step=4),
        Field("2", kernel=5, stride=1, size=23, step=4),
    ]


@pytest.mark.parametrize(("plan", "field"), [("article", 31), ("fashion", 263)])
def test_receptive_fields_of_the_plans(plan, field):
    assert receptive_field(MobileNetBackbone(plan)) == field


@pytest.mark.parametrize("plan", PLANS)
def test_the_formula_is_what_gradients_see(plan):
    torch.manual_seed(0)
    blocks = MobileNetBackbone(plan).blocks
    assert measured_receptive_field(blocks) == receptive_field(blocks)


def test_a_footprint_adds_up_how_strongly_and_not_which_way():
    """A filter for red against green looks at the pixel, though its two gradients sum up to 0.

    All filters of the map count: the second one here looks at blue.
    """
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    network[0].weight.data = torch.tensor([[2.0, -2, 0], [0, 0, 3]]).view(2, 3, 1, 1)
    wanted = torch.zeros(3, 3, dtype=torch.float64)
    wanted[1, 1] = 2 + 2 + 3
    assert torch.equal(footprint(network, 3), wanted)


def test_a_footprint_is_of_a_picture_with_bright_and_with_dark_pixels():
    """As prepared ones are, about 0: of what answers to either alone, each has its share."""
    bright, dark = (nn.Sequential(nn.Conv2d(3, 27, 3, bias=False), nn.ReLU()) for _ in range(2))
    bright[0].weight.data = torch.eye(27).view(27, 3, 3, 3)
    dark[0].weight.data = -bright[0].weight
    seen = [footprint(network, 3) for network in (bright, dark)]
    assert all(share.any() for share in seen)
    assert torch.equal(sum(seen), torch.full((3, 3), 3.0).double())  # of each of three colours


def test_a_larger_kernel_is_measured_larger():
    torch.manual_seed(0)
    network = nn.Sequential(conv_bn(3, 8, kernel=5, stride=2), InvertedResidual(8, 8, 2))
    assert measured_receptive_field(network, 40) == 5 + 2 * 2 == receptive_field(network)
