"""The loop: learns, repeats itself for a seed, never sees test, and serves every training."""

import copy
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from complaints import complaint
from tiny import (
    drawn_split,
    same_weights,
    small_encoder,
    steps_watched,
    stopped_after,
    tiny_answers,
    tiny_catalog,
    without_time,
)
from torch.utils.data import BatchSampler, RandomSampler

import fashionlib
from fashionlib import training
from fashionlib.catalog import Catalog
from fashionlib.detection import DetectionRecipe, train_head
from fashionlib.heads import DetectionHead, build_classifier
from fashionlib.inference import predict
from fashionlib.siamese import OBJECTIVES, SiameseRecipe, train_siamese
from fashionlib.transforms import Preparation, to_input

RECIPE = training.Recipe(epochs=3, size=32, evaluation_size=32, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


def trained(catalog, recipe=RECIPE, seed=0):
    torch.manual_seed(seed)
    model = build_classifier("article", len(catalog.classes))
    return training.train_classifier(model, catalog, recipe, seed)


def test_training_learns_what_it_is_shown(catalog):
    """Twelve epochs on 96 pictures: the training pictures are known far better than by chance."""
    average, history = trained(catalog, replace(RECIPE, epochs=12, learning_rate=4e-3))
    logits = predict(average, catalog.train.images)
    assert (logits.argmax(1) == catalog.train.labels).float().mean() > 0.5
    assert history[-1]["loss"] < history[0]["loss"]
    assert [row["epoch"] for row in history] == list(range(1, 13))


def test_a_seed_gives_the_same_result_twice(catalog, two_threads):
    first, second = trained(catalog), trained(catalog)
    assert same_weights(first[0], second[0])
    assert without_time(first[1]) == without_time(second[1])
    assert not same_weights(first[0], trained(catalog, seed=1)[0])


def test_training_gives_the_callers_random_numbers_back(catalog):
    torch.manual_seed(0)
    model = build_classifier("article")
    expected = copy.deepcopy(torch.get_rng_state())
    training.train_classifier(model, catalog, replace(RECIPE, epochs=1), 0)
    assert torch.equal(torch.get_rng_state(), expected)


def test_filters_on_cuda_are_those_that_repeat_themselves():
    """The fastest ones, which are tried out, may be others the next time."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=True, deterministic=False):
        with training.seeded(0, 0):
            assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
        assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_test_pictures_and_validation_labels_do_not_influence_training(catalog):
    other = replace(
        catalog,
        test=replace(catalog.test, images=torch.zeros_like(catalog.test.images)),
        validation=replace(catalog.validation, labels=catalog.validation.labels.roll(1)),
    )
    assert same_weights(trained(catalog)[0], trained(other)[0])


def test_validation_is_evaluated_without_augmentation(catalog):
    """Its figures are those of plain pictures, recomputed here."""
    average, history = trained(catalog)
    assert average.preparation == Preparation(RECIPE.evaluation_size)
    logits = predict(average, catalog.validation.images)
    right = (logits.argmax(1) == catalog.validation.labels).sum().item()
    assert history[-1]["validation_accuracy"] == right / len(catalog.validation.labels)
    assert torch.equal(logits, predict(average, catalog.validation.images))
    with torch.no_grad():
        plain = average(to_input(catalog.validation.images, RECIPE.evaluation_size))
    assert torch.allclose(logits, plain, atol=1e-5)


def test_without_validation_pictures_a_classifier_has_no_figures(catalog):
    """Not an accuracy of 0, which would be one."""
    none = catalog.validation.at(torch.arange(0))
    row = training.evaluate(build_classifier("article"), none)
    assert row.keys() == {"validation_loss", "validation_accuracy"}
    assert all(map(math.isnan, row.values()))


def test_one_cycle_rises_then_falls_to_zero():
    assert training.one_cycle(0.0) == pytest.approx(0.04)
    assert training.one_cycle(0.3) == pytest.approx(1.0)
    assert training.one_cycle(1.0) == pytest.approx(0.0, abs=1e-12)
    rates = [training.one_cycle(n / 100) for n in range(101)]
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)


def test_update_average_is_the_formula():
    average, model = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.fill_(5.0)
        model.running_mean.fill_(2.0)
        model.num_batches_tracked.fill_(9)
    training.update_average(average, model, keep=0.75)
    assert torch.allclose(average.weight, torch.full((3,), 0.75 * 1 + 0.25 * 5))
    assert torch.allclose(average.running_mean, torch.full((3,), 0.5))
    assert average.num_batches_tracked == 9


def test_norms_and_biases_are_not_decayed():
    model = build_classifier("article")
    decayed, free = training.make_optimizer(model, RECIPE).param_groups
    assert decayed["weight_decay"] == RECIPE.weight_decay
    assert free["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


def test_a_catalog_smaller_than_a_batch_still_trains(catalog):
    few = replace(catalog, train=drawn_split(9, 4))
    _, history = trained(few)
    assert len(history) == 3


def test_the_seconds_of_a_row_are_those_of_its_epoch(catalog, monkeypatch):
    """By a clock that goes on by half a second each time somebody looks at it."""
    clock = SimpleNamespace(perf_counter=itertools.count(7.0, 0.5).__next__)
    monkeypatch.setattr(training, "time", clock)
    _, history = trained(replace(catalog, train=drawn_split(9, 4)))
    assert [row["seconds"] for row in history] == [0.5] * 3


def test_the_bar_of_a_training_that_goes_on_begins_where_it_stopped(catalog, monkeypatch):
    told, bar = [], training.progress_bar
    monkeypatch.setattr(
        training, "progress_bar", lambda *what, **more: told.append(more) or bar(*what, **more)
    )
    begun = training.classifier_training(build_classifier("article"), catalog, RECIPE)
    begun.history.append({"epoch": 1, "loss": 0.5, "seconds": 1.0})
    training.finish(begun, iter([]))
    assert told == [{"initial": 1, "total": 3}]


def test_the_bar_of_a_training_shows_the_figures_of_each_epoch(catalog, monkeypatch):
    shown = []
    bar = type("Bar", (list,), {"set_postfix": lambda _, figures: shown.append(figures)})
    monkeypatch.setattr(training, "progress_bar", lambda rows, *_, **__: bar(rows))
    begun = training.classifier_training(build_classifier("article"), catalog, RECIPE)
    row = {"epoch": 1, "loss": 0.5, "validation_accuracy": 2 / 3, "seconds": 1.0}
    training.finish(begun, [row])
    assert shown == [{"loss": "0.500", "validation_accuracy": "0.667"}]


def test_pictures_that_lie_otherwise_in_memory_are_the_same(catalog):
    """As those of an array whose colours come last."""
    train = catalog.train
    images = train.images.contiguous(memory_format=torch.channels_last)
    turned = replace(catalog, train=replace(train, images=images))
    assert training.describe_pictures(turned) == training.describe_pictures(catalog)


# One loop


def metric_training(objective: str) -> Callable[[Catalog], object]:
    recipe = SiameseRecipe(objective, epochs=2, size=32, evaluation_size=32, batch_size=28)
    return lambda catalog: train_siamese(small_encoder(objective), catalog, recipe)


TRAININGS = {
    "classifier": (lambda catalog: trained(catalog, replace(RECIPE, epochs=2)), 2 * 6),
    # those that look for no partners in a batch show the last pictures too
    **{
        name: (metric_training(name), 2 * (4 if name in ("random", "looks") else 3))
        for name in OBJECTIVES
    },
    "detection head": (
        lambda _: train_head(
            DetectionHead(2, 2, hidden=8), *tiny_answers(), DetectionRecipe(2, batch_size=10)
        ),
        2 * 3,
    ),
}


@pytest.mark.parametrize("what", TRAININGS)
def test_every_training_goes_through_the_one_loop(catalog, what):
    train, count = TRAININGS[what]
    with steps_watched() as steps:
        train(catalog)
    assert steps == [True] * count


def test_nothing_else_in_the_library_takes_steps():
    """What a room would add by hand would miss the schedule, the average and the wrappers."""
    root = Path(fashionlib.__path__[0])
    found = {
        path.relative_to(root).as_posix(): len(re.findall(r"\.step\(\)", path.read_text("utf-8")))
        for path in root.rglob("*.py")
    }
    assert {name: count for name, count in found.items() if count} == {"training.py": 1}


def test_the_loop_takes_batches_and_a_loss_and_knows_nothing_of_the_task():
    """Parts of a batch go to the loss as they are, after the network; its mean comes back."""
    model, average = (torch.nn.Linear(1, 1, bias=False) for _ in range(2))
    recipe = training.Recipe(epochs=1, learning_rate=0.5, average=0.0, schedule="constant")
    optimizer = torch.optim.SGD(model.parameters(), lr=99.0)  # the schedule sets another
    seen = []

    def loss_of(network: torch.nn.Module, *parts: object) -> torch.Tensor:
        assert network is model
        assert network.training
        seen.append(parts)
        return network.weight.sum() * parts[1]

    batches = training.Batches([torch.tensor([4, 2]), torch.tensor([7])], lambda at: (at, len(at)))
    before = float(model.weight.detach())
    loss = training.train_epoch(model.eval(), average, optimizer, batches, loss_of, recipe, 0)
    assert [(part.tolist(), count) for part, count in seen] == [([4, 2], 2), ([7], 1)]
    assert model.weight.item() == pytest.approx(before - 0.5 * 2 - 0.5)
    assert torch.equal(average.weight, model.weight)
    assert loss == pytest.approx((2 * before + (before - 1)) / 2)


# What it is given


def test_batches_load_one_at_a_time():
    loaded = []
    batches = training.Batches(torch.arange(6).split(2), lambda at: loaded.append(at) or (at,))
    assert len(batches) == 3
    assert loaded == []
    (first,) = next(iter(batches))
    assert first.tolist() == [0, 1]
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("count", "keep_last"), [(35, False), (35, True), (32, True), (9, False), (20, False)]
)
def test_shuffled_is_torchs_batch_sampler(count, keep_last):
    """A catalog smaller than a batch is one batch; else the last one waits unless it is kept."""
    order = training.shuffled(count, 16, keep_last)
    sampler = BatchSampler(RandomSampler(range(count)), 16, drop_last=not keep_last)
    assert [len(batch) for batch in order] == ([len(batch) for batch in sampler] or [count])
    met = torch.cat(list(order))
    assert len(met.unique()) == len(met)
    assert met.tolist() != sorted(met.tolist())
    assert set(met.tolist()) <= set(range(count))


def test_no_batch_is_a_single_picture():
    """Batch norm cannot normalise one."""
    assert [len(batch) for batch in training.shuffled(33, 16, keep_last=True)] == [16, 16]
    assert [len(batch) for batch in training.shuffled(1, 16, keep_last=True)] == [1]


def test_labelled_batches_are_the_splits_own_pictures_and_labels(catalog):
    """Each picture once, with its label; the split is left as it was."""
    split, before = catalog.train, catalog.train.images.clone()
    plain = replace(RECIPE, augmentation="still")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.AUGMENTATIONS, "still", lambda size: lambda picture: picture)
        torch.manual_seed(3)
        batches = training.labelled_batches(split, plain)
        parts = list(batches)
    assert [len(labels) for _, labels in parts] == [16] * 6
    for chosen, (inputs, labels) in zip(batches.order, parts, strict=True):
        assert torch.equal(inputs, to_input(split.images[chosen]))
        assert torch.equal(labels, split.labels[chosen])
    assert torch.equal(split.images, before)


def test_the_loss_of_a_classifier_takes_labels_or_shares():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    by_hand = -logits.log_softmax(dim=1)[range(5), labels].mean()
    model = torch.nn.Identity()
    assert torch.allclose(training.classification_loss(model, logits, labels), by_hand)
    shares = torch.nn.functional.one_hot(labels, 3).float()
    assert torch.allclose(training.classification_loss(model, logits, shares), by_hand)
    smooth = 0.7 * by_hand - 0.3 * logits.log_softmax(dim=1).mean(dim=1).mean()
    assert torch.allclose(training.classification_loss(model, logits, labels, 0.3), smooth)


def test_a_training_keeps_its_rows_and_goes_on_from_them(catalog):
    """Whoever stops between two epochs and goes on has what one go would have given."""
    torch.manual_seed(0)
    model = build_classifier("article", 7)
    under_way = training.classifier_training(model, catalog, RECIPE)
    first = next(under_way.epochs())
    assert under_way.history == [first]
    average, history = training.finish(under_way)
    whole, rows = trained(catalog)
    assert same_weights(average, whole)
    assert without_time(history) == without_time(rows)
    assert not average.training


def test_a_stopped_training_gives_the_random_numbers_back(catalog):
    torch.manual_seed(0)
    model = build_classifier("article", 7)
    expected = torch.get_rng_state()
    with stopped_after(8):
        training.train_classifier(model, catalog, RECIPE)
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_loss_that_is_infinite_ends_a_training(catalog):
    begun = training.classifier_training(build_classifier("article"), catalog, RECIPE, 0)
    begun.loss_of = lambda network, inputs, labels: network(inputs).sum() + float("inf")
    complaint(lambda: next(begun.epochs()), "loss became inf in epoch 1", "lower learning rate")
