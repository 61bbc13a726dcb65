from types import SimpleNamespace

import pytest
import torch

from fashionlib.errors import FashionError
from fashionlib.pages import embedding_map
from fashionlib.pages.embedding_map import map_figure, places_on_map


@pytest.fixture(scope="module")
def groups() -> tuple[torch.Tensor, torch.Tensor]:
    """Three groups of ten unit vectors float [30, 8], each around an axis of its own."""
    torch.manual_seed(0)
    labels = torch.arange(3).repeat_interleave(10)
    vectors = torch.eye(8)[labels] + 0.1 * torch.randn(30, 8)
    return torch.nn.functional.normalize(vectors, dim=1), labels


def test_neighbours_stay_neighbours(groups):
    embeddings, labels = groups
    places = places_on_map(embeddings)
    assert places.shape == (30, 2)
    for side in (0, 1):
        assert (places[:, side].min(), places[:, side].max()) == (0, 1)
    nearest = torch.cdist(places, places).fill_diagonal_(9).argmin(dim=1)
    assert (labels[nearest] == labels).all()


def test_the_same_embeddings_give_the_same_map(groups):
    embeddings, _ = groups
    first = places_on_map(embeddings)
    assert torch.equal(first, places_on_map(embeddings))


def test_too_few_for_a_map():
    with pytest.raises(FashionError, match="a map of 4 pictures"):
        places_on_map(torch.randn(4, 8))


@pytest.mark.parametrize(("count", "neighbours"), [(31, 10), (91, 30), (400, 30)])
def test_of_few_pictures_few_are_neighbours(monkeypatch, count, neighbours):
    """Three times as many are looked at (van der Maaten 2014): not more than are."""
    asked = []
    monkeypatch.setattr(embedding_map, "TSNE", lambda **given: asked.append(given) or (
        SimpleNamespace(fit_transform=lambda points: points)))  # fmt: skip
    assert places_on_map(torch.rand(count, 2)).shape == (count, 2)
    assert asked[0]["perplexity"] == neighbours


def test_five_are_enough():
    assert places_on_map(torch.randn(5, 8)).isfinite().all()


def test_every_picture_is_on_the_map_and_every_class_named(groups):
    embeddings, labels = groups
    images = torch.randint(0, 256, (30, 3, 16, 16), dtype=torch.uint8)
    figure = map_figure(places_on_map(embeddings), images, labels, ("dress", "hat", "shoes"))
    (axis,) = figure.axes
    assert len(axis.artists) == 30
    assert [text.get_text() for text in axis.texts] == ["dress", "hat", "shoes"]
    colours = {artist.patch.get_edgecolor() for artist in axis.artists}
    assert len(colours) == 3
    # black names lie over pictures of any colour
    assert {text.get_bbox_patch().get_facecolor()[:3] for text in axis.texts} == {(1, 1, 1)}


def test_a_name_stands_on_a_picture_of_its_class():
    """Also of a class whose pictures lie far apart, around those of another."""
    places = torch.tensor([[0.0, 0.4], [0.5, 0.0], [1.0, 0.6], [0.5, 0.5], [0.5, 0.6]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    images = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    (axis,) = map_figure(places, images, labels, ("hat", "shoes")).axes
    where = [torch.tensor(text.get_position()) for text in axis.texts]
    assert [int((places - each).norm(dim=1).argmin()) // 3 for each in where] == [0, 1]
    assert torch.equal(where[0], places[1])  # the other two are further from the rest of the hats
