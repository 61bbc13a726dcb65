"""Chapter 4's three lines are the library's search, and its sentences follow its measurements."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, grid, into, shown_by, the_one_with
from PIL import Image

from fashionlib import retrieval, weights
from fashionlib.catalog import Split
from fashionlib.pages import depths, plots, result_strips
from fashionlib.retrieval import resampled
from fashionlib.search import SearchIndex, euclidean, nearest

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
        "found": SimpleNamespace(positions=chosen[None]), "say": into(heard),
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
        {"stand_in": {"a": 0.3, "b": 0.5}, "alike": colour, "say": into(heard)},
    )
    told = f"By the stand-in **a** is best, by the labels of colour **{best}**. "
    assert heard[0].startswith(told)
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
        {"alike": alike, "resampled": resampled, "say": into(heard)},
    )
    assert f"features by {more:+.3f} (" in heard[0]
    assert said in heard[0]


def test_the_weakest_class_and_the_picture_that_is_found_most_often():
    """Some pictures are among the five of two queries, another is the sixth of all three."""
    order = torch.tensor([[7, 1, 2, 3, 4, 0], [5, 6, 7, 8, 9, 0], [1, 8, 3, 5, 6, 0]])
    scores = {
        "hat": SimpleNamespace(mean=0.8, low=0.7, high=0.9, queries=2),
        "shoes": SimpleNamespace(mean=0.4, low=0.3, high=0.5, queries=1),
    }
    heard = []
    space = {
        "torch": torch, "by_class": {"precision@5": scores}, "order": order,
        "precision": torch.tensor([0.8, 0.8, 0.2]), "train": range(10), "test": range(3),
        "say": into(heard),
    }  # fmt: skip
    exec(cell_with("weakest = "), space)
    assert heard[0] == (
        "On average 3.00 of five results are of the right class. The weakest class is **shoes**, "
        "at 0.400. With 1 queries it could be anything from 0.300 to 0.500. The picture that is "
        "found most often is among the five of 2 queries, where 1.5 would be its share."
    )


def test_the_whitest_dress_is_a_dress_and_bright_in_its_darkest_colour():
    """A hat is whiter; a yellow dress is brighter in the mean of its colours."""
    colours = [(255, 255, 255), (90, 90, 90), (240, 240, 240), (255, 255, 20), (150, 150, 150)]
    images = torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 8, 8)
    asked, strips = [], []
    one = torch.zeros(1, 5)
    index = SimpleNamespace(
        search=lambda query, k: asked.append((query, k)) or SimpleNamespace(
            distances=one, positions=one)
    )  # fmt: skip
    found = shown_by(
        cell_with("whiteness = "), index=index, names=["dress", "hat"], encoder=None,
        test=SimpleNamespace(images=images, labels=torch.tensor([1, 0, 1, 0, 0])),
        predict=lambda *_: list("abcde"), show_strip=lambda *given: strips.append(given[0]),
    )  # fmt: skip
    assert found.space["white"] == 4
    assert asked == [("e", 5)]
    assert strips == [4]


def test_a_strip_marks_what_is_of_the_class_of_its_query(monkeypatch):
    """The query is a hat; of the results at 3, 0 and 1 the first and the last are."""
    drawn = []
    monkeypatch.setattr(result_strips, "result_strip", lambda *given: drawn.append(given))
    train = SimpleNamespace(images=torch.arange(4) + 10, labels=torch.tensor([1, 0, 1, 0]))
    test = SimpleNamespace(images=torch.arange(2), labels=torch.tensor([1, 0]))
    definition = cell_with("def show_strip(").partition("\n\n\nshow_strip(")[0]
    found = shown_by(definition, train=train, test=test, names=["hat", "shoes"])
    found.space["show_strip"](1, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([3, 0, 1]), "here")
    ((query, results, _, right, titles),) = drawn
    assert (int(query), results.tolist()) == (1, [13, 10, 11])
    assert (right, titles) == ([True, False, True], ["hat", "shoes", "hat"])
    assert found.alts[0].startswith("Query: hat. A query and its 3 nearest pictures, 2 of 3 right")
    assert found.captions == ["here"]


@pytest.mark.parametrize(("last", "same"), [(195, "True"), (194, "False")])
def test_the_loop_takes_as_many_times_as_long_as_the_clock_says(monkeypatch, last, same):
    """2 s and 4 ms; nearest are those around 199 of 300, of which both look at 200."""
    clock = iter([0.0, 2.0, 2.0, 2.004])
    looked_at = []
    space = {
        "visual_search": lambda query, images, *_, k: looked_at.append(len(images)) or [
            (0.0, n) for n in (199, 198, 197, 196, last)],
        "test": SimpleNamespace(images=torch.zeros(1, 1)), "encoder": None,
        "train": SimpleNamespace(images=range(300)), "torch": torch,
        "predict": lambda _, images: images,
        "embeddings": (torch.arange(300.0)[:, None] - 199).abs(),
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(clock))
        (said,) = shown_by(cell_with("The loop took"), **space).said
    assert said.startswith("The loop took 2.0 s, the search among embeddings 4.0 ms: 500 times")
    assert said.endswith(f"Do both find the same five? **{same}**.")
    assert looked_at == [200]


def test_the_stand_in_is_measured_of_the_five_nearest(monkeypatch):
    given = []

    def distances(*pictures):
        given.append([each.tolist() for each in pictures])
        return SimpleNamespace(ratio=0.25 * len(given))

    monkeypatch.setattr(retrieval, "colour_distances", distances)
    split = lambda n: SimpleNamespace(images=torch.tensor([n]), labels=torch.tensor([n + 1]))  # noqa: E731
    orders = {"a": torch.arange(7)[None], "b": torch.arange(7).flip(0)[None]}
    alike = {name: {"colour": torch.tensor([n, 0.5]), "alike": torch.tensor([n])}
             for name, n in (("a", 0.3), ("b", 0.1))}  # fmt: skip
    found = shown_by(
        cell_with('"stand-in", "colour @5"'), seen=split(1), train=split(5), orders=orders,
        alike=alike,
    )  # fmt: skip
    assert given == [
        [[1], [2], [5], [6], [[0, 1, 2, 3, 4]]],
        [[1], [2], [5], [6], [[6, 5, 4, 3, 2]]],
    ]
    assert found.tables[0][0] == ["encoder", "stand-in", "colour @5", "alike @5"]
    assert found.tables[0][1] == [["a", "0.25", "0.400", "0.300"], ["b", "0.50", "0.300", "0.100"]]


def test_the_cut_is_the_dress_and_the_look_is_of_another_garment(monkeypatch):
    """Of the test pictures the first and the last are dresses, and the hat is the last other."""
    monkeypatch.setattr(plots, "picture_grid", grid)
    asked = []
    positions = torch.tensor([[2, 0, 1, 4, 3]])
    index = SimpleNamespace(
        search=lambda query, k: asked.append((query, k)) or SimpleNamespace(positions=positions)
    )
    found = shown_by(
        cell_with("the garment whose look is wanted"), torch=torch, index=index, white=3,
        names=["dress", "hat"], queries=list("abcd"),
        encoder=SimpleNamespace(blended=lambda what, look: f"{what} as {look}"),
        test=SimpleNamespace(images=torch.arange(4), labels=torch.tensor([0, 1, 1, 0])),
        train=SimpleNamespace(images=torch.arange(5) + 10, labels=torch.tensor([0, 0, 1, 0, 0])),
    )  # fmt: skip
    assert asked == [("d as c", 5)]
    assert found.figures[0].images == [3, 2, 12, 10, 11, 14, 13]
    assert found.alts[0].endswith("five results: hat, dress, dress, dress, dress.")


def test_the_worst_queries_find_least_and_of_these_the_surest_come_first(monkeypatch):
    """Three find 0.2, at distances of 0.5, 0.2 and 1.0; the nearest of all finds everything."""
    strips, asked = [], []
    precision, nearest = torch.tensor([0.2, 0.4, 0.2, 0.2, 1.0]), [0.5, 2.0, 0.2, 1.0, 0.1]
    five = SimpleNamespace(
        distances=torch.tensor(nearest)[:, None].expand(-1, 5), positions=torch.zeros(5, 5)
    )
    for name in ("ranking", "matches"):
        monkeypatch.setattr(retrieval, name, lambda *given: given)
    monkeypatch.setattr(
        retrieval, "precision_at_k", lambda *given: asked.append(given) or precision
    )
    labels = torch.zeros(5, dtype=torch.long)
    shown_by(
        cell_with("worst = (precision"), queries="queries", embeddings="embeddings", names=["hat"],
        index=SimpleNamespace(search=lambda *given, k: asked.append((*given, k)) or five),
        test=SimpleNamespace(labels=labels), train=SimpleNamespace(labels="of train"),
        show_strip=lambda *given: strips.append((given[0], given[3])),
    )  # fmt: skip
    assert strips == [(n, "A query labelled “hat”. Would you have known?") for n in (2, 0, 3)]
    assert asked == [((("queries", "embeddings"), labels, "of train"), 5), ("queries", 5)]


def test_each_measure_of_a_class_stands_in_its_own_column():
    """A share of queries has Wilson's interval, the other two are drawn again."""
    names = ("Recall@1", "precision@5", "mAP")
    by_class = {
        name: {kind: SimpleNamespace(queries=n, said=f"{name} of {kind}")
               for n, kind in enumerate(("hat", "shoes"), start=1)}
        for name in names
    }  # fmt: skip
    found = shown_by(
        cell_with('"**all**"'), by_class=by_class, measures={name: name for name in names},
        with_interval=lambda score: getattr(score, "said", score), test=range(9),
        precision="the fives", score=lambda values: f"score of {values}",
        resampled=lambda values: f"draws of {values}",
    )  # fmt: skip
    ((header, rows),) = found.tables
    assert header == ["class", "queries", *names]
    assert rows == [
        ["hat", 1, *(f"{name} of hat" for name in names)],
        ["shoes", 2, *(f"{name} of shoes" for name in names)],
        ["**all**", 9, "score of Recall@1", "draws of the fives", "draws of mAP"],
    ]


