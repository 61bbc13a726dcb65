"""Chapter 4's three lines are the library's search, and its sentences follow its measurements."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.retrieval import resampled
from fashionlib.search import SearchIndex

CODE = code_of(cells_of("04_visual_search"))
cell_with = partial(the_one_with, code=CODE)


def test_the_three_lines_find_what_the_index_finds():
    torch.manual_seed(0)
    train, test = (SimpleNamespace(images=torch.randn(count, 3, 2, 2)) for count in (9, 2))
    space = {
        "torch": torch, "encoder": None, "train": train, "test": test,
        "predict": lambda encoder, images: images.flatten(1),
    }  # fmt: skip
    for line in ("embeddings = predict(", "found = distances.topk("):
        exec(cell_with(line), space)
    index = SearchIndex(train.images.flatten(1), tuple(map(str, range(9))), "")
    wanted = index.search(test.images[0].flatten(), k=5)
    assert torch.equal(space["found"].indices, wanted.positions)
    assert torch.allclose(space["found"].values, wanted.distances)


def test_the_search_comes_before_the_articles_loop():
    texts = ("topk(5", "show_strip(0,", "def visual_search", "def nearest")
    places = [next(n for n, source in enumerate(CODE) if text in source) for text in texts]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("dresses", "said"), [(1, "little more than chance"), (4, "about what chance"), (9, "less")]
)
def test_one_of_five_is_held_against_chance(dresses, said):
    """Of 20 pictures so many are dresses; three of the five results are."""
    heard = []
    train = SimpleNamespace(labels=(torch.arange(20) >= dresses).long())
    chosen = torch.tensor([0, 0, 0, 19, 19])
    space = {
        "train": train, "test": SimpleNamespace(labels=torch.tensor([0])), "white": 0,
        "found": SimpleNamespace(positions=chosen[None]), "say": heard.append,
    }  # fmt: skip
    exec(cell_with("so the article's one of five"), space)
    assert heard[0].startswith("Here **3 of the five**")
    assert said in heard[0]


@pytest.mark.parametrize(("best", "said"), [("a", "both agree"), ("b", "Measure what")])
def test_the_stand_in_is_called_misleading_where_it_is(best, said):
    heard = []
    colour = {name: {"colour": torch.tensor([float(name == best)])} for name in "ab"}
    exec(
        cell_with("by_stand_in = "),
        {"stand_in": {"a": 0.3, "b": 0.5}, "alike": colour, "say": heard.append},
    )
    assert said in heard[0]


@pytest.mark.parametrize(
    ("more", "said"), [(0.1, "more than chance"), (0.0, "too little"), (-0.1, "more than chance")]
)
def test_the_gain_of_our_encoder_is_that_over_the_classifiers_features(more, said):
    """The untrained network finds nothing alike."""
    noise = torch.linspace(-0.05, 0.05, 60)
    shares = {"untrained": torch.zeros(60), "classifier features": torch.full((60,), 0.5)}
    shares["our encoder"] = 0.5 + more + noise
    alike, heard = {name: {"alike": share} for name, share in shares.items()}, []
    exec(
        cell_with('alike["our encoder"]["alike"] -'),
        {"alike": alike, "resampled": resampled, "say": heard.append},
    )
    assert f"features by {more:+.3f} (" in heard[0]
    assert said in heard[0]


def test_the_weakest_class_and_the_picture_that_is_found_most_often():
    """One picture is among the five of all three queries, another is the sixth of each."""
    order = torch.tensor([[7, 1, 2, 3, 4, 0], [5, 6, 7, 8, 9, 0], [1, 7, 3, 5, 6, 0]])
    scores = {
        "hat": SimpleNamespace(mean=0.8, low=0.7, high=0.9, queries=2),
        "shoes": SimpleNamespace(mean=0.4, low=0.3, high=0.5, queries=1),
    }
    heard = []
    space = {
        "torch": torch, "by_class": {"precision@5": scores}, "order": order,
        "precision": torch.tensor([0.6, 0.8, 0.4]), "train": range(10), "test": range(3),
        "say": heard.append,
    }  # fmt: skip
    exec(cell_with("weakest = "), space)
    assert heard[0] == (
        "On average 3.00 of five results are of the right class. The weakest class is **shoes**, "
        "at 0.400. With 1 queries it could be anything from 0.300 to 0.500. The picture that is "
        "found most often is among the five of 3 queries, where 1.5 would be its share."
    )
