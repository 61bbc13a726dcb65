"""Chapter 3 takes the library's training step, and says no more than it measured."""

import copy
import re
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from chapter_cells import cells_of, code_of, grid, into, labels_of, shown_by, the_one_with
from tiny import tiny_catalog
from torch import nn
from torch.nn import functional as F

from fashionlib import siamese, training
from fashionlib.catalog import Catalog, Split, photos
from fashionlib.heads import build_classifier
from fashionlib.pages import recorded_results, search_explorer
from fashionlib.pages import slider as sliders
from fashionlib.retrieval import ranking, resampled
from fashionlib.siamese import SiameseRecipe, encoder_from, view
from fashionlib.transforms import Preparation
from fashionlib.triplets import TripletDataset

CELLS = cells_of("03_train_with_triplets")
CODE = code_of(CELLS)
cell_with = partial(the_one_with, code=CODE)
PROSE = "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")


def test_the_step_of_the_chapter_is_the_librarys():
    """From the same weights and the same draws, both end with the same weights."""
    catalog, recipe = (
        tiny_catalog(),
        SiameseRecipe(
            "random", epochs=1, size=32, evaluation_size=32, average=0.0, schedule="constant"
        ),
    )
    space = {"nn": nn, "F": F, "view": view}
    exec(cell_with("def triplet_losses"), space)
    exec(cell_with("def triplet_step"), space)
    torch.manual_seed(0)
    classifier = build_classifier("article")
    classifier.preparation = Preparation(32)
    theirs = encoder_from(classifier)
    ours = copy.deepcopy(theirs).train()
    start = copy.deepcopy(theirs.state_dict())
    data = TripletDataset(catalog.train.images, catalog.train.labels)
    chosen = torch.arange(12)

    torch.manual_seed(1)
    pictures = [torch.stack(each) for each in zip(*(data[int(n)] for n in chosen), strict=True)]
    network = space["SiameseNetwork"](ours)
    optimizer = training.make_optimizer(network, recipe)
    loss = space["triplet_step"](network, optimizer, pictures, recipe)

    torch.manual_seed(1)
    objective = siamese.OBJECTIVES["random"]
    batches = training.Batches([chosen], lambda chosen: objective.load(data, chosen, recipe))
    again = training.train_epoch(
        theirs,
        copy.deepcopy(theirs),
        training.make_optimizer(theirs, recipe),
        batches,
        lambda network, *batch: siamese.total_loss(objective.terms(network, recipe, *batch)),
        recipe,
        0,
    )
    assert loss == pytest.approx(again, abs=1e-6)
    moved = [not torch.equal(start[name], value) for name, value in theirs.state_dict().items()]
    assert sum(moved) > 10
    for name, value in theirs.state_dict().items():
        assert torch.allclose(value, ours.state_dict()[name], atol=1e-6), name


MEASURED = {
    name: torch.tensor([value, value])
    for name, value in (
        ("loss", 0.1), ("active", 0.2), ("precision@5", 0.3), ("hit@5", 0.4), ("mAP", 0.5),
    )
}  # fmt: skip


def test_active_shares_of_miners_are_not_compared():
    """Mined triplets are active by construction, so no table of the trainings shows the share."""
    mining = PROSE.partition("## Mining")[2].partition("## What does")[0]
    assert "all active, because they were chosen so" in mining.replace("\n", " ")
    found = shown_by(
        cell_with('found["semi-hard triplets"] ='), found={"before": MEASURED},
        run=lambda objective, margin: {key: value + margin for key, value in MEASURED.items()}
        | {"objective": objective},
    )  # fmt: skip
    ((header, rows),) = found.tables
    assert header == ["encoder", "P@5", "Recall@5", "mAP"]
    assert rows == [
        ["before", "0.300", "0.400", "0.500"],
        ["semi-hard triplets", "0.500", "0.600", "0.700"],
        ["batch-hard triplets", "0.600", "0.700", "0.800"],
    ]
    mined = [found.space["found"][f"{name} triplets"] for name in ("semi-hard", "batch-hard")]
    assert [each["objective"] for each in mined] == ["semi-hard", "batch-hard"]


