"""The block does what the paper's table 1 says, and counts what the chapter says."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenetv2

from fashionlib.blocks import PLANS, InvertedResidual, MobileNetBackbone, conv_bn
from fashionlib.counting import count_parameters
from fashionlib.heads import build_classifier, build_encoder


def settled(module: nn.Module, channels: int) -> nn.Module:
    """In evaluation mode, with normalisation statistics and scales that are not the defaults."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            size = part.running_mean.shape
            part.running_mean.copy_(torch.randn(size, generator=generator) * 0.2)
            part.running_var.copy_(torch.rand(size, generator=generator) + 0.3)
            part.weight.data.copy_(torch.rand(size, generator=generator) + 0.5)
            part.bias.data.copy_(torch.randn(size, generator=generator) * 0.3)
    return module.eval()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 5)])
@pytest.mark.parametrize("project_skip", [False, True])
def test_shapes_round_up(stride, size, project_skip):
    block = InvertedResidual(4, 6, 3, stride, project_skip=project_skip).eval()
    out = block(torch.zeros(2, 4, *size))
    assert out.shape == (2, 6, -(-size[0] // stride), -(-size[1] // stride))


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_bn_shapes(kernel, stride):
    out = conv_bn(3, 5, kernel, stride)(torch.zeros(2, 3, 10, 7))
    assert out.shape == (2, 5, -(-10 // stride), -(-7 // stride))
    assert out.min() >= 0
    assert out.max() <= 6


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("out_channels", [4, 6])
def test_the_skip_is_there_only_where_shapes_agree(stride, out_channels):
    allowed = stride == 1 and out_channels == 4
    block = settled(InvertedResidual(4, out_channels, 3, stride), 4)
    x = torch.randn(2, 4, 7, 7)
    straight = block.project(block.filter(block.expand(x)))
    wanted = straight + x if allowed else straight
    assert (block.skip is not None) == allowed
    torch.testing.assert_close(block(x), wanted)


@pytest.mark.parametrize(("stride", "out_channels"), [(1, 6), (2, 4), (2, 6)])
def test_a_projected_skip_is_added(stride, out_channels):
    block = settled(InvertedResidual(4, out_channels, 3, stride, project_skip=True), 4)
    x = torch.randn(2, 4, 7, 7)
    straight = block.project(block.filter(block.expand(x)))
    assert not torch.allclose(block(x), straight)
    torch.testing.assert_close(block(x), straight + block.skip(x))
    assert (block.skip(x) < 0).any()  # linear, as the path beside it


def test_a_projected_skip_is_a_plain_one_where_shapes_agree():
    assert isinstance(InvertedResidual(4, 4, project_skip=True).skip, nn.Identity)


@pytest.mark.parametrize("plan", ["article", "fashion"])
def test_filters_are_depthwise(plan):
    for block in MobileNetBackbone(plan).blocks[1:]:
        conv = block.filter[0]
        assert conv.weight.shape == (conv.out_channels, 1, 3, 3)


def test_without_groups_they_are_dense():
    assert InvertedResidual(4, 6, 3, depthwise=False).filter[0].weight.shape == (12, 12, 3, 3)


@pytest.mark.parametrize(
    ("plan", "parameters"),
    [("article", 33_039), ("article-dense", 429_399), ("fashion", 428_679)],
)
def test_parameter_counts(plan, parameters):
    assert count_parameters(build_classifier(plan, classes=7)) == parameters


def test_the_dense_plan_is_the_articles_but_for_the_groups():
    assert PLANS["article-dense"] == replace(PLANS["article"], depthwise=False)


def test_the_fashion_plan_stays_within_the_articles_budget():
    assert count_parameters(build_classifier("fashion", classes=7)) <= 429_399


@pytest.mark.parametrize("build", [build_classifier, build_encoder])
def test_unless_told_otherwise_our_network_is_built_and_not_the_articles(build):
    assert build().backbone.plan == PLANS["fashion"]


@pytest.mark.parametrize(("stride", "out_channels"), [(1, 6), (2, 6), (1, 4)])
@pytest.mark.parametrize("depthwise", [True, False])
def test_equals_the_functional_forward(stride, out_channels, depthwise):
    block = settled(InvertedResidual(4, out_channels, 3, stride, depthwise=depthwise), 4)
    x = 4 * torch.randn(2, 4, 9, 7)
    s = block.state_dict()

    def norm(values, name):
        mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        scale = s[f"{name}.weight"] / (var + 1e-5).sqrt()
        shift = s[f"{name}.bias"] - mean * scale
        return values * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)

    wide = norm(F.conv2d(x, s["expand.0.weight"]), "expand.1").clamp(0, 6)
    assert (wide == 6).any()  # else a ReLU without an end would do
    groups = 12 if depthwise else 1
    wide = F.conv2d(wide, s["filter.0.weight"], stride=stride, padding=1, groups=groups)
    out = norm(F.conv2d(norm(wide, "filter.1").clamp(0, 6), s["project.0.weight"]), "project.1")
    if stride == 1 and out_channels == 4:
        out = out + x
    torch.testing.assert_close(block(x), out)
    assert (block(x) < 0).any()  # linear bottleneck: nothing clips the end


@pytest.mark.parametrize(("stride", "out_channels"), [(1, 6), (2, 6), (1, 4), (2, 4)])
def test_equals_torchvisions_block_with_the_same_weights(stride, out_channels):
    ours = settled(InvertedResidual(4, out_channels, 6, stride), 4)
    theirs = mobilenetv2.InvertedResidual(4, out_channels, stride, expand_ratio=6)
    # both hold the same tensors in the same order: convolution, norm, three times
    pairs = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(pairs))
    x = torch.randn(2, 4, 9, 7)
    torch.testing.assert_close(ours(x), theirs.eval()(x))


@pytest.mark.parametrize("options", [{}, {"project_skip": True}, {"depthwise": False}])
def test_gradients_reach_every_parameter(options):
    torch.manual_seed(0)
    block = InvertedResidual(4, 6, 3, 2, **options)
    block(torch.randn(8, 4, 8, 8)).square().mean().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("plan", PLANS)
def test_a_backbone_takes_any_size(plan):
    backbone = MobileNetBackbone(plan).eval()
    for size in ((1, 1), (33, 50), (64, 64)):
        assert backbone(torch.zeros(2, 3, *size)).shape == (2, 64) == (2, backbone.features)
