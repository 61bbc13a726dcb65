import copy

import pytest
import torch
from tiny import tiny_catalog

from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.pages.depths import Features, UpTo
from fashionlib.transforms import Preparation, to_input


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    classifier = build_classifier("article").eval()
    classifier.preparation = Preparation(32)
    return classifier


@pytest.fixture(scope="module")
def images():
    return tiny_catalog().train.images


def test_features_are_the_backbones_made_unit(classifier, images):
    found = predict(Features(classifier), images[:5])
    raw = classifier.backbone(to_input(images[:5], 32)).detach()
    assert torch.allclose(found, raw / raw.norm(dim=1, keepdim=True), atol=1e-5)


@pytest.mark.parametrize("depth", [1, 4])
def test_each_channel_is_standardised(classifier, images, depth):
    probe = UpTo(classifier, depth, images)
    found = predict(probe, images)
    maps = classifier.backbone.blocks[:depth](to_input(images, 32)).detach()
    assert found.shape == maps.shape[:2]
    assert torch.allclose(found.mean(dim=0), torch.zeros(found.shape[1]), atol=1e-3)
    alive = maps.mean(dim=(2, 3)).std(dim=0) > 1e-5
    assert alive.any()
    assert torch.allclose(found.std(dim=0)[alive], torch.ones(int(alive.sum())), atol=1e-2)


def test_a_channel_that_is_always_0_stays_0(classifier, images):
    first = copy.deepcopy(classifier)
    with torch.no_grad():
        first.backbone.blocks[0][1].weight[5] = first.backbone.blocks[0][1].bias[5] = 0
    assert (predict(UpTo(first, 1, images), images)[:, 5] == 0).all()


def test_all_blocks_hold_what_the_features_hold(classifier, images):
    probe = UpTo(classifier, len(classifier.backbone.blocks), images)
    pooled = classifier.backbone(to_input(images, 32)).detach()
    again = predict(probe, images) * probe.deviation + probe.mean
    assert torch.allclose(again, pooled, atol=1e-4)


def test_probing_leaves_the_network_in_evaluation_mode(classifier, images):
    for probe in (Features(classifier), UpTo(classifier, 2, images)):
        predict(probe, images[:2])
        assert not any(module.training for module in probe.modules())