def test_triplets_at_random_are_held_against_a_head_that_was_not_trained():
    """Both from the same draw; the one is measured as it is, the other after one epoch."""
    asked = []
    found = shown_by(
        cell_with('found["random triplets"] ='), torch=torch, classifier="start",
        keys=("loss", "active", "precision@5"), pick_device=lambda: "here",
        encoder_from=lambda start: SimpleNamespace(to=lambda device: (start, device)),
        measures=lambda encoder: asked.append(encoder) or MEASURED,
        run=lambda *given, **more: asked.append((given, more)) or {
            key: 2 * value for key, value in MEASURED.items()},
    )  # fmt: skip
    assert asked == [("start", "here"), (("random",), {"batch_size": 32, "epochs": 1})]
    assert found.tables == [(["encoder", "loss", "active", "precision@5"], [
        ["head not trained", "0.100", "0.200", "0.300"],
        ["random triplets", "0.200", "0.400", "0.600"],
    ])]  # fmt: skip


@pytest.mark.parametrize(("end", "told"), [(0.45, "-0.050"), (0.5, "+0.000"), (0.52, "+0.020")])
def test_where_the_loss_fell_precision_says_whether_the_search_got_better(monkeypatch, end, told):
    rows = [{"loss": 2.0, "active": 0.2, "precision@5": 0.5},
            {"loss": 0.5, "active": 0.9, "precision@5": end}]  # fmt: skip
    runs = [{"network": "to the letter", "triplets": rows}]
    results = {
        "article": {"runs": [{"triplets": {"random": rows}}]},
        "as_printed": {"runs": runs},
    }
    monkeypatch.setattr(recorded_results, "recorded", results.get)
    monkeypatch.setattr(recorded_results, "about", lambda _: "here")
    heard, tables = [], []
    exec(cell_with("fall = max("), {"say": into(heard), "table": lambda *g: tables.append(g)})
    assert tables == [(
        ["first to last epoch", "loss", "active", "precision@5"],
        [["random", "2.000 to 0.500", "0.200 to 0.900", f"0.500 to {end:.3f}"]],
    )]  # fmt: skip
    assert f"falls by up to 75%, and the precision changes by {told} at best. " in heard[0]
    assert ("the search got no better" in heard[0]) == (end <= 0.5)
    assert "Means of 1 seeds. Recorded: here." in heard[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [(0.2, "a gain"), (-0.2, "a loss"), (0.01, "too little"), (-0.01, "too little")],
)
def test_a_change_of_precision_is_a_gain_where_its_interval_is_above_0(change, told):
    """The queries differ by half a point up and down."""
    noise, heard = torch.linspace(-0.5, 0.5, 60), []
    found = {
        "before": {"loss": torch.tensor([0.4]), "precision@5": torch.full((60,), 0.5)},
        "after": {"loss": torch.tensor([0.3]), "precision@5": 0.5 + change + noise},
    }
    space = {"found": found, "resampled": resampled, "say": into(heard)}
    exec(cell_with("before, after = found.values()"), space)
    assert heard[0].startswith(f"The loss is lower by 25%. Precision@5 changes by {change:+.3f} (")
    assert f"), {told}" in heard[0]


def said_of_transfer(moved: list[float], long: list[float]) -> str:
    """Of two seeds with these precisions in each epoch; the classifier took one before."""
    by_run = {"transfer": moved, "scratch, twice as long": long}
    heard = []
    space = {
        "precisions": lambda name: torch.tensor([by_run[name]] * 2),
        "seeds": [{"classifier": [{}]}], "say": into(heard),
    }  # fmt: skip
    exec(cell_with("moved, long = "), space)
    return heard[0]


def test_epochs_that_transfer_saves_are_counted_from_1():
    """The second of its epochs is the first to reach 0.5."""
    said = said_of_transfer([0.3, 0.6, 0.7], [0.1, 0.2, 0.5, 0.5])
    assert "in epoch 2 of 4: 50% of the epochs are saved" in said
    assert "With the classifier's own 1 epochs counted it is 25%." in said
    assert said.endswith("And it ends higher: 0.700 against 0.500.")


