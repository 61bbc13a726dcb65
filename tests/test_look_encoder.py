"""Four parts in one unit vector: category, cut, colour and pattern, each weighted."""

import math

import pytest
import torch
from tiny import COLOUR_NAMES, PATTERN_NAMES, same_weights, small_look_encoder

from fashionlib.blocks import PLANS, MobileNetBackbone, Plan
from fashionlib.drawn import SEVEN
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.look_encoder import (
    LOOK_SHARE,
    NAMELESS,
    SHARES,
    LookEncoder,
    ends_of_sizes,
    hann,
    look_encoder_from,
    mean_and_deviation,
    root,
)

CUT = 8
DIMENSIONS = CUT + len(SEVEN) + len(COLOUR_NAMES) + len(PATTERN_NAMES)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = small_look_encoder().eval()
    torch.nn.init.normal_(encoder.look[1].weight, std=0.5)
    return encoder


@pytest.fixture
def pictures():
    return torch.rand(5, 3, 48, 40, generator=torch.manual_seed(1)) * 2 - 1


def test_unit_vectors_with_the_shares_they_should_have(encoder, pictures):
    embeddings = encoder(pictures)
    assert embeddings.shape == (5, DIMENSIONS)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(5), atol=1e-5)
    sizes = [len(SEVEN), CUT, len(COLOUR_NAMES), len(PATTERN_NAMES)]
    # written out: an index that was saved with others would be searched all the same
    for part, share in zip(embeddings.split(sizes, dim=1), (0.3, 0.1, 0.32, 0.28), strict=True):
        assert part.square().sum(dim=1).tolist() == pytest.approx([share] * 5, abs=1e-5)
    assert pytest.approx(0.32 + 0.28) == LOOK_SHARE


def test_parts_put_together_are_the_embedding(encoder, pictures):
    embeddings = encoder(pictures)
    parts = encoder.parts(embeddings)
    for part in parts:
        assert torch.allclose(part.norm(dim=1), torch.ones(5), atol=1e-5)
    weighted = [s**0.5 * part for s, part in zip(SHARES, parts, strict=True)]
    assert torch.allclose(torch.cat(weighted, dim=1), embeddings, atol=1e-6)


def test_names_are_roots_of_probabilities(encoder, pictures):
    """Written out once more, from the maps: the softmax of a linear layer, and of cosines."""
    maps = encoder.maps(pictures)
    attention = encoder.attention(maps)
    seen = torch.cat([mean_and_deviation(each, attention) for each in maps], dim=1)
    logits = encoder.look(seen)
    category, cut, colour, pattern = encoder.parts(encoder(pictures))
    cosines = torch.cosine_similarity(cut[:, None], encoder.proxies.weight[None], dim=2)
    wanted = (12 * cosines).softmax(dim=1)
    assert torch.allclose(category.square(), wanted, atol=1e-5)
    count = len(COLOUR_NAMES)
    assert torch.allclose(colour.square(), logits[:, :count].softmax(dim=1), atol=1e-5)
    assert torch.allclose(pattern.square(), logits[:, count:].softmax(dim=1), atol=1e-5)
    said = [(COLOUR_NAMES[row[:count].argmax()], PATTERN_NAMES[row[count:].argmax()])
            for row in logits]  # fmt: skip
    assert encoder.named(encoder(pictures)) == said


def test_without_names_nothing_is_named():
    encoder = LookEncoder(MobileNetBackbone("article"), (SEVEN, *NAMELESS)).eval()
    assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, 64)
    with pytest.raises(FashionError, match="no names for looks"):
        encoder.named(encoder(torch.zeros(1, 3, 32, 32)))


@pytest.mark.parametrize("share", [0.0, 0.3, LOOK_SHARE, 1.0])
def test_a_blended_query_orders_as_weighted_parts_do(encoder, share):
    """Against the plain way: distances of the parts, weighted and summed, for each picture."""
    generator = torch.manual_seed(2)
    pictures = torch.rand(30, 3, 48, 48, generator=generator) * 2 - 1
    embeddings = encoder(pictures).detach()
    what, look, catalog = embeddings[0], embeddings[1], embeddings[2:]
    query = encoder.blended(what, look, share)
    assert float(query.norm()) == pytest.approx(1, abs=1e-5)
    wanted = []
    wished = [*encoder.parts(what[None])[:2], *encoder.parts(look[None])[2:]]
    for own in catalog:
        pairs = zip(wished, encoder.parts(own[None]), strict=True)
        squares = [float((a - b).square().sum()) for a, b in pairs]
        weighted = [s * d for s, d in zip(SHARES, squares, strict=True)]
        first, by_look = sum(weighted[:2]) / (1 - LOOK_SHARE), sum(weighted[2:]) / LOOK_SHARE
        wanted.append((1 - share) * first + share * by_look)
    found = torch.cdist(query[None], catalog)[0]
    for one in range(len(wanted)):
        for other in range(one):
            if abs(wanted[one] - wanted[other]) > 1e-4:
                assert (found[one] < found[other]) == (wanted[one] < wanted[other])


def test_a_picture_blended_with_itself_is_itself(encoder, pictures):
    embedding = encoder(pictures)[0].detach()
    assert torch.allclose(encoder.blended(embedding, embedding), embedding, atol=1e-6)


def test_the_backbone_is_a_copy_and_nothing_of_it_is_changed():
    classifier = build_classifier("article")
    encoder = look_encoder_from(classifier, (SEVEN, *NAMELESS))
    assert same_weights(encoder.backbone, classifier.backbone)
    pairs = zip(encoder.backbone.parameters(), classifier.backbone.parameters(), strict=True)
    assert all(a is not b for a, b in pairs)


