"""What chapter 8 concludes follows from what it measured."""

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from chapter_cells import cells_of, code_of, grid, into, labels_of, shown_by, the_one_with

import fashionlib.catalog
from fashionlib import heads, inference, siamese, transforms, weights
from fashionlib.catalog import Split, new_backdrops
from fashionlib.catalog.photos import read_manifest
from fashionlib.drawn import not_garments
from fashionlib.pages import depths, embedding_map, plots, recorded_results, search_explorer
from fashionlib.pages.recorded_results import recorded
from fashionlib.retrieval import matches, precision_at_k, ranking, resampled, score
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
         "still": range(60), "say": into(heard)},
    )  # fmt: skip
    assert said in heard[0]
    assert f"right class by {right:+.3f}" in heard[0]


def test_both_runs_of_the_remedy_start_alike_and_differ_in_the_edges_alone(monkeypatch):
    """Each is a copy of our encoder, which is the first row."""
    asked, ours = [], ["ours"]

    def train_siamese(encoder, catalog, recipe):
        assert encoder == ours
        assert encoder is not ours
        asked.append((catalog, recipe, float(torch.rand(1))))
        return f"swaps {recipe.swap}", None

    monkeypatch.setattr(siamese, "train_siamese", train_siamese)
    found = shown_by(
        cell_with('swapped edges": 0.5'), torch=torch, ours=ours, drawn="drawn", HEADER=["encoder"],
        budget=lambda full, quick: full, shares={"our encoder": "as it was", "other": None},
        embed=lambda encoder: [encoder], backdrop_shares=lambda encoder: f"shares of {encoder}",
        rows_of=lambda shares: list(shares.items()),
    )  # fmt: skip
    assert found.tables[0][1] == [
        ["our encoder", "as it was"], ["an epoch, own edges", "shares of swaps 0.0"],
        ["an epoch, swapped edges", "shares of swaps 0.5"],
    ]  # fmt: skip
    (catalog, first, draw), (_, second, again) = asked
    assert (catalog, draw) == ("drawn", again)
    assert second == replace(first, swap=0.5)
    assert (first.epochs, first.size, first.evaluation_size) == (1, 80, RECIPE.evaluation_size)
    assert RECIPE.swap == first.swap == 0.0  # "our encoder's recipe does without"


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
def test_a_loss_on_white_is_sure_where_its_interval_is_below_0(monkeypatch, change, said):
    """Two garments: of the one the diagonal is seen, of the other all but that."""
    noise, shares, asked = torch.linspace(-0.02, 0.02, 60), torch.full((60,), 0.5), []
    masks = {"one": np.eye(2, dtype=bool), "two": ~np.eye(2, dtype=bool)}
    monkeypatch.setattr(
        "fashionlib.drawn.render", lambda garment, size: SimpleNamespace(mask=masks[garment])
    )
    found = shown_by(
        cell_with("on_white = "), torch=torch, np=np, resampled=resampled, ours="ours",
        drawn=SimpleNamespace(garments={"a": "one", "b": "two"},
                              train=SimpleNamespace(labels="of train")),
        still=SimpleNamespace(images=torch.full((2, 3, 2, 2), 7), names="ab", labels="of still"),
        plots=SimpleNamespace(picture_grid=grid), ours_embedded=["known"],
        predict=lambda *given: given, ranking=lambda *given: given,
        matches=lambda *given: given, shares={"our encoder": (None, None, shares)},
        precision_at_k=lambda *given: asked.append(given) or shares + change + noise,
    )  # fmt: skip
    pictures = [image[0] for image in found.figures[0].images]
    assert pictures == [[[7, 255], [255, 7]], [[255, 7], [7, 255]]]
    (((((network, cut), known), *labels), k),) = asked
    assert (network, cut.shape, known, labels, k) == (
        "ours", (2, 3, 2, 2), "known", ["of still", "of train"], 5,
    )  # fmt: skip
    told = f"On white {0.5 + change:.3f} of the results are of the right class, a change of "
    assert found.said[0].startswith(f"{told}{change:+.3f} (")
    assert found.said[0].endswith(f": {said}")