def test_miners_have_their_own_papers():
    text = " ".join(PROSE.split())
    assert re.search(r"\*\*Semi-hard\*\* ones \(\[Schroff et al\., 2015\]", text)
    assert re.search(r"\*\*Batch-hard\*\* \(\[Hermans et al\., 2017\]", text)


def test_the_stem_is_called_the_stem():
    """It is the first of the parts, so up to block n are n more; every fourth picture is a sample.

    The looks are those of the encoder that ends there.
    """
    found = shown_by(
        cell_with("by_depth = {"), header=["class @5"], mean_looks=lambda values: [values],
        classifier=SimpleNamespace(backbone=SimpleNamespace(blocks=["stem", *range(1, 9)])),
        train=SimpleNamespace(images=torch.arange(9)), looks=lambda encoder: encoder,
        UpTo=lambda classifier, parts, sample: (
            classifier.backbone.blocks[:parts][-1], sample.tolist()),
    )  # fmt: skip
    sample = [0, 4, 8]
    assert found.tables == [(["up to", "class @5"], [
        ["the stem", ("stem", sample)], ["block 2", (2, sample)], ["block 5", (5, sample)],
        ["block 8, the last", (8, sample)],
    ])]  # fmt: skip
    assert "first block" not in PROSE.lower()


def test_cells_that_are_read_are_short():
    """The data set, written out in one piece, is the exception; so is what is folded."""
    for cell in CELLS:
        hidden = "hide-input" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and not hidden and "class TripletDataset" not in cell.source:
            lines = [line for line in cell.source.splitlines() if "import" not in line]
            assert len(lines) <= 18, cell.source


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ([0.3, 0.55, 0.7], "in epoch 3 of 4"),
        ([0.3, 0.55, 0.55], "does not reach the best"),
        ([0.3, 0.6, 0.4], "in epoch 2, but ends no higher"),
    ],
)
def test_transfer_is_held_against_the_best_epoch_from_scratch(moved, told):
    """That is its second; it ends at 0.5."""
    assert told in said_of_transfer(moved, [0.1, 0.6, 0.5, 0.5])


def judging(heard: list[str]) -> dict:
    """What a cell needs to say how sure a difference is."""
    space = {"resampled": resampled, "say": into(heard), "torch": torch}
    exec(cell_with("def signed(").partition("\n\n\nbefore, after")[0], space)
    return space


@pytest.mark.parametrize(
    ("of_triplets", "of_ours", "told"),
    [(0.2, -0.1, ("a gain", "a loss")), (-0.2, 0.1, ("a loss", "a gain too"))],
)
def test_our_encoder_and_triplets_are_held_against_the_features(of_triplets, of_ours, told):
    """All find half of the right class and of what is alike; ours 0.3 more that is alike."""
    rows = {"features": (0, 0), "batch-hard triplets": (of_triplets, 0), "ours": (of_ours, 0.3)}
    heard: list[str] = []
    space = judging(heard) | {
        "OURS": "ours", "FEATURES": "features",
        "values": lambda _, row, name: 0.5 + torch.full((60,), rows[row][name == "alike"]),
    }  # fmt: skip
    exec(cell_with("def against_features"), space)
    triplets, ours = heard[0].split("**Our encoder**")
    assert f"the right class by {of_triplets:+.3f} (" in triplets
    assert f"), {told[0]}. " in triplets
    assert f"the right class by {of_ours:+.3f} (" in ours
    assert f"), {told[1]}, and the share with class, colour and pattern right by +0.300" in ours


