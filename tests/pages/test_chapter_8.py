"""What chapter 8 concludes follows from what it measured."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.catalog import Split
from fashionlib.catalog.photos import read_manifest
from fashionlib.pages import embedding_map
from fashionlib.pages.recorded_results import recorded
from fashionlib.retrieval import matches, precision_at_k, ranking, resampled
from fashionlib.siamese import RECIPE

CODE = code_of(cells_of("08_what_does_it_look_at"))
cell_with = partial(the_one_with, code=CODE)


WORSE, SAME, BETTER = -0.2, 0.0, 0.2


@pytest.mark.parametrize(
    ("wall", "right", "said"),
    [
        (SAME, WORSE, "a price and no gain"),
        (WORSE, WORSE, "a gain, and a price"),
        (WORSE, SAME, "helps at no price"),
        (SAME, SAME, "no sure difference"),
        (BETTER, BETTER, "no sure difference"),
    ],
)
def test_what_swapped_edges_are_worth_is_chosen_by_their_measurement(wall, right, said):
    """Fewer results on the query's backdrop are a gain, fewer of the right class a price."""
    torch.manual_seed(0)
    plain = [torch.rand(60) for _ in range(4)]
    noise = 0.02 * torch.randn(60)
    noise -= noise.mean()
    swapped = [each + change + noise
               for each, change in zip(plain, (wall, 0, right, 0), strict=True)]  # fmt: skip
    heard = []
    exec(
        cell_with("plain, swapped = again.values()"),
        {"again": {"own": plain, "swapped": swapped}, "resampled": resampled,
         "still": range(60), "say": heard.append},
    )  # fmt: skip
    assert said in heard[0]
    assert f"right class by {right:+.3f}" in heard[0]


def test_both_runs_of_the_remedy_start_alike_and_differ_in_the_edges_alone():
    cell = cell_with('swapped edges": 0.5')
    assert "train_siamese(copy.deepcopy(ours), drawn, replace(recipe, swap=swap))" in cell
    assert cell.index("for name, swap") < cell.index("torch.manual_seed(0)")
    assert RECIPE.swap == 0.0  # "our encoder's recipe does without"


def test_shares_of_the_same_person_by_hand():
    """Two queries, at the two ends of a line of six pictures, of which two and four are theirs."""
    train = SimpleNamespace(labels=torch.tensor([0, 0, 1, 0, 1, 1]), names="aabbbb")
    asked = SimpleNamespace(labels=torch.tensor([0, 1]), names="ab")
    space = {
        "torch": torch, "ranking": ranking, "matches": matches, "precision_at_k": precision_at_k,
        "photos": True, "people": {"a": 1, "b": 2}, "train": train,
    }  # fmt: skip
    exec(cell_with("def owners(split)").partition("\n\n\n")[2], space)
    line = torch.arange(6.0)[:, None]
    same, chance, right, others = space["person_shares"](asked, torch.tensor([[-1.0], [7]]), line)
    assert same.tolist() == pytest.approx([2 / 5, 4 / 5])
    assert chance.tolist() == pytest.approx([2 / 3, 3 / 3])
    assert right.tolist() == pytest.approx([3 / 5, 3 / 5])
    assert others.tolist() == pytest.approx([1 / 4, 0 / 2])


def test_the_senders_of_all_photos_are_those_of_each_split():
    """Recorded in two ways: of each photo in the manifest's order, and by split."""
    stored = recorded("senders")
    people = dict(zip(sorted(read_manifest()), stored["photos"], strict=True))
    for split in ("validation", "test"):
        assert {name: str(people[name]) for name in stored[split]} == stored[split]


@pytest.mark.parametrize(
    ("change", "said"),
    [(-0.2, "a sure loss."), (0.2, "no sure loss."), (0.0, "no sure loss.")],
)
def test_a_loss_on_white_is_sure_where_its_interval_is_below_0(change, said):
    noise = 0.02 * torch.randn(60)
    noise -= noise.mean()
    shares, heard = torch.full((60,), 0.5), []
    space = {"resampled": resampled, "shares": {"our encoder": (None, None, shares)},
             "on_white": shares + change + noise, "say": heard.append}  # fmt: skip
    exec(
        cell_with("on_white = ").partition("loss = ")[1]
        + cell_with("on_white = ").partition("loss = ")[2],
        space,
    )
    assert f": {said}" in heard[0]