def test_strangers_refused_are_told_by_the_limit_that_refused_them():
    """Of each kind the share that the distance refuses, then that of the probability."""
    shares = {"test garments": (0.05, 0.1), "flowers": (0.9, 0.2), "noise": (0.5, 0.4)}
    refused = {
        kind: [SimpleNamespace(mean=mean, low=mean - 0.02) for mean in both]
        for kind, both in shares.items()
    }
    heard = []
    space = {"refused": refused, "strangers": ["flowers", "noise"], "photos": True,
             "say": into(heard)}  # fmt: skip
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
    assert alts == [
        "6 test pictures as thumbnails on a plane, in groups named a, b, c, d, e, f. "
        "Of five neighbours on the map 0% share a class."
    ]


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
    space = {"shares": shares, "chance": 0.3, "resampled": resampled, "say": into(heard)}
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
        "of_person": {
            "our encoder": [0.3 + more + spread, half - 0.2, half, half + change + spread]
        },
        "photos": True, "WHAT": "person", "resampled": resampled, "say": into(heard),
    }  # fmt: skip
    exec(cell_with("same, by_chance, all_right, other_right = "), space)
    assert heard[0].startswith(f"Of our encoder's results {0.3 + more:.1%} are photos of the")
    assert f"it would be 30.0%: {said[0]}" in heard[0]
    assert f"the right class changes by {change:+.3f} (" in heard[0]
    assert f": {said[1]}" in heard[0]


def test_a_way_to_send_is_a_sure_loss_where_its_interval_is_below_0():
    spread = torch.linspace(-0.3, 0.3, 60)
    changes = {"as they are": 0, "dark": -0.2, "sideways": -0.4, "far away": -0.01 + spread,
               "narrow and stretched": -0.1, "narrow and padded": -0.05 + spread / 10}  # fmt: skip
    right = {name: torch.full((60,), 0.8) + change for name, change in changes.items()}
    heard = []
    space = {
        "right": right, "resampled": resampled, "say": into(heard),
        "changes": {name: resampled(each - 0.8) for name, each in right.items()},
    }  # fmt: skip
    exec(cell_with("hardest = min(changes"), space)
    assert heard[0].startswith(
        "**Sideways** hurts most. "
        "Sure losses: dark, sideways, narrow and stretched, narrow and padded. "
    )
    assert "it changes by +0.050 (" in heard[0]


def test_a_cover_moves_most_where_it_lies_on_what_counts():
    """The encoder looks at one pixel, 70 down and 110 across."""
    test = SimpleNamespace(
        images=torch.zeros(2, 3, 160, 160, dtype=torch.uint8), labels=torch.tensor([1, 0])
    )
    found = shown_by(
        cell_with("def moved_by_cover"), torch=torch, test=test, names=["hat", "shoes"],
        encoder=None, predict=lambda _, images: images[:, :1, 70, 110].float(),
    )  # fmt: skip
    assert found.space["shown"] == [1, 0]
    heat = found.space["heat"]
    assert heat[0].nonzero().tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]
    assert heat.unique().tolist() == [0, 127]


def test_the_middle_is_the_nine_places_of_forty_nine():
    heat = torch.zeros(2, 7, 7)
    heat[:, 2:5, 2:5] = 1.0
    heat[:, 1, 1], heat[:, 5, 5] = 0.5, 0.5
    found = shown_by(
        cell_with("nine places in the middle, of 49"), plt=plt, np=np, heat=heat, shown=[1, 0],
        test=SimpleNamespace(images=torch.zeros(2, 3, 160, 160, dtype=torch.uint8),
                             labels=torch.tensor([1, 0])),
        names=["hat", "shoes"],
    )  # fmt: skip
    assert found.alts[0].endswith("Of all movement 90% is at the nine places in the middle, of 49.")
    assert "18% of all, make 90% of the movement" in found.captions[0]
    (figure,) = found.figures
    assert [axis.get_title() for axis in figure.axes[:2]] == ["hat", "shoes"]
    plt.close(figure)


def test_the_chance_of_a_backdrop_is_its_share_of_the_training_pictures():
    """Of four, walls are two and floors one: three eighths for a query of each."""

    def split(*kinds: str) -> Split:
        count = len(kinds)
        return Split(torch.zeros(count, 3, 1, 1), torch.zeros(count), kinds, {"backdrop": kinds})

    shares = {"ours": [torch.tensor([0.25, 0.75]), torch.tensor([1.0, 0])]}
    found = shown_by(
        cell_with('"same backdrop @5", "kept @5"'), torch=torch, matches=matches, shares=shares,
        still=split("wall", "floor"),
        drawn=SimpleNamespace(train=split("wall", "wall", "floor", "grass")),
    )  # fmt: skip
    assert found.tables[0][0] == [
        "encoder", "same backdrop @5", "kept @5", "class @5", "class @5, moved",
    ]  # fmt: skip
    assert found.tables[0][1] == [["chance", "0.375", "", "", ""], ["ours", "0.500", "0.500"]]