@pytest.mark.parametrize(
    ("ours", "told"), [(2, "trains it again"), (4, "nothing of what it needs for new classes")]
)
def test_what_is_lost_for_new_classes_is_our_encoders(ours, told):
    """Of five results for each of the queries three are right by the features."""
    unseen = {name: {"features": [3] * 9, "ours": [ours] * 9} for name in ("skirt", "shirt")}
    heard: list[str] = []
    tables = []
    space = judging(heard) | {
        "measured": {"photos": {"unseen": unseen}}, "OURS": "ours", "FEATURES": "features",
        "LOOK_SHARE": 0.4, "table": lambda *given: tables.append(given),
    }  # fmt: skip
    exec(cell_with("forgotten = "), space)
    assert f"changes precision@5 by {(ours - 3) / 5:+.3f} (" in heard[0]
    assert ("and 40% of a squared distance are" in heard[0]) == (ours < 3)
    assert told in heard[0]
    ((header, rows),) = tables
    assert header == ["class", "queries", "features", "ours"]
    assert rows[0] == ["skirt", 9, "0.600", f"{ours / 5:.3f}"]


def test_eight_triplets_stand_in_columns():
    """Every second of sixteen; anchor n, positive 100 + n and negative 200 + n."""
    triplets = torch.stack([torch.arange(16), torch.arange(16) + 100, torch.arange(16) + 200], 1)
    labels = torch.zeros(300, dtype=torch.long)
    labels[200:] = 1
    found = shown_by(
        cell_with("Eight triplets, one a column"), triplets=triplets, labels=labels,
        catalog=SimpleNamespace(classes=("hat", "shoes")),
        train=SimpleNamespace(images=torch.arange(300)), plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    (figure,), (alt,) = found.figures, found.alts
    rows = torch.tensor(figure.images).view(3, figure.columns).tolist()
    assert rows == [list(range(first, first + 16, 2)) for first in (0, 100, 200)]
    assert alt.endswith("third of another: " + "; ".join(["hat twice, then shoes"] * 8) + ".")


def test_miners_are_held_against_random_triplets():
    """Semi-hard ones find more of the five, batch-hard ones less; in mAP neither differs."""
    heard: list[str] = []
    names = ("head not trained", "random triplets", "semi-hard triplets", "batch-hard triplets")
    fives = dict(zip(names, (0.9, 0.5, 0.7, 0.4), strict=True))
    noise = torch.linspace(-0.5, 0.5, 60)
    space = judging(heard) | {
        "columns": {"precision@5": "P@5", "mAP": "mAP"},
        "found": {name: {"precision@5": torch.full((60,), five), "mAP": noise * (name[0] != "r")}
                  for name, five in fives.items()},
    }  # fmt: skip
    exec(cell_with("gains = {"), space)
    for told in (
        "semi-hard triplets +0.200 (+0.200 to +0.200) in P@5 (better); semi-hard triplets ",
        "batch-hard triplets -0.100 (-0.100 to -0.100) in P@5 (worse); batch-hard triplets ",
    ):
        assert told in heard[0]
    assert heard[0].count(" in mAP (not to be told apart)") == 2


def test_the_depth_of_each_look_is_where_most_of_it_is_found():
    """Colour is most in block 2, less in the last block, and less than both in the stem."""
    heard: list[str] = []
    shares = {"the stem": (0.1, 0.2), "block 2": (0.2, 0.6), "block 5, the last": (0.5, 0.4)}
    by_depth = {
        name: dict(zip(("category", "colour"), (torch.full((60,), s) for s in both), strict=True))
        for name, both in shares.items()
    }
    space = judging(heard) | {
        "NAMES": {"category": "class", "colour": "colour"}, "by_depth": by_depth,
        "depths": {0: "the stem", 2: "block 2", 5: "block 5, the last"}, "last": 5,
    }  # fmt: skip
    exec(cell_with("peaks = {"), space)
    assert heard[0] == (
        "Best: class: block 5, the last; colour: block 2. The colour from block 2 to the last "
        "block: -0.200 (-0.200 to -0.200), a loss; from there back to the stem: "
        "-0.400 (-0.400 to -0.400), a loss too."
    )


def test_what_two_pictures_find_is_counted_of_five():
    """By catalog and by query; an alike result is right in all three."""
    keys = ("category", "colour", "category and colour", "pattern", "alike")
    counts = {key: [n, n] for n, key in enumerate(keys, start=1)}
    halves = {key: [0, n] for n, key in enumerate(keys, start=1)}
    measured = {
        name: {"two pictures": {"blended": counts, "mean of both": halves}}
        for name in ("photos", "drawn")
    }
    found = shown_by(
        cell_with("the first's class"), measured=measured, resampled=resampled, torch=torch
    )
    ((header, rows),) = found.tables
    assert header == [
        "catalog", "query", "pairs", "the first's class", "the second's colour", "both of these",
        "the second's pattern", "all three",
    ]  # fmt: skip
    blended = ["0.200", "0.400", "0.600", "0.800", "1.000"]
    mean = ["0.100", "0.200", "0.300", "0.400", "0.500"]
    assert rows == [
        [name, query, 2, *values]
        for name in ("photos", "drawn")
        for query, values in (("blended", blended), ("mean of both", mean))
    ]


def test_the_slider_moves_from_the_first_picture_to_the_look_of_the_second(monkeypatch):
    """Pictures are points on a line; the first is near the first class, the second near others."""
    monkeypatch.setattr(search_explorer, "thumbnail", lambda picture: f"at {float(picture):.0f}")
    slid = []
    monkeypatch.setattr(sliders, "slider", lambda label, pieces: slid.append(pieces))
    train = SimpleNamespace(images=torch.arange(10.0)[:, None], labels=(torch.arange(10) > 4).int())
    encoder = SimpleNamespace(blended=lambda what, look, share: (1 - share) * what + share * look)
    shown_by(
        cell_with('slider("share of the look"'), torch=torch, encoder=encoder, train=train,
        ranking=ranking,
        predict=lambda _, images: images, what=1, look=0,
        queries=SimpleNamespace(images=torch.tensor([[9.0], [0.1]])),
        catalog=SimpleNamespace(classes=("hat", "<shoes>")),
    )  # fmt: skip
    (pieces,) = slid
    assert list(pieces) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    for share, order, name in (("0.0", "01234", "hat"), ("1.0", "98765", "&lt;shoes&gt;")):
        results = [f'<img alt="found: {name}" src="at {n}">' for n in order]
        asked = ['<img alt="what" src="at 0">', '<img alt="in which look" src="at 9">']
        assert pieces[share] == f"<p>{' '.join([*asked, *results])}</p>"


def test_attention_that_moved_is_half_of_the_difference_to_the_window():
    """All of it from one place of four to another is 100 %, half of it is 50 %."""
    window = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    elsewhere = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    encoder = SimpleNamespace(
        attention=lambda pictures: torch.stack([elsewhere, (window + elsewhere) / 2] * 4)[:, None],
        maps=lambda pictures: pictures,
        preparation=lambda pictures: pictures,
    )
    first = torch.tensor([1.0, 0.0])
    found = shown_by(
        cell_with("of the attention has moved away"), torch=torch, F=F, shipped=str,
        load_encoder=lambda _: (encoder, None), hann=lambda _: first,
        catalog=SimpleNamespace(name="few"), plots=SimpleNamespace(picture_grid=grid),
        queries=Split(torch.full((8, 3, 2, 2), 200, dtype=torch.uint8), torch.zeros(8), ("",) * 8),
    )  # fmt: skip
    assert "On average 75% of the attention has moved away" in found.alts[0]
    assert "75% of it has moved." in found.captions[0]


def test_of_each_encoder_and_catalog_its_own_counts_are_shown():
    """The n-th encoder has n fifths, and one less among drawn garments."""
    names = ("category", "colour")
    encoders = [
        "chance in the class", "best possible", "untrained network", "classifier features",
        "batch-hard triplets", "two views", "our encoder",
    ]  # fmt: skip
    measured = {
        catalog: {"rows": {encoder: {"category": [n - less] * 3, "colour": [0, 5, 1]}
                           for n, encoder in enumerate(encoders, start=1)}}
        for catalog, less in (("photos", 0), ("drawn", 1))
    }  # fmt: skip
    found = shown_by(
        cell_with("SHOWN = ["), recorded=lambda _: measured, torch=torch, resampled=resampled,
        NAMES=dict.fromkeys(names), header=["class @5", "colour @5"],
    )  # fmt: skip
    assert found.said == ["**photos**, 3 queries", "**drawn**, 3 queries", "Recorded: here."]
    for (header, rows), less in zip(found.tables, (0, 1), strict=True):
        assert header == ["encoder", "class @5", "colour @5"]
        assert [row[0] for row in rows] == encoders
        shares = [(n - less) / 5 for n in range(1, 8)]
        assert [row[1].split()[0] for row in rows] == [f"{share:.3f}" for share in shares]
        assert {row[2].split()[0] for row in rows} == {"0.400"}


def test_a_loss_is_lower_where_all_lies_on_one_point():
    """What is pushed aside stays unit and keeps its order; one point is the same for all."""
    seen = []

    def judged(first, second):
        seen.append((first, second))
        return {"loss": torch.tensor([0.25, 0.75]), "precision@5": torch.tensor([0.0, 1.0])}

    asked, known = (
        SimpleNamespace(images=F.normalize(torch.randn(count, 4), dim=1)) for count in (3, 6)
    )
    found = shown_by(
        cell_with('"the same, pushed aside"'), torch=torch, F=F, DIMENSIONS=4, siamese=siamese,
        predict=lambda _, images: images, untrained=None, queries=asked, train=known, judged=judged,
    )  # fmt: skip
    ((header, rows),) = found.tables
    assert header == ["embeddings", "spread", "loss", "precision@5"]
    assert [row[2:] for row in rows] == [["0.500", "0.500"]] * 3
    spreads = [float(row[1]) for row in rows]
    assert spreads[0] > 3 * spreads[1] > spreads[2] == 0
    assert torch.equal(seen[0][0], asked.images)
    assert torch.equal(seen[0][1], known.images)
    for part in (*seen[1], *seen[2]):
        assert torch.allclose(part.norm(dim=1), torch.ones(len(part)))
    assert len(seen[2][1].unique(dim=0)) == 1


def test_triplets_of_the_catalog_are_judged_beside_the_search_of_the_queries():
    """On a line: of two triplets one costs nothing; of the queries one finds its class first."""
    known, asked = torch.tensor([[0.0], [0.1], [5.0]]), torch.tensor([[0.0], [4.9]])
    given = []
    found = shown_by(
        cell_with("def judged"), torch=torch, siamese=None,
        triplets=torch.tensor([[0, 1, 2], [0, 2, 1]]),
        triplet_losses=lambda a, p, n: F.relu((a - p).abs() - (a - n).abs() + 1)[:, 0],
        evaluate_retrieval=lambda *parts: given.append(parts) or {"mAP": 0.5},
        queries=SimpleNamespace(labels="of queries", images=asked),
        train=SimpleNamespace(labels="of train", images=known), predict=lambda _, images: images,
    )  # fmt: skip
    for judged in (found.space["judged"](asked, known), found.space["measures"](None)):
        assert judged["loss"].tolist() == pytest.approx([0, 5.9])
        assert judged["active"].tolist() == [0, 1]
        assert judged["mAP"] == 0.5
    assert torch.equal(given[1][0], asked)
    assert given[1][1::2] == ("of queries", "of train")
    assert torch.equal(given[1][2], known)


def test_each_training_starts_from_the_same_draw_with_its_own_objective():
    asked = []

    def train_siamese(encoder, catalog, recipe):
        asked.append((encoder, recipe, float(torch.rand(1))))
        return encoder, []

    space = shown_by(
        cell_with("def judged"), torch=torch, catalog=None, classifier="start", replace=replace,
        base=SiameseRecipe("random", epochs=2), train_siamese=train_siamese,
        siamese=SimpleNamespace(encoder_for=lambda objective, _, start: (objective, start)),
    ).space  # fmt: skip
    space["measures"] = lambda encoder: encoder
    assert space["run"]("random", margin=0.3) == ("random", "start")
    assert space["run"]("batch-hard") == ("batch-hard", "start")
    (_, first, one), (_, second, other) = asked
    assert (first.objective, first.margin, first.epochs) == ("random", 0.3, 2)
    assert second == SiameseRecipe("batch-hard", epochs=2)
    assert one == other


def test_miners_choose_from_one_batch_and_each_has_its_own_row(monkeypatch):
    """Of eight points the miners' triplets cost what their distances say; random ones are eight."""
    points = torch.tensor([0.0, 0.15, 0.3, 0.9, 0.1, 0.45, 0.7, 1.2])[:, None]
    labels = torch.tensor([0] * 4 + [1] * 4)
    chosen = {"semihard": ([0, 1], [1, 2], [5, 6]), "hard": ([0, 1, 2], [3, 3, 3], [4, 4, 4])}
    asked = []

    def miner(kind, *settings):
        def mine(embeddings, of):
            asked.append(
                (kind, *settings, torch.equal(embeddings, points), torch.equal(of, labels))
            )
            return [torch.tensor(part) for part in chosen[kind]]

        return mine

    stub = SimpleNamespace(TripletMarginMiner=lambda margin, kind: miner(kind, margin),
                           BatchHardMiner=lambda: miner("hard"))  # fmt: skip
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", SimpleNamespace(miners=stub))
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.miners", stub)
    found = shown_by(
        cell_with('"of one batch", "triplets"'), torch=torch, known=points,
        train=SimpleNamespace(labels=labels), TripletDataset=TripletDataset,
        triplet_losses=lambda a, p, n, margin: F.relu(
            (a - p).norm(dim=1) - (a - n).norm(dim=1) + margin),
        siamese=SimpleNamespace(balanced_batches=lambda *_: iter([torch.arange(8)]),
                                active_share=siamese.active_share),
    )  # fmt: skip
    assert asked == [("semihard", 0.2, True, True), ("hard", True, True)]
    assert found.tables[0][0] == ["of one batch", "triplets", "mean loss", "active"]
    random, *mined = found.tables[0][1]
    assert random[:2] == ["random", 8]
    # by hand: 0.15 - 0.45 and 0.15 - 0.55 with the margin; 0.9 - 0.1, 0.75 - 0.05 and 0.6 - 0.2
    assert mined == [["semi-hard", 2, "0.000", "0%"], ["batch-hard", 3, "0.833", "100%"]]


def test_curves_of_transfer_are_means_with_the_range_of_the_seeds():
    """The classifier's own training is no curve; each ends where its own seeds end."""
    shares = {"classifier": [0.9], "transfer": [0.5, 0.7], "scratch": [0.1, 0.4],
              "scratch, twice as long": [0.1, 0.2, 0.3, 0.6]}  # fmt: skip
    runs = [
        {"histories": {name: [{"precision@5": share + more} for share in each]
                       for name, each in shares.items()}}
        for more in (-0.1, 0.1)
    ]  # fmt: skip
    found = shown_by(cell_with("Mean and range of"), torch=torch, plt=plt,
                     recorded=lambda _: {"runs": runs})  # fmt: skip
    assert labels_of(found.figures[0]) == [("epoch", "precision@5, validation", list(shares)[1:])]
    axis = found.figures[0].axes[0]
    assert {line.get_label(): line.get_ydata().tolist() for line in axis.lines} == {
        name: pytest.approx(each) for name, each in list(shares.items())[1:]
    }
    assert axis.lines[2].get_xdata().tolist() == [1, 2, 3, 4]
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.4, 0.8))
    assert "transfer 0.700; scratch 0.400; scratch, twice as long 0.600." in found.alts[0]
    assert found.captions[0].startswith("Mean and range of 2 seeds.")
    assert found.captions[0].endswith("Recorded: here.")
    plt.close(found.figures[0])


