"""What the pages of the exercises conclude follows from what they measured."""

from dataclasses import replace
from functools import partial
from statistics import fmean
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from chapter_cells import cells_of, code_of, grid, shown_by, the_one_with
from torch.nn import functional as F

from fashionlib import metrics, retrieval
from fashionlib.catalog import SEVEN, Catalog, Split


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
    assert "**grown**: 70.0% (7 of 10, " in found.said[0]
    assert "**weighted**: 60.0% (6 of 10, " in found.said[0]
    assert found.space["right"] == {"grown": 7, "weighted": 6}


def test_weights_are_judged_by_the_mean_recall_and_by_the_rarest_class():
    known = more_classes()
    space = {"torch": torch, "ten": known.ten, "answers": known.answers, "labels": known.labels,
             "recall_by_class": recall}  # fmt: skip
    found = shown_by(MORE_CLASSES("def recall_table"), **space)
    ((header, rows),) = found.tables
    assert header[3:] == ["recall, grown", "recall, weighted"]
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
    assert header[-1] == "within 4 s"
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
    assert "of the same network by +40 points" in said


def test_curves_of_backbones_are_over_their_own_seconds():
    histories = HISTORIES | {"Lite0, frozen": HISTORIES["ours"], "ViT-Tiny": HISTORIES["ours"]}
    found = shown_by(
        BACKBONES("accuracy against seconds of training"), plt=plt, torch=torch,
        histories=histories,
        seconds={name: sum(row["seconds"] for row in rows) for name, rows in histories.items()},
    )  # fmt: skip
    lines = {line.get_label(): line for line in found.figures[0].axes[0].lines}
    assert lines["Lite0, pretrained"].get_xdata().tolist() == [5, 10]
    assert list(lines["Lite0, pretrained"].get_ydata()) == pytest.approx([70, 90])
    assert "Lite0, pretrained 90% after 10 s" in found.alts[0]


# 3


def test_objectives_are_ranked_by_their_mean_and_held_query_by_query():
    """By precision one is best, by mAP another; the start is none of them."""
    shares = {
        "the start": (0.9, 0.9),
        "triplets": (0.5, 0.6),
        "center": (0.7, 0.3),
        "arc": (0.6, 0.4),
    }
    measured = {
        name: ([torch.full((60,), share) for share in both], 0.1) for name, both in shares.items()
    }
    runs = dict.fromkeys(list(shares)[1:])
    (said,) = shown_by(
        LOSSES("is no ranking of the objectives"), measured=measured,
        runs=runs, retrieval=retrieval,
    ).said  # fmt: skip
    assert said.startswith(
        "By precision@5, **center** is best, 0.700, and **triplets** lowest, 0.500: 0.200 apart on "
        "the same queries (0.200 to 0.200). By mAP, **triplets** is best, 0.600, and **center** "
        "lowest, 0.300: 0.300 apart"
    )


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
    axis = found.figures[0].axes[0]
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


def test_positions_and_distances_are_held_against_our_index():
    """Of four positions three are the same; one distance is a quarter off."""
    wanted = SimpleNamespace(positions=torch.tensor([[1, 2], [3, 4]]), distances=torch.zeros(2, 2))
    theirs = torch.tensor([[0.0, 0.25], [0.0, -0.1]]), torch.tensor([[1, 2], [3, 5]])
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
    """Anchors at 0; positives at 1, 5, 5 and 2, of which two are one picture; negatives at 3."""
    points = torch.tensor([0.0, 1, 5, 2, 3])[:, None]
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