def test_people_of_each_split_are_held_against_those_of_train(monkeypatch):
    """Of five test photos three are by one person, who sent training photos too."""
    senders = {
        "train": {"1": 6, "2": 4}, "validation": {"a": "2", "b": "3"},
        "test": dict(zip("cdefg", "11145", strict=True)),
        "for children": {"train": 7, "validation": 1, "test": 0},
    }  # fmt: skip
    monkeypatch.setattr(recorded_results, "recorded", lambda _: senders)
    monkeypatch.setattr(recorded_results, "about", lambda _: "here")
    found = shown_by(cell_with("by people who are in train"))
    assert found.tables[0][0] == [
        "split", "photos", "people", "by people who are in train", "by the busiest one",
        "clothes for children",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        ["train", 10, 2, "100%", "60%", 7],
        ["validation", 2, 2, "50%", "50%", 1],
        ["test", 5, 3, "60%", "60%", 0],
    ]


def test_strangers_are_refused_beyond_a_limit_and_not_at_it():
    kinds = {"flowers": range(4), "test garments": range(2)}
    values = {"distance": {"flowers": torch.tensor([0.4, 0.5, 0.6, 0.7]),
                           "test garments": torch.tensor([0.1, 0.2])},
              "probability": {"flowers": torch.tensor([0.1, 0.1, 0.1, 0.9]),
                              "test garments": torch.tensor([0.1, 0.9])}}  # fmt: skip
    limits = {"distance": 0.5, "probability": 0.3}
    found = shown_by(
        cell_with("refused = {"), kinds=kinds, values=values, limits=limits, measures=limits,
        score=score,
    )  # fmt: skip
    ((header, rows),) = found.tables
    assert header == ["queries", "how many", "refused by distance", "refused by probability"]
    assert [[*row[:2], *(each.split()[0] for each in row[2:])] for row in rows] == [
        ["flowers", 4, "50%", "25%"], ["test garments", 2, "0%", "50%"],
    ]  # fmt: skip


def test_box_plots_of_distances_show_the_limit_on_distance():
    values = {"distance": {"flowers": torch.tensor([0.5, 0.7, 0.9]), "noise": torch.ones(3)},
              "probability": {"flowers": torch.zeros(3), "noise": torch.zeros(3)}}  # fmt: skip
    found = shown_by(
        cell_with("axis.boxplot("), plt=plt, plots=plots, values=values,
        limits={"distance": 0.45, "probability": 0.2},
    )  # fmt: skip
    assert (
        "Medians: flowers 0.70; noise 1.00. A dashed line marks the limit of 0.45." in found.alts[0]
    )
    assert labels_of(found.figures[0])[0][0] == "distance to the nearest garment of the catalog"
    axis = found.figures[0].axes[0]
    assert list(axis.lines[-1].get_xdata()) == [0.45, 0.45]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["flowers", "noise"]
    plt.close(found.figures[0])