def test_both_passes_are_told_look_by_look(monkeypatch):
    monkeypatch.setattr(photos, "two_passes", lambda: {"colour": 0.9, "pattern": 0.812})
    (said,) = shown_by(cell_with("Two independent passes")).said
    assert said.startswith("Two independent passes agree on the colour of 90.0% and on the pattern")
    assert "pattern of 81.2% of the validation and test photos" in said


def test_looks_are_those_of_the_five_nearest():
    """Queries at 0 and 9 of a line of ten pictures, of which half are red and half are plain."""
    colour, pattern = ("red", "blue") * 5, ("plain",) * 5 + ("dots",) * 5
    train = Split(torch.arange(10.0)[:, None], torch.tensor([0] * 5 + [1] * 5), ("",) * 10,
                  {"colour": colour, "pattern": pattern})  # fmt: skip
    queries = train.at(torch.tensor([0, 9]))
    space = shown_by(cell_with("def looks("), queries=queries, train=train,
                     predict=lambda _, images: images).space  # fmt: skip
    assert space["header"] == ["class @5", "colour @5", "pattern @5",
                               "pattern, if patterned @5", "alike @5"]  # fmt: skip
    values = space["looks"](None)
    assert values["category"].tolist() == [1, 1]
    assert values["alike"].tolist() == pytest.approx([0.6, 0.6])
    assert space["mean_looks"](values)[:3] == ["1.000", "0.600", "1.000"]