def test_chance_and_the_best_stand_around_the_encoders():
    keys = ("category", "colour", "pattern", "patterned", "alike")

    def values(share):
        return lambda *_: {key: share + n for n, key in enumerate(keys)}

    found = shown_by(
        cell_with('"best possible", *means('), orders={"our encoder": None}, seen=None, train=None,
        alike={name: values(share)() for name, share in (("a", 100), ("our encoder", 200))},
        chance_in_class=values(0), best_at_k=values(500), resampled=lambda value: value,
        with_interval=str,
    )  # fmt: skip
    assert found.tables[0][0] == [
        "encoder", "class @5", "colour @5", "pattern @5", "pattern, if patterned @5", "alike @5",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        [name, *(str(share + n) for n in range(5))]
        for name, share in (
            ("chance in the class", 0), ("a", 100), ("our encoder", 200), ("best possible", 500),
        )
    ]  # fmt: skip


def test_each_measure_is_of_its_own_queries_and_classes():
    """Of hats one of two is right at once; both find half of their four in time."""
    right = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [1, 1, 1, 1, 1]]).bool()
    space = shown_by(
        cell_with('"Recall@1": hit_at_k(right, 1)'), right=right, names=["hat", "shoes"],
        precision=torch.tensor([0.4, 0.4, 1.0]),
        test=SimpleNamespace(labels=torch.tensor([0, 0, 1])),
    ).space  # fmt: skip
    means = {name: [by[kind].mean for kind in ("hat", "shoes")]
             for name, by in space["by_class"].items()}  # fmt: skip
    assert means["Recall@1"] == [0.5, 1]
    assert means["precision@5"] == pytest.approx([0.4, 1])
    # (1 + 2/5) / 2 and (1/2 + 2/5) / 2
    assert means["mAP"] == pytest.approx([(0.7 + 0.45) / 2, 1])
    score = SimpleNamespace(mean=0.5, low=0.25, high=1)
    assert space["with_interval"](score) == "0.500 (0.250–1.000)"