def test_maps_are_the_last_of_each_size(encoder, pictures):
    maps = encoder.maps(pictures)
    sizes = [(16, 24, 20), (24, 12, 10), (32, 6, 5), (64, 3, 3)]
    assert [tuple(each.shape[1:]) for each in maps] == sizes
    assert torch.allclose(maps[-1].mean(dim=(2, 3)), encoder.backbone(pictures), atol=1e-6)


def test_ends_of_sizes():
    assert ends_of_sizes(PLANS["fashion"]) == [(0, 24), (2, 32), (5, 40), (12, 64)]
    stays = Plan(8, ((2, 16, 2, 2), (2, 24, 3, 1), (2, 32, 1, 2)))
    assert ends_of_sizes(stays) == [(0, 8), (5, 24), (6, 32)]
    assert ends_of_sizes(Plan(8, ((2, 16, 2, 1),))) == [(2, 16)]


@pytest.mark.parametrize("size", [1, 4, 5])
def test_the_window_is_a_raised_cosine_and_the_same_from_both_sides(size):
    heights = [math.sin(math.pi * (n + 1) / (size + 1)) ** 2 for n in range(size)]
    assert hann(size).tolist() == pytest.approx([h / sum(heights) for h in heights], abs=1e-6)


def test_attention_is_a_share_for_each_place_and_begins_in_the_middle(encoder, pictures):
    maps = encoder.maps(pictures)
    attention = encoder.attention(maps)
    assert attention.shape == (5, 1, *maps[-2].shape[2:])
    assert torch.allclose(attention.sum(dim=(1, 2, 3)), torch.ones(5), atol=1e-5)
    assert (attention > 0).all()
    height, width = maps[-2].shape[2:]
    wanted = hann(height)[:, None] * hann(width)[None, :]
    assert torch.allclose(attention[0, 0], wanted, atol=1e-6)


def test_looks_teach_where_to_look_and_what_to_see(encoder, pictures):
    """A gradient of the look reaches the attention and every block, one of the category too.

    The attention's weights are not the zeros they begin as, which nothing could reach through.
    """
    torch.nn.init.normal_(encoder.where[1].weight)
    encoder.train()
    for numbers, reaches in (((2, 3), True), ((0, 1), False)):
        encoder.zero_grad()
        parts = encoder.parts(encoder(pictures))
        sum((parts[n] * torch.randn(parts[n].shape[1])).sum() for n in numbers).backward()
        gradient = encoder.where[1].weight.grad
        assert (gradient is not None and bool(gradient.abs().max() > 0)) == reaches
        for block in encoder.backbone.blocks:
            assert max(float(p.grad.abs().max()) for p in block.parameters()) > 0


def test_what_is_attended_to_has_the_gradient_of_small_changes(encoder):
    """Against differences: the maps are moved a little, and the attention moves as it says."""
    torch.nn.init.normal_(encoder.where[1].weight)
    encoder = encoder.double()
    generator = torch.manual_seed(3)
    maps = [torch.rand(1, c, n, n, generator=generator).double() for c, n in ((32, 4), (64, 2))]
    for number in range(2):
        others = list(maps)

        def attention(own: torch.Tensor, place: int = number, rest: list = others) -> torch.Tensor:
            rest[place] = own
            return encoder.attention(rest)

        own = maps[number].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(attention(own)[0, 0, 1, 2], own)
        assert gradient.abs().max() > 1e-3
        step = torch.randn(own.shape, generator=generator).double() * 1e-5
        ends = [attention(maps[number] + sign * step)[0, 0, 1, 2] for sign in (1, -1)]
        wanted = float((ends[0] - ends[1]).detach()) / 2
        assert float((gradient * step).sum()) == pytest.approx(wanted, rel=1e-4)


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


def test_a_coarser_map_counts_where_its_places_are_attended_to():
    torch.manual_seed(0)
    maps, attention = torch.rand(1, 2, 2, 2), torch.rand(1, 1, 4, 4)
    attention /= attention.sum()
    shares = attention.unflatten(2, (2, 2)).unflatten(4, (2, 2)).sum(dim=(3, 5))
    found = mean_and_deviation(maps, attention)
    assert torch.allclose(found[:, :2], (maps * shares).sum(dim=(2, 3)), atol=1e-6)


def test_a_flat_map_has_a_gradient():
    maps = torch.ones(1, 2, 4, 4, requires_grad=True)
    mean_and_deviation(maps, torch.full((1, 1, 2, 2), 0.25)).sum().backward()
    assert maps.grad.isfinite().all()


def test_a_map_that_is_all_but_flat_pulls_the_attention_by_its_mean_alone():
    """The root of next to nothing is steep: it would pull a million times as hard."""
    maps = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    maps[..., 0] += 1e-6
    attention = torch.full((1, 1, 2, 2), 0.25, dtype=torch.float64, requires_grad=True)
    mean_and_deviation(maps, attention).sum().backward()
    assert torch.allclose(attention.grad, maps)


def test_a_name_that_is_all_but_excluded_has_a_gradient():
    logits = torch.tensor([[0.0, -60.0]], requires_grad=True)
    (-2 * root(logits)[:, 1].log()).sum().backward()
    assert torch.allclose(logits.grad, torch.tensor([[1.0, -1.0]]), atol=1e-4)