def test_two_epochs_of_names_are_held_against_the_features():
    names = ("category", "alike")
    by_encoder = {"features": 0.4, "trained": 0.6}
    heard: list[str] = []
    space = judging(heard) | {"NAMES": dict.fromkeys(names)}
    found = shown_by(
        cell_with("two epochs of names"), **{k: v for k, v in space.items() if k != "say"},
        source=lambda _: None, siamese=SimpleNamespace(
            named_parts=None, RECIPE=SiameseRecipe("looks", epochs=30),
            encoder_for=lambda *_: None),
        replace=replace, SIZE=96, LARGER=112, catalog=None, header=["class @5", "alike @5"],
        classifier="features", Features=lambda classifier: classifier,
        train_siamese=lambda _, __, recipe: ("trained", recipe),
        looks=lambda encoder: {n: torch.full((60,), by_encoder[encoder]) for n in names},
        mean_looks=lambda values: [f"{float(values[n].mean()):.3f}" for n in names],
    )  # fmt: skip
    assert found.tables == [(["encoder", "class @5", "alike @5"], [
        ["classifier features", "0.400", "0.400"], ["two epochs of names", "0.600", "0.600"],
    ])]  # fmt: skip
    assert found.said[0].startswith("The change of alike@5 is +0.200 (")
    recipe = found.space["_"]
    assert (recipe.epochs, recipe.size, recipe.evaluation_size) == (2, 96, 112)