def test_the_seven_ways_to_send_a_picture():
    """A picture whose columns count to 160 in red, and whose rows do in blue."""
    count = torch.arange(16, dtype=torch.uint8) * 10
    red, blue = count.expand(16, -1), count[:, None].expand(-1, 16)
    images = torch.stack([red, torch.zeros_like(red), blue])[None]
    found = shown_by(
        cell_with("One picture in seven ways"), torch=torch, asked=SimpleNamespace(images=images),
        plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    ways = {name: each[0] for name, each in found.space["ways"].items()}
    assert all(each.shape == (3, 16, 16) and each.dtype == torch.uint8 for each in ways.values())
    assert torch.equal(ways["as they are"], images[0])
    assert torch.equal(ways["dark"], (images[0].double() * 0.35 + 1e-6).byte())
    assert torch.equal(
        ways["without colour"], ((red.int() + blue.int()) // 3).byte().expand(3, -1, -1)
    )
    assert torch.equal(ways["sideways"][0], red.T.flip(0))
    small = images[0].float().view(3, 8, 2, 8, 2).mean(dim=(2, 4)).byte()
    assert torch.equal(ways["far away"][:, 4:12, 4:12], small)
    assert torch.equal(ways["far away"][:, 0, 0], small[:, 0, 0])
    strip = images[0][:, :, 4:12]
    assert torch.equal(ways["narrow and stretched"], strip.repeat_interleave(2, dim=2))
    assert torch.equal(ways["narrow and padded"][:, :, 4:12], strip)
    assert torch.equal(ways["narrow and padded"][0, 0, :4], torch.tensor([40] * 4).byte())
    assert torch.equal(ways["narrow and padded"][0, 0, 12:], torch.tensor([110] * 4).byte())
    assert found.figures[0].titles == list(ways)


def test_ways_to_send_are_held_query_by_query_against_the_picture_as_it_is():
    """Its five results are of the right class; of what is dark half of them are."""
    train = SimpleNamespace(labels=torch.tensor([0] * 5 + [1] * 5))
    places = torch.arange(10.0)[:, None]
    ways = {"as they are": torch.tensor([[-1.0], [20]]), "dark": torch.tensor([[-1.0], [-2]])}
    found = shown_by(
        cell_with('"change, query by query"'), ways=ways, precision_at_k=precision_at_k,
        matches=matches, ranking=ranking, predict=lambda _, images: images, encoder=None,
        embeddings=places, asked=SimpleNamespace(labels=torch.tensor([0, 1])), train=train,
        resampled=resampled,
    )  # fmt: skip
    assert found.tables[0][0] == ["sent", "class @5", "change, query by query"]
    assert found.tables[0][1] == [
        ["as they are", "1.000", "+0.000 (+0.000 to +0.000)"],
        ["dark", "0.500", "-0.500 (-1.000 to +0.000)"],
    ]


def test_each_person_is_served_by_their_own_pictures():
    """Of five pictures three are by one, who gets all five right once; the other two get none."""
    owners = ["a", "b", "a", "b", "a"]
    labels = torch.tensor([0, 1, 1, 1, 1])
    order = torch.tensor([[0, 1, 2, 3, 4]] * 5)
    found = shown_by(
        cell_with("for person, count in Counter(who)"), ranking=lambda *_: order, queries=None,
        embeddings=None, precision_at_k=precision_at_k, matches=matches, owners=lambda _: owners,
        test=SimpleNamespace(labels=labels), train=SimpleNamespace(labels=torch.zeros(5).long()),
        Counter=Counter, torch=torch, names=["hat", "shoes"], score=score, WHAT="person",
    )  # fmt: skip
    assert found.tables[0][0] == ["person", "test pictures", "class @5", "mostly"]
    assert [[*row[:2], row[2].split()[0], row[3]] for row in found.tables[0][1]] == [
        ["person a", 3, "0.333", "2 shoes, 1 hat"], ["person b", 2, "0.000", "2 shoes"],
    ]  # fmt: skip
    space = found.space | {"test": owners}
    (said,) = shown_by(cell_with("hides that: "), **{
        name: space[name] for name in ("means", "rows", "precision", "test")}).said  # fmt: skip
    assert said.startswith("From 0.00 for person b to 0.33 for person a. The mean over all")
    assert "pictures, 0.20, hides that: 60% of them belong to person a." in said


def drawn_stub(**more: object) -> SimpleNamespace:
    images = torch.arange(40.0)
    validation = SimpleNamespace(images=images + 100, labels=torch.arange(40) % 2)
    train = SimpleNamespace(images=images, labels=torch.arange(40) % 2)
    return SimpleNamespace(about="forty", classes=("hat", "shoes"), train=train,
                           validation=validation, **more)  # fmt: skip


def test_garments_on_new_backdrops_stand_below_themselves(monkeypatch):
    drawn, asked = drawn_stub(), []
    monkeypatch.setattr(new_backdrops, "on_new_backdrops", lambda *given, seed: asked.append(
        given) or given[1].images + 100)  # fmt: skip
    found = shown_by(
        cell_with("Below: the same garments on other backdrops"), torch=torch,
        load_catalog=lambda *_, **__: drawn, plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    assert asked == [(drawn, drawn.validation)]
    (figure,) = found.figures
    assert (figure.images, figure.columns) == ([*range(100, 108), *range(200, 208)], 8)


def test_what_stays_of_five_results_is_what_both_searches_find(monkeypatch):
    """Pictures lie on a line; the first garment moves by 3 places of 5, the third by 9."""
    monkeypatch.setattr(search_explorer, "thumbnail", lambda picture: f"{float(picture):.1f}")
    pages = []
    monkeypatch.setattr("IPython.display.display", lambda html: pages.append(html.data))
    still = SimpleNamespace(images=torch.tensor([2.0, 12, 22]), labels=torch.tensor([0, 1, 0]))
    shown_by(
        cell_with("of five stay"), torch=torch, drawn=drawn_stub(), still=still,
        moved=torch.tensor([5.0, 12, 31]), predict=lambda _, images: images[:, None],
        load_encoder=lambda _: ("ours", None), shipped=str,
    )  # fmt: skip
    assert [re.search(r"(\d) of five stay", page)[1] for page in pages] == ["2", "5", "0"]
    assert '<img alt="hat, as it was" src="2.0">' in pages[0]
    assert '<img alt="the same hat on another backdrop" src="5.0">' in pages[0]
    before, after = pages[0].split("Before:")[1].split("After:")
    assert sorted(re.findall(r'src="(.*?)"', before)) == ["0.0", "1.0", "2.0", "3.0", "4.0"]
    assert sorted(re.findall(r'src="(.*?)"', after)) == ["3.0", "4.0", "5.0", "6.0", "7.0"]
    assert before.count('alt="hat"') == 3


def test_backdrops_are_shared_before_the_move_and_classes_before_and_after():
    """Ten pictures on a line; the query at 0 goes to 9, where all is of another class and floor."""
    labels, walls = torch.tensor([0] * 5 + [1] * 5), ("wall",) * 4 + ("floor",) * 6
    split = Split(torch.arange(10.0)[:, None], labels, ("",) * 10, {"backdrop": walls})
    space = shown_by(
        cell_with("def backdrop_shares"), ranking=ranking, matches=matches,
        precision_at_k=precision_at_k, kept_at_k=new_backdrops.kept_at_k,
        still=split.at(torch.tensor([0])), drawn=SimpleNamespace(train=split), moved="moved",
        predict=lambda network, images: (network, images),
    ).space  # fmt: skip
    shares = space["backdrop_shares"](split.images, torch.zeros(1, 1), torch.full((1, 1), 6.0))
    assert [share.tolist() for share in shares] == [
        [pytest.approx(0.8)], [pytest.approx(0.2)], [1], [pytest.approx(0.2)],
    ]  # fmt: skip
    network, pictures = space["embed"]("it")[2]
    assert (network, pictures) == ("it", "moved")


def test_each_encoder_is_measured_by_its_own_vectors(monkeypatch):
    monkeypatch.setattr(heads, "build_encoder", lambda plan: torch.nn.Identity())
    monkeypatch.setattr(depths, "UpTo", lambda start, depth, images: f"{depth} of {start}")
    monkeypatch.setattr(depths, "Features", lambda start: f"features of {start}")
    found = shown_by(
        cell_with('"average of the stem": embed('), torch=torch, shipped=str,
        load_classifier=lambda path: (path, None), embed=lambda network: [network],
        drawn=drawn_stub(), ours_embedded=[torch.ones(2, 4)],
        ours=SimpleNamespace(parts=lambda each: each.cumsum(1).split([1, 1, 1, 1], dim=1)),
        backdrop_shares=lambda *vectors: vectors,
    )  # fmt: skip
    shares = found.space["shares"]
    assert shares["average of the stem"] == ("1 of classifier_drawn",)
    assert shares["classifier features"] == ("features of classifier_drawn",)
    assert torch.equal(shares["our encoder"][0], torch.ones(2, 4))
    assert shares["look of our encoder"][0].tolist() == [[3, 4], [3, 4]]


def test_pictures_with_swapped_edges_stand_below_themselves(monkeypatch):
    monkeypatch.setattr(transforms, "swap_frames", lambda pictures: pictures + 100)
    found = shown_by(
        cell_with("the same middles on another's edges"), torch=torch,
        train=Split(torch.arange(24), torch.zeros(24), ("",) * 24),
        plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    assert found.figures[0].images == [*range(0, 24, 3), *range(100, 124, 3)]


def test_shares_of_a_person_are_those_of_validation_pictures():
    """By each encoder: its own vectors of the queries, and of the catalog."""
    asked = []
    found = shown_by(
        cell_with("of_person = {"), catalog=SimpleNamespace(validation=SimpleNamespace(images=5)),
        train=SimpleNamespace(images=9), classifier="c", encoder="e", embeddings="known",
        predict=lambda network, images: (network, images), Features=lambda classifier: "f",
        person_shares=lambda *given: asked.append(given) or len(asked), WHAT="person",
        rows_of=lambda shares: list(shares.items()),
    )  # fmt: skip
    validation = found.space["asked"]
    assert asked == [(validation, ("f", 5), ("f", 9)), (validation, ("e", 5), "known")]
    assert found.tables == [(
        ["encoder", "same person @5", "by chance in the class", "class @5",
         "class @5, without the same person"],
        [["classifier features", 1], ["our encoder", 2]],
    )]  # fmt: skip


@pytest.mark.parametrize("photos", [{}, {"a": "1"}])
def test_strangers_are_parts_of_test_pictures_and_classes_that_were_left_out(monkeypatch, photos):
    monkeypatch.setattr(not_garments, "pictures_of_no_garment", lambda count, seed: {
        "noise": torch.full((count, 3, 8, 8), 7)})  # fmt: skip
    asked = []
    left = torch.full((4, 3, 160, 160), 9)
    found = shown_by(
        cell_with('strangers["corners"]'), torch=torch, photos=photos,
        budget=lambda full, quick: full, test=SimpleNamespace(
            images=torch.arange(160).expand(2, 3, 160, 160)),
        load_catalog=lambda name, classes, few: asked.append((name, classes)) or SimpleNamespace(
            test=SimpleNamespace(images=left)),
        plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    strangers = found.space["strangers"]
    assert len(strangers["noise"]) == 40
    assert torch.equal(strangers["corners"], torch.arange(40).expand(2, 3, 40, 40))
    assert ("left-out classes" in strangers) == bool(photos)
    assert asked == ([("photos", ("outwear", "shirt", "skirt"))] if photos else [])
    assert found.figures[0].titles == list(strangers)
    assert found.alts[0] == "A picture of each kind of stranger: " + ", ".join(strangers) + "."


def test_the_limits_are_those_of_the_weights_own_card(tmp_path):
    (tmp_path / "encoder_few.md").write_text("# A\n\n**Limits**: none.\n\nMore.\n")
    found = shown_by(
        cell_with('"**Limits**" in line'), catalog=SimpleNamespace(name="few"),
        shipped=lambda name: tmp_path / f"{name}.safetensors",
    )  # fmt: skip
    assert found.said == ["**Limits**: none."]


@pytest.mark.parametrize(
    ("both", "photos", "least", "told"),
    [
        (
            (0.7, 0.3),
            True,
            0.08,
            ("nobody who sent one sent a training photo", "The distance tells"),
        ),
        ((0.7, 0.3), False, 0.08, ("10% and 30%. The distance tells more. ",)),
        ((0.3, 0.7), True, 0.03, ("10% and 70%. The probability tells more. ",)),
        ((0.5, 0.55), True, 0.03, ("10% and 55%. Neither is clearly better. ",)),
    ],
)
def test_the_limit_that_tells_more_is_told_and_why_test_garments_are_refused(
    both, photos, least, told
):
    """Of the test garments more than one in twenty, by their interval, or it may be chance."""
    refused = {
        kind: [SimpleNamespace(mean=mean, low=low) for mean in means]
        for kind, means, low in (("test garments", (0.1, 0.1), least), ("noise", both, 0.0))
    }
    (said,) = shown_by(
        cell_with("by_distance, by_probability = "), refused=refused, strangers=["noise"],
        photos=photos,
    ).said  # fmt: skip
    assert all(words in said for words in told)


def test_the_catalog_is_of_training_pictures_and_the_queries_of_test_pictures(monkeypatch):
    catalog = SimpleNamespace(name="few", about="few", classes=("hat",),
                              train=SimpleNamespace(images="train"),
                              test=SimpleNamespace(images="test"))  # fmt: skip
    monkeypatch.setattr(fashionlib.catalog, "load_catalog", lambda few: catalog)
    monkeypatch.setattr(inference, "predict", lambda network, images: (network, images))
    for name in ("load_encoder", "load_classifier"):
        monkeypatch.setattr(weights, name, lambda path: (path, None))
    monkeypatch.setattr(weights, "shipped", str)
    with plt.rc_context():
        space = shown_by(cell_with("embeddings, queries = (predict(encoder")).space
    assert (space["embeddings"], space["queries"]) == (
        ("encoder_few", "train"), ("encoder_few", "test"),
    )  # fmt: skip
    assert space["classifier"] == "classifier_few"