def test_a_mean_colour_is_a_number_from_0_to_1_beside_unit_features():
    """So that white and black are as far apart as two features can be; times two."""
    images = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    looks = {"colour": ("black", "white"), "pattern": ("plain", "plain")}
    split = Split(images, torch.tensor([0, 1]), ("a", "b"), looks)
    unit = torch.eye(2)
    found = shown_by(
        cell_with("features and 2 × mean colour"), torch=torch, test=split, train=split,
        mean_colours=retrieval.mean_colours, ranking=retrieval.ranking,
        vectors={"classifier features": (unit, unit), "reversed": (unit, unit.flip(0))},
    )  # fmt: skip
    for part in found.space["vectors"]["features and 2 × mean colour"]:
        assert torch.equal(part[:, :2], unit)
        assert part[:, 2:].tolist() == [[0, 0, 0], [pytest.approx(2)] * 3]
    assert found.space["orders"]["reversed"].tolist() == [[1, 0], [0, 1]]
    assert list(found.space["alike"]) == list(found.space["vectors"])


def test_the_explorer_of_the_page_begins_with_one_picture_of_each_of_six_classes(monkeypatch):
    asked = []
    monkeypatch.setattr("IPython.display.display", lambda _: None)
    shown_by(
        cell_with("search_explorer_page(index, encoder, catalog, chosen"), index="index",
        encoder="encoder", catalog="catalog", names=list("abcdefg"),
        search_explorer_page=lambda *given, k: asked.append((*given, k)) or "",
        test=SimpleNamespace(labels=torch.tensor([6, 1, 0, 0, 2, 5, 4, 3, 1])),
    )  # fmt: skip
    assert asked == [("index", "encoder", "catalog", [2, 1, 4, 7, 6, 5], 6)]