def test_the_second_picture_is_of_another_class_striped_and_in_stock():
    """Blue stripes are in stock for a hat twice; the hat itself is red, the other one is shoes."""

    def split(*looks: tuple[int, str, str]) -> Split:
        kinds, colours, patterns = zip(*looks, strict=True)
        return Split(torch.zeros(len(looks)), torch.tensor(kinds), ("",) * len(looks),
                     {"colour": colours, "pattern": patterns})  # fmt: skip

    queries = split((0, "blue", "stripes"), (1, "red", "stripes"), (0, "red", "plain"),
                    (1, "blue", "stripes"), (1, "blue", "dots"))  # fmt: skip
    train = split(*[(0, "blue", "stripes")] * 2, *[(0, "blue", "dots")] * 9, (0, "red", "stripes"))
    space = shown_by(cell_with("Two validation pictures, the second striped"), queries=queries,
                     train=train).space  # fmt: skip
    assert (space["what"], space["look"]) == (2, 3)


def test_every_fourth_training_picture_is_trained_with():
    def split(count: int) -> Split:
        return Split(torch.arange(count)[:, None], torch.zeros(count), ("",) * count)

    catalog = Catalog("few", ("hat",), split(10), split(7), split(3))
    found = shown_by(
        cell_with("so that a training takes"), torch=torch, replace=replace,
        load_catalog=lambda few: catalog, budget=lambda full, quick: full,
        labelled=lambda part: part.at(torch.arange(5)),
    )  # fmt: skip
    assert found.space["train"].images.flatten().tolist() == [0, 4, 8]
    assert found.space["catalog"].train is found.space["train"]
    assert found.said[0].startswith("We train with 3 pictures at 96 pixels, ")
    assert "search them with 5 validation pictures" in found.said[0]
