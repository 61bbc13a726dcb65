"""Two parts in one unit vector: the category from deep layers, the look from the first."""

import math

import pytest
import torch
from tiny import same_weights

from fashionlib.heads import build_classifier
from fashionlib.look_encoder import (
    LOOK_SHARE,
    build_look_encoder,
    hann,
    look_encoder_from,
    mean_and_deviation,
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_look_encoder("article", 16, 6).eval()


@pytest.fixture
def pictures():
    return torch.rand(5, 3, 48, 40, generator=torch.manual_seed(1)) * 2 - 1


def test_unit_vectors_with_the_shares_they_should_have(encoder, pictures):
    embeddings = encoder(pictures)
    assert embeddings.shape == (5, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(5), atol=1e-5)
    shares = embeddings[:, 10:].square().sum(dim=1)
    assert shares.tolist() == pytest.approx([LOOK_SHARE] * 5, abs=1e-5)


def test_parts_put_together_are_the_embedding(encoder, pictures):
    embeddings = encoder(pictures)
    category, look = encoder.parts(embeddings)
    assert (category.shape, look.shape) == ((5, 10), (5, 6))
    for part in (category, look):
        assert torch.allclose(part.norm(dim=1), torch.ones(5), atol=1e-5)
    weighted = torch.cat([category * (1 - LOOK_SHARE) ** 0.5, look * LOOK_SHARE**0.5], dim=1)
    assert torch.allclose(weighted, embeddings, atol=1e-6)


def test_a_distance_is_mostly_category(encoder):
    """Opposite looks of one category are nearer than equal looks of unrelated categories."""
    assert math.sqrt(LOOK_SHARE * 4) < math.sqrt((1 - LOOK_SHARE) * 2)


def test_the_backbone_is_a_copy_and_nothing_of_it_is_changed():
    classifier = build_classifier("article")
    encoder = look_encoder_from(classifier)
    assert same_weights(encoder.backbone, classifier.backbone)
    pairs = zip(encoder.backbone.parameters(), classifier.backbone.parameters(), strict=True)
    assert all(a is not b for a, b in pairs)


def test_features_are_those_of_the_backbone(encoder, pictures):
    _, deep = encoder.maps(pictures)
    assert torch.allclose(deep.mean(dim=(2, 3)), encoder.backbone(pictures), atol=1e-6)


def test_attention_is_a_share_for_each_place_and_begins_in_the_middle(encoder, pictures):
    _, deep = encoder.maps(pictures)
    attention = encoder.attention(deep)
    assert attention.shape == (5, 1, *deep.shape[2:])
    assert torch.allclose(attention.sum(dim=(1, 2, 3)), torch.ones(5), atol=1e-5)
    assert (attention > 0).all()
    height, width = deep.shape[2:]
    wanted = hann(height)[:, None] * hann(width)[None, :]
    assert torch.allclose(attention[0, 0], wanted, atol=1e-6)


def test_looks_do_not_bend_the_deep_layers(encoder, pictures):
    """The look's gradient reaches the stem, through the maps, but no block behind it."""
    encoder.train()
    _, look = encoder.parts(encoder(pictures))
    (look * torch.randn(6)).sum().backward()
    stem, *blocks = encoder.backbone.blocks
    assert stem[0].weight.grad.abs().max() > 0
    assert encoder.where[1].weight.grad.abs().max() > 0
    for block in blocks:
        for parameter in block.parameters():
            assert parameter.grad is None or parameter.grad.abs().max() == 0


def test_mean_and_deviation_against_a_loop():
    torch.manual_seed(0)
    maps, attention = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 4, 4)
    attention /= attention.sum(dim=(2, 3), keepdim=True)
    found = mean_and_deviation(maps, attention)
    assert found.shape == (2, 6)
    for n in range(2):
        for channel in range(3):
            mean = square = 0.0
            for row in range(8):
                for column in range(8):
                    weight = float(attention[n, 0, row // 2, column // 2]) / 4
                    value = float(maps[n, channel, row, column])
                    mean += weight * value
                    square += weight * value**2
            assert float(found[n, channel]) == pytest.approx(mean, abs=1e-5)
            deviation = math.sqrt(square - mean**2)
            assert float(found[n, 3 + channel]) == pytest.approx(deviation, abs=1e-4)


def test_a_flat_map_has_a_gradient():
    maps = torch.ones(1, 2, 4, 4, requires_grad=True)
    mean_and_deviation(maps, torch.full((1, 1, 2, 2), 0.25)).sum().backward()
    assert maps.grad.isfinite().all()
