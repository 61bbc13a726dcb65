"""Chapter 3 takes the library's training step, and says no more than it measured."""

import copy
import re
from functools import partial

import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with
from tiny import tiny_catalog
from torch import nn
from torch.nn import functional as F

from fashionlib import siamese, training
from fashionlib.heads import build_classifier
from fashionlib.pages import recorded_results
from fashionlib.retrieval import resampled
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


def test_active_shares_of_miners_are_not_compared():
    """Mined triplets are active by construction, so no table of the trainings shows the share."""
    mining = PROSE.partition("## Mining")[2].partition("## What does")[0]
    assert "all active, because they were chosen so" in mining.replace("\n", " ")
    trained = cell_with('found["semi-hard triplets"] =')
    assert "active" not in trained


@pytest.mark.parametrize(("end", "told"), [(0.45, "-0.050"), (0.5, "+0.000"), (0.52, "+0.020")])
def test_where_the_loss_fell_precision_says_whether_the_search_got_better(monkeypatch, end, told):
    rows = [{"loss": 1.0, "active": 0.2, "precision@5": 0.5},
            {"loss": 0.25, "active": 0.9, "precision@5": end}]  # fmt: skip
    runs = [{"network": "to the letter", "triplets": rows}]
    results = {
        "article": {"runs": [{"triplets": {"random": rows}}]},
        "as_printed": {"runs": runs},
    }
    monkeypatch.setattr(recorded_results, "recorded", results.get)
    monkeypatch.setattr(recorded_results, "about", lambda _: "here")
    heard = []
    exec(cell_with("fall = max("), {"say": heard.append, "table": lambda *_: None})
    assert f"falls by up to 75%, and the precision changes by {told} at best. " in heard[0]
    assert ("the search got no better" in heard[0]) == (end <= 0.5)


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
    space = {"found": found, "resampled": resampled, "say": heard.append}
    exec(cell_with("before, after = found.values()"), space)
    assert heard[0].startswith(f"The loss is lower by 25%. Precision@5 changes by {change:+.3f} (")
    assert f"), {told}" in heard[0]


def said_of_transfer(moved: list[float], long: list[float]) -> str:
    """Of two seeds with these precisions in each epoch; the classifier took one before."""
    by_run = {"transfer": moved, "scratch, twice as long": long}
    heard = []
    space = {
        "precisions": lambda name: torch.tensor([by_run[name]] * 2),
        "seeds": [{"classifier": [{}]}], "say": heard.append,
    }  # fmt: skip
    exec(cell_with("moved, long = "), space)
    return heard[0]


def test_epochs_that_transfer_saves_are_counted_from_1():
    """The second of its epochs is the first to reach 0.5."""
    said = said_of_transfer([0.3, 0.6, 0.7], [0.1, 0.2, 0.5, 0.5])
    assert "in epoch 2 of 4: 50% of the epochs are saved" in said
    assert "With the classifier's own 1 epochs counted it is 25%." in said


def test_miners_have_their_own_papers():
    text = " ".join(PROSE.split())
    assert re.search(r"\*\*Semi-hard\*\* ones \(\[Schroff et al\., 2015\]", text)
    assert re.search(r"\*\*Batch-hard\*\* \(\[Hermans et al\., 2017\]", text)


def test_the_stem_is_called_the_stem():
    """`UpTo(…, depth + 1)` counts the stem as the first, so block n is the n-th after it."""
    cell = cell_with("by_depth = {")
    assert '0: "the stem", 2: "block 2"' in cell_with("depths = {")
    assert "UpTo(classifier, depth + 1" in cell
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
    space = {"resampled": resampled, "say": heard.append, "torch": torch}
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
    assert told in heard[0]
    ((header, rows),) = tables
    assert header == ["class", "queries", "features", "ours"]
    assert rows[0] == ["skirt", 9, "0.600", f"{ours / 5:.3f}"]