def test_the_white_dress_is_searched_by_three_networks(monkeypatch):
    """Pictures are points on a line; the untrained network turns it around 8, features halve it."""
    monkeypatch.setattr(depths, "Features", lambda classifier: classifier)
    monkeypatch.setattr(weights, "load_classifier", lambda path: paths.append(path) or (
        lambda x: x / 2, None))  # fmt: skip
    strips, paths = [], []
    train, test = (SimpleNamespace(images=torch.tensor(places)[:, None]) for places in (
        [0.0, 1, 2, 3, 4, 5, 6], [1.0, 5.0]))  # fmt: skip
    found = shown_by(
        cell_with("Found with: {name}."), torch=torch, catalog=SimpleNamespace(name="few"),
        shipped=str, build_encoder=lambda plan: SimpleNamespace(eval=lambda: lambda x: 8 - x),
        predict=lambda network, images: network(images), train=train, test=test, white=1,
        queries=test.images, embeddings=train.images.flip(0), nearest=nearest,
        euclidean=euclidean, show_strip=lambda *given: strips.append(given),
    )  # fmt: skip
    assert list(found.space["vectors"]) == ["untrained", "classifier features", "our encoder"]
    assert [(place, found[0].item(), chosen[:3].tolist(), caption)
            for place, found, chosen, caption in strips] == [
        (1, 0, [5, 4, 6], "Found with: untrained."),
        (1, 0, [5, 4, 6], "Found with: classifier features."),
        (1, 0, [1, 0, 2], "Found with: our encoder."),
    ]  # fmt: skip
    assert strips[1][1][1] == 0.5
    assert paths == ["classifier_few"]


def test_a_folder_of_test_pictures_is_searched_by_the_command(tmp_path, monkeypatch):
    """Every second of forty, with the first as the query; what the command says is printed."""
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda *given, **more: asked.append((given, more)) or (
        SimpleNamespace(stdout="found")))  # fmt: skip
    images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    found = shown_by(
        cell_with("search --query 0.jpg"), Path=Path, shipped=str,
        tempfile=SimpleNamespace(mkdtemp=lambda: tmp_path), catalog=SimpleNamespace(name="few"),
        test=Split(images, torch.zeros(40), ("",) * 40),
    )  # fmt: skip
    (((command,), settings),) = asked
    assert command == [sys.executable, "-m", "fashionlib", "search", "--query", "0.jpg",
                       "--catalog", ".", "--top-k", "5", "--weights", "encoder_few"]  # fmt: skip
    assert (settings["cwd"], settings["check"], found.printed) == (tmp_path, True, ["found"])
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.jpg" for n in range(20)}
    with Image.open(tmp_path / "19.jpg") as last:
        assert abs(last.getpixel((3, 3))[0] - 38) < 3
