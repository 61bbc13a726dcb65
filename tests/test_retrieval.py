"""Retrieval measures against plain loops over one query at a time."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from fashionlib.catalog import Split
from fashionlib.errors import FashionError
from fashionlib.metrics import accuracy, majority_baseline, wilson_interval
from fashionlib.retrieval import (
    ColourDistances,
    Score,
    agreement_at_k,
    average_precision,
    best_at_k,
    chance_in_class,
    colour_distances,
    evaluate_retrieval,
    hit_at_k,
    labelled,
    matches,
    mean_colours,
    precision_at_k,
    ranking,
    recall_at_k,
    resampled,
    score,
    score_by_class,
)
from fashionlib.search import SearchIndex
from fashionlib.siamese import active_share, spread


def some(count: int, seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Embeddings with many equal distances, and labels."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randint(0, 3, (count, 3), generator=generator).float()
    return embeddings, torch.arange(count) % classes


def slow_order(query: Tensor, catalog: Tensor) -> list[int]:
    squares = [float(((query - row) ** 2).sum()) for row in catalog]
    return sorted(range(len(catalog)), key=lambda n: (squares[n], n))


def slow_average_precision(right: list[bool]) -> float:
    precisions = [sum(right[: n + 1]) / (n + 1) for n in range(len(right)) if right[n]]
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_all_measures_equal_plain_loops(k):
    catalog, labels = some(60, 1)
    queries, query_labels = some(25, 2)
    measured = evaluate_retrieval(queries, query_labels, catalog, labels, k)
    for n, query in enumerate(queries):
        order = slow_order(query, catalog)
        right = [bool(labels[p] == query_labels[n]) for p in order]
        slow = {
            "precision@1": float(right[0]),
            f"precision@{k}": sum(right[:k]) / len(right[:k]),
            f"recall@{k}": sum(right[:k]) / sum(right),
            f"hit@{k}": float(any(right[:k])),
            "mAP": slow_average_precision(right),
        }
        assert {name: float(values[n]) for name, values in measured.items()} == pytest.approx(slow)
    assert all(len(values) == len(queries) for values in measured.values())
    assert {values.dtype for values in measured.values()} == {torch.float32}
    usual = evaluate_retrieval(queries, query_labels, catalog, labels)
    assert list(usual) == ["precision@1", "precision@5", "recall@5", "hit@5", "mAP"]


def test_the_ranking_begins_as_a_search_does():
    catalog, _ = some(60, 3)
    queries, _ = some(25, 4)
    index = SearchIndex(catalog, tuple(map(str, range(60))), "someone")
    assert torch.equal(ranking(queries, catalog)[:, :7], index.search(queries, 7).positions)


def test_agreement_in_an_attribute():
    positions = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    colours = ("red", "blue", "red", "green")
    right = matches(positions, ("red", "grey"), colours)
    assert right.tolist() == [[True, False, True, False], [False] * 4]
    assert precision_at_k(right, 3).tolist() == pytest.approx([2 / 3, 0])
    labels = torch.tensor([7, 8, 7, 9])
    assert torch.equal(matches(positions, torch.tensor([7, 5]), labels), right)


def test_known_values():
    right = torch.tensor([[True, False, True, False, False]])
    assert float(precision_at_k(right, 2)) == 0.5
    assert float(recall_at_k(right, 2)) == 0.5
    assert float(hit_at_k(right, 1)) == 1
    assert float(hit_at_k(~right, 1)) == 0
    assert float(average_precision(right)) == pytest.approx((1 + 2 / 3) / 2)


def test_a_query_with_nothing_to_find():
    right = torch.tensor([[True, False], [False, False], [False, False]])
    for measure in (average_precision, lambda right: recall_at_k(right, 1)):
        with pytest.raises(FashionError, match="query 1 has nothing to find"):
            measure(right)


def test_scores_have_intervals():
    values = torch.tensor([1.0, 1.0, 0.0, 0.5])
    found = score(values)
    assert found.mean == 0.625
    assert (found.low, found.high) == wilson_interval(2.5, 4)
    assert str(Score(0.5, 0.25, 0.75, 8)) == "0.500 (0.250 to 0.750, 8 queries)"
    perfect = score(torch.ones(12))
    assert perfect.high == pytest.approx(1)
    assert 0.7 < perfect.low < 0.8  # a dozen right answers do not prove much
    by_class = score_by_class(values, torch.tensor([2, 0, 2, 2]), ["a", "b", "c"])
    assert {name: s.queries for name, s in by_class.items()} == {"a": 1, "c": 3}
    assert by_class["c"].mean == 0.5
    with pytest.raises(FashionError, match="no queries"):
        score(torch.zeros(0))


def test_intervals_cover_what_they_should():
    """Of shares of five results, whose spread is smaller than that of a yes or no."""
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(400):
        shares = torch.bernoulli(torch.full((40, 5), 0.9), generator=generator).mean(dim=1)
        found = score(shares)
        inside += found.low <= 0.9 <= found.high
    assert inside >= 0.95 * 400


def test_mean_colours_look_at_the_central_half():
    images = torch.zeros(2, 3, 12, 16, dtype=torch.uint8)
    images[0] = 200
    images[0, :, 3:9, 4:12] = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None]
    images[1, 0, 3, 4:6] = 120  # a corner of the centre
    assert mean_colours(images).tolist() == [[10, 20, 30], [5, 0, 0]]
    assert mean_colours(images[:, :, :1, :1]).tolist() == [[200, 200, 200], [0, 0, 0]]


def test_colour_distances_equal_plain_loops():
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (40, 3, 4, 4), dtype=torch.uint8, generator=generator)
    queries, catalog = images[:7], images[7:]
    query_labels, labels = torch.arange(7) % 2, torch.arange(33) % 2
    positions = torch.randint(0, 33, (7, 5), generator=generator)
    measured = colour_distances(queries, query_labels, catalog, labels, positions)
    for n in range(7):
        own = queries[n, :, 1:3, 1:3].double().mean(dim=(1, 2))
        others = [image[:, 1:3, 1:3].double().mean(dim=(1, 2)) for image in catalog]
        distances = [float(((own - other) ** 2).sum().sqrt()) for other in others]
        same = sorted(distances[p] for p in range(33) if labels[p] == query_labels[n])
        found = sum(distances[p] for p in positions[n].tolist()) / 5
        assert float(measured.found[n]) == pytest.approx(found, rel=1e-4)
        assert float(measured.random[n]) == pytest.approx(sum(same) / len(same), rel=1e-4)
        assert float(measured.best[n]) == pytest.approx(sum(same[:5]) / 5, rel=1e-4)


def test_colour_distances_of_a_class_that_is_not_there():
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    labels = torch.tensor([0, 0, 1])
    positions = torch.zeros(1, 5, dtype=torch.int64)
    few = colour_distances(images[:1], torch.tensor([1]), images, labels, positions)
    assert float(few.best) == 0
    with pytest.raises(FashionError, match="query 0"):
        colour_distances(images[:2], torch.tensor([2, 2]), images, labels, positions.expand(2, 5))


# By look

STYLES = {
    "a": (0, "red", "plain"),
    "b": (0, "red", "dots"),
    "c": (0, "blue", "dots"),
    "d": (1, "red", "dots"),
    "e": (1, "", ""),
}


def dressed(styles: str) -> Split:
    """A split of pictures in these styles."""
    rows = [STYLES[style] for style in styles]
    labels, colours, patterns = zip(*rows, strict=True)
    images = torch.zeros(len(rows), 3, 1, 1, dtype=torch.uint8)
    looks = {"colour": colours, "pattern": patterns}
    return Split(images, torch.tensor(labels), tuple(map(str, range(len(rows)))), looks)


def test_looks_are_counted_as_by_hand():
    queries, catalog = dressed("abd"), dressed("aabcd")
    order = torch.arange(5).expand(3, 5)
    found = {name: (3 * values).tolist() for name, values in
             agreement_at_k(order, queries, catalog, 3).items()}  # fmt: skip
    assert found == {
        "category": [3, 3, 0],
        "colour": [3, 3, 3],
        "pattern": [2, 1, 1],
        "alike": [2, 1, 0],
        "patterned": [1, 1],
    }


def test_in_a_catalog_of_fewer_than_k_pictures_the_best_is_what_they_give():
    queries, catalog = dressed("a"), dressed("aab")
    order = torch.tensor([[0, 1, 2]])
    best = best_at_k(order, queries, catalog, 5)
    assert {name: values.tolist() for name, values in best.items()} == {
        name: values.tolist() for name, values in agreement_at_k(order, queries, catalog, 5).items()
    }


def test_chance_and_the_best_are_what_many_orders_give():
    """Chance is the mean over random orders of the class, the best the greatest over all."""
    queries, catalog = dressed("abd"), dressed("aabbbccddda")
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(11, generator=generator).expand(3, 11) for _ in range(3000)]
    chance = chance_in_class(orders[0], queries, catalog)
    best = best_at_k(orders[0], queries, catalog, 5)
    tried = [agreement_at_k(order, queries, catalog, 5) for order in orders]
    for name, values in best.items():
        assert torch.stack([each[name] for each in tried]).amax(dim=0).tolist() == values.tolist()
    own = {n: (catalog.labels == queries.labels[n]).nonzero()[:, 0] for n in range(3)}
    for name in ("category", "colour", "pattern", "alike"):
        for n in range(3):
            drawn = [agreement_at_k(own[n][torch.randint(len(own[n]), (1, 1), generator=generator)],
                                    queries.at(torch.tensor([n])), catalog, 1)[name]
                     for _ in range(600)]  # fmt: skip
            assert float(torch.cat(drawn).mean()) == pytest.approx(float(chance[name][n]), abs=0.07)
    assert chance["patterned"].tolist() == chance["pattern"][1:].tolist()


def test_only_labelled_pictures_are_asked_for():
    found = labelled(dressed("aebea"))
    assert found.names == ("0", "2", "4")
    for nobody in (dressed("ee"), replace(dressed("ab"), attributes={})):
        with pytest.raises(FashionError, match="nobody has labelled"):
            labelled(nobody)


def test_resampled_intervals_cover_what_they_should():
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(200):
        found = resampled(torch.rand(60, generator=generator) - 0.4)  # as differences, mean 0.1
        inside += found.low <= 0.1 <= found.high
    assert 0.9 * 200 <= inside < 200
    many = torch.randn(400, generator=generator)
    found, error = resampled(many), float(many.std()) / 20  # as a normal distribution has it
    assert found.low == pytest.approx(float(many.mean()) - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(float(many.mean()) + 1.96 * error, abs=0.15 * error)
    orders = (torch.randperm(400, generator=generator) for _ in range(10))
    ends = torch.tensor([[each.low, each.high] for each in (resampled(many[o]) for o in orders)])
    assert ends.std(dim=0).max() < 0.1 * error  # so many draws that it hardly matters which
    again = torch.rand(30, generator=generator)
    assert resampled(again) == resampled(again)
    assert resampled(again).mean == pytest.approx(float(again.mean()))
    with pytest.raises(FashionError, match="no queries"):
        resampled(torch.zeros(0))


def test_results_closer_in_colour_than_chance_have_a_ratio_below_1():
    """Of the means: a query whose class is all of one colour has no ratio of its own."""
    found = ColourDistances(torch.tensor([0.0, 4.0]), torch.tensor([0.0, 8.0]), torch.zeros(2))
    assert found.ratio == pytest.approx(0.5)


def test_figures_are_plain_numbers():
    """Which can be saved as JSON, as no tensor can."""
    values, labels = torch.tensor([1.0, 0.0]), torch.tensor([0, 1])
    figures = {
        "score": asdict(score(values)),
        "resampled": asdict(resampled(values)),
        "ratio": ColourDistances(values, values, values).ratio,
        "accuracy": accuracy(torch.eye(2), labels),
        "baseline": majority_baseline(labels, labels),
        "spread": spread(torch.eye(2)),
        "active": active_share(values),
    }
    assert json.loads(json.dumps(figures)) == figures