def test_strangers_refused_are_told_by_the_limit_that_refused_them():
    """Of each kind the share that the distance refuses, then that of the probability."""
    shares = {"test garments": (0.05, 0.1), "flowers": (0.9, 0.2), "noise": (0.5, 0.4)}
    refused = {
        kind: [SimpleNamespace(mean=mean, low=mean - 0.02) for mean in both]
        for kind, both in shares.items()
    }
    heard = []
    space = {"refused": refused, "strangers": ["flowers", "noise"], "photos": True,
             "say": heard.append}  # fmt: skip
    exec(cell_with("by_distance, by_probability = "), space)
    assert "on the distance refuses 5% of the test garments and 70% of the strangers" in heard[0]
    assert "the one on the probability 10% and 30%." in heard[0]
    assert "The distance tells more." in heard[0]
    assert "most often is **noise**: 50% of them" in heard[0]


def test_no_picture_is_its_own_neighbour_on_the_map(monkeypatch):
    """Six pictures of six classes: no neighbour is of the same."""
    monkeypatch.setattr(embedding_map, "places_on_map", lambda queries: queries)
    monkeypatch.setattr(embedding_map, "map_figure", lambda *_: None)
    alts = []
    space = {
        "torch": torch, "queries": torch.rand(6, 2), "names": list("abcdef"),
        "test": Split(torch.zeros(6, 3, 1, 1), torch.arange(6), tuple("abcdef")),
        "show": lambda figure, alt, caption: alts.append(alt),
    }  # fmt: skip
    exec(cell_with("places = places_on_map(queries)"), space)
    assert "Of five neighbours on the map 0% share a class." in alts[0]


def test_limits_are_set_by_validation_pictures():
    """Those are 1 to 20 away, of which 95 % are 19; test pictures are much further."""
    validation, test = (
        SimpleNamespace(images=distances[:, None])
        for distances in (torch.arange(1.0, 21), torch.arange(101.0, 121))
    )
    space = {
        "torch": torch, "predict": lambda _, images: images, "encoder": None, "classifier": None,
        "embeddings": torch.zeros(1, 1), "test": test, "strangers": {},
        "catalog": SimpleNamespace(validation=validation, test=test),
    }  # fmt: skip
    exec(cell_with("limits = {"), space)
    assert 19 <= space["limits"]["distance"] <= 20
    assert space["values"]["distance"]["test garments"].tolist() == list(range(101, 121))


def test_backdrops_are_searched_where_the_interval_is_above_chance():
    """Of 60 queries; the classifier's features have a mean above chance that may be chance."""
    spread = torch.linspace(-0.3, 0.3, 60)
    shares = {
        "our encoder": [0.5 + 0.1 * spread, torch.full((60,), 0.8)],
        "classifier features": [0.31 + spread, torch.full((60,), 0.4)],
    }
    heard = []
    space = {"shares": shares, "chance": 0.3, "resampled": resampled, "say": heard.append}
    exec(cell_with("above = ["), space)
    assert "More than chance explains: **our encoder**. No more" in heard[0]
    assert "chance may give: **classifier features**." in heard[0]
    assert "80% of our encoder's results stay, and 40% of those by the classifier's" in heard[0]


@pytest.mark.parametrize(
    ("more", "change", "said"),
    [
        (0.2, -0.1, ("more than chance. ", "a sure loss: some results")),
        (0.0, 0.1, ("no more than chance explains. ", "no sure loss. ")),
    ],
)
def test_results_of_the_same_person_are_held_against_chance(more, change, said):
    """And those without them against all."""
    spread, half = torch.linspace(-0.01, 0.01, 60), torch.full((60,), 0.5)
    heard = []
    space = {
        "of_person": {"our encoder": [0.3 + more + spread, half - 0.2, half, half + change]},
        "photos": True, "WHAT": "person", "resampled": resampled, "say": heard.append,
    }  # fmt: skip
    exec(cell_with("same, by_chance, all_right, other_right = "), space)
    assert f"it would be 30.0%: {said[0]}" in heard[0]
    assert f"the right class changes by {change:+.3f} (" in heard[0]
    assert f": {said[1]}" in heard[0]


def test_a_way_to_send_is_a_sure_loss_where_its_interval_is_below_0():
    spread = torch.linspace(-0.3, 0.3, 60)
    changes = {"as they are": 0, "dark": -0.2, "sideways": -0.4, "far away": -0.01 + spread,
               "narrow and stretched": -0.1, "narrow and padded": -0.05}  # fmt: skip
    right = {name: torch.full((60,), 0.8) + change for name, change in changes.items()}
    heard = []
    space = {
        "right": right, "resampled": resampled, "say": heard.append,
        "changes": {name: resampled(each - 0.8) for name, each in right.items()},
    }  # fmt: skip
    exec(cell_with("hardest = min(changes"), space)
    assert heard[0].startswith(
        "**Sideways** hurts most. "
        "Sure losses: dark, sideways, narrow and stretched, narrow and padded. "
    )
    assert "it changes by +0.050 (" in heard[0]
