"""Between the parts and the results: what a training is given, and what it hands back.

The parts are tested one by one elsewhere. Here a recipe's numbers all differ from each other, and a
network that writes down what it sees tells whether each one arrived where it belongs.
"""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny import (
    same_weights,
    small_encoder,
    striped_catalog,
    tiny_answers,
    tiny_catalog,
)
from torch import Tensor, nn

from fashionlib import siamese, training
from fashionlib.blocks import PLANS
from fashionlib.catalog import Catalog
from fashionlib.detection import DetectionRecipe, train_head
from fashionlib.heads import DetectionHead, build_classifier
from fashionlib.inference import predict
from fashionlib.look_encoder import NAMELESS
from fashionlib.running.runs import run_training
from fashionlib.siamese import OBJECTIVES, SiameseRecipe, encoder_for, siamese_training
from fashionlib.training import Batches, Recipe, Training, classifier_training, finish
from fashionlib.transforms import AUGMENTATIONS, Preparation

RECIPE = Recipe(epochs=2, size=32, evaluation_size=40, batch_size=16, average=0.6)
METRIC = SiameseRecipe("all", epochs=2, size=32, evaluation_size=40, batch_size=28)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


def classifier(catalog: Catalog, recipe: Recipe = RECIPE, seed: int = 0) -> Training:
    torch.manual_seed(0)
    model = build_classifier("article", len(catalog.classes))
    return classifier_training(model, catalog, recipe, seed)


def metric(catalog: Catalog, objective: str = "all", seed: int = 0, **changes) -> Training:
    recipe = replace(METRIC, objective=objective, **changes)
    return siamese_training(small_encoder(objective), catalog, recipe, seed)


MAKE = {
    "classifier": classifier,
    **{name: partial(metric, objective=name) for name in OBJECTIVES},
}


def detection_head(_: Catalog) -> nn.Module:
    recipe = DetectionRecipe(2, batch_size=10)
    return train_head(DetectionHead(2, 2, hidden=8), *tiny_answers(), recipe)[0]


# What it hands back


@pytest.mark.parametrize(
    "train",
    [*(lambda c, m=make: finish(m(c))[0] for make in MAKE.values()),
     lambda c: run_training(classifier(c))[0], detection_head],
    ids=[*MAKE, "run_training", "detection head"],
)  # fmt: skip
def test_what_a_training_returns_is_in_evaluation_mode(catalog, train):
    """Used as it is, it must not answer by the statistics of whoever is in the batch."""
    model = train(catalog)
    assert not any(part.training for part in model.modules())


def test_what_it_returns_is_the_average_and_not_the_last_weights(catalog):
    made = classifier(catalog)
    average, _ = finish(made)
    assert average is made.average
    assert not same_weights(average, made.model)


# Sizes, loss, and what it is judged by


@pytest.mark.parametrize("name", MAKE)
def test_trained_at_one_size_and_judged_at_the_other(catalog, name):
    made = MAKE[name](catalog)
    seen = set()
    for network in (made.model, made.average):
        stem = network.backbone.blocks[0]
        stem.register_forward_pre_hook(lambda m, x: seen.add((m.training, x[0].shape[-1])))
    average, _ = finish(made)
    assert seen == {(True, 32), (False, 40)}
    assert average.preparation == Preparation(40)


def test_the_loss_is_smoothed_as_the_recipe_says(catalog):
    made = classifier(catalog, replace(RECIPE, label_smoothing=0.3))
    logits, labels = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([0])
    logs = [x - math.log(math.e**2 + 1 + math.e) for x in (2.0, 0.0, 1.0)]
    wanted = -(0.7 * logs[0] + 0.3 * sum(logs) / 3)
    assert float(made.loss_of(lambda x: x, logits, labels)) == pytest.approx(wanted, abs=1e-5)


def test_rows_are_figures_of_the_average_on_the_validation_pictures(catalog):
    """Loss and accuracy worked out here, picture by picture."""
    made = classifier(catalog)
    average, history = finish(made)
    split = catalog.validation
    logs = predict(average, split.images).double().log_softmax(dim=1)
    loss = -sum(float(row[label]) for row, label in zip(logs, split.labels, strict=True))
    assert history[-1]["validation_loss"] == pytest.approx(loss / len(split), abs=1e-4)
    right = sum(int(row.argmax() == label) for row, label in zip(logs, split.labels, strict=True))
    assert history[-1]["validation_accuracy"] == right / len(split)


def test_validation_pictures_are_searched_among_the_training_pictures():
    """Not the other way round, and among none of the others; by hand for each query."""
    catalog = striped_catalog(30, 12)
    encoder = small_encoder("all").eval()
    found = siamese.evaluate_encoder(encoder, catalog)
    queries, known = (predict(encoder, s.images) for s in (catalog.validation, catalog.train))
    shares = []
    for query, label in zip(queries, catalog.validation.labels, strict=True):
        order = sorted(range(30), key=lambda n, q=query: float((known[n] - q).norm()))
        shares.append(sum(bool(catalog.train.labels[n] == label) for n in order[:5]) / 5)
    assert found["precision@5"] == pytest.approx(sum(shares) / 12, abs=1e-6)
    assert found["spread"] == pytest.approx(1 - float(known.mean(dim=0).norm()), abs=1e-5)


# Draws


@pytest.mark.parametrize("name", MAKE)
def test_each_epoch_draws_anew_and_repeats_it_for_its_seed(catalog, name):
    """Another order, and another view of the same picture; the same ones for the same seed."""

    def drawn(seed: int) -> list[tuple[list[list[int]], Tensor]]:
        made = MAKE[name](catalog, seed=seed)
        batches, epochs = made.batches, []

        def kept(epoch: int) -> Batches:
            given = batches(epoch)
            order = [chosen.tolist() for chosen in given.order]
            looks = given.load(torch.arange(8))[0]
            looks = looks if isinstance(looks, Tensor) else looks[0]
            epochs.append((order, looks))
            return replace(given, order=given.order[:1])

        made.batches = kept
        finish(made)
        return epochs

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert first[0][0] != first[1][0]
    assert not torch.equal(first[0][1], first[1][1])
    assert [order for order, _ in first] == [order for order, _ in again]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert first[0][0] != other[0][0]
    assert first[1][0] != other[0][0]  # nor is one seed a little behind the other


def test_an_epochs_triplets_are_its_own(catalog):
    """Partners are drawn by the training's seed and epoch, whatever torch's generator says."""
    made = metric(catalog, "random", seed=3)
    told = []
    with pytest.MonkeyPatch.context() as patch:
        indices = siamese.TripletDataset.indices
        patch.setattr(
            siamese.TripletDataset,
            "indices",
            lambda data, n: told.append((data.seed, data.epoch)) or indices(data, n),
        )
        finish(made)
    assert set(told) == {(3, 0), (3, 1)}


def test_the_share_of_active_triplets_is_that_of_the_epoch(catalog, monkeypatch):
    """Half of the first epoch, none of the second: not the mean of both, nor the last batch."""
    epochs = iter([1.0, 0.25, 0.25, 0.0, 0.0, 0.0])  # three batches of 28 an epoch
    monkeypatch.setattr(siamese, "active_share", lambda losses: next(epochs))
    _, history = finish(metric(catalog))
    assert [row["active"] for row in history] == [0.5, 0.0]


def test_the_active_share_is_that_of_the_triplets_and_not_of_the_names(catalog, monkeypatch):
    """Of two views the triplets come first; the loss of a name is never 0."""
    terms = [(torch.tensor([0.0, 2.0, 0.0, 0.0]), 0.7), (torch.ones(4), 1.0)]
    objective = OBJECTIVES["two-views"]._replace(terms=lambda *_: terms)
    monkeypatch.setitem(OBJECTIVES, "two-views", objective)
    made = metric(catalog, "two-views")
    made.batches(0)
    made.loss_of(made.network)
    assert made.evaluate(made.average)["active"] == 0.25


@pytest.mark.parametrize("name", ["classifier", "all"])
def test_weights_lie_as_pictures_do(catalog, name):
    """Colours last: on a CPU a convolution takes about half the time."""
    made = MAKE[name](catalog)
    inputs = made.batches(0).load(torch.arange(4))[0]
    for tensor in (
        inputs,
        *(part.backbone.blocks[0][0].weight for part in (made.model, made.average)),
    ):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


# The loop


class Follows(nn.Module):
    """One weight; its gradient is always 1, so a step of a plain optimizer is the rate."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start]))


def followed(recipe: Recipe, steps: int, epochs: int) -> tuple[list[float], list[float]]:
    """The weight and its average after each step of so many epochs."""
    model, average = Follows(1.0), Follows(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=99.0)
    weights, averages, update = [], [], training.update_average

    def watched(mean: nn.Module, network: nn.Module, keep: float) -> None:
        update(mean, network, keep)
        weights.append(float(network.weight.detach()))
        averages.append(float(mean.weight.detach()))

    batches = Batches([torch.zeros(1)] * steps, lambda _: ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "update_average", watched)
        for epoch in range(epochs):
            loss_of = lambda network: network.weight.sum()  # noqa: E731
            training.train_epoch(model, average, optimizer, batches, loss_of, recipe, epoch)
    return weights, averages


def test_the_rate_follows_the_schedule_over_all_epochs():
    """Rates read off the steps: as torch's own one-cycle has them, across the epochs."""
    steps, epochs, rate = 5, 4, 0.1
    weights, _ = followed(Recipe(epochs=epochs, learning_rate=rate), steps, epochs)
    taken = [a - b for a, b in zip([1.0, *weights], weights, strict=False)]
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        reference, rate, total_steps=steps * epochs + 1, div_factor=25, final_div_factor=1e9,
        cycle_momentum=False,
    )  # fmt: skip
    wanted = []
    for _ in range(steps * epochs):
        wanted.append(reference.param_groups[0]["lr"])
        reference.step()
        schedule.step()
    # torch ends its warm-up a step earlier
    assert max(abs(a - b) for a, b in zip(taken, wanted, strict=True)) < 0.12 * rate
    assert max(taken) == pytest.approx(rate, rel=0.02)
    assert taken[0] == pytest.approx(0.04 * rate, rel=1e-3)
    assert taken.index(max(taken)) == 6  # three tenths of twenty steps
    assert taken[-1] < 0.06 * rate


def test_the_average_warms_up_and_is_then_capped():
    """By hand: it keeps 1/10, 2/11, 3/12, … of itself, and never more than the recipe's share."""
    weights, averages = followed(
        Recipe(epochs=2, learning_rate=0.1, schedule="constant", average=0.3), 3, 2
    )
    wanted, mean = [], 1.0
    for step, weight in enumerate(weights):
        keep = [1 / 10, 2 / 11, 3 / 12, 0.3, 0.3, 0.3][step]
        mean = keep * mean + (1 - keep) * weight
        wanted.append(mean)
    assert weights == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], abs=1e-5)
    assert averages == pytest.approx(wanted, abs=1e-5)


# Objectives: what is shown, and what is made of it


@pytest.fixture
def plain_colours() -> siamese.TripletDataset:
    """28 pictures of one grey each: a pixel tells which picture it comes from."""
    greys = torch.arange(28, dtype=torch.uint8) * 8 + 10
    images = greys[:, None, None, None].expand(28, 3, 32, 32).contiguous()
    return siamese.TripletDataset(images, torch.arange(28) % 7)


def greys_of(views: Tensor) -> tuple[Tensor, Tensor]:
    """Of views, what is in the middle and what is in the corner: grey levels, int64 [N]."""
    levels = ((views + 1) * 127.5).round().long()
    return levels[:, 0, 16, 16], levels[:, 0, 0, 0]


def of_chosen(data: siamese.TripletDataset, chosen: Tensor) -> Tensor:
    return data.images[chosen, 0, 0, 0].long()


@pytest.mark.parametrize(("swap", "least", "most"), [(0.0, 0, 0), (0.5, 10, 30), (1.0, 40, 40)])
def test_edges_are_swapped_in_the_share_of_batches_that_is_asked_for(
    plain_colours, swap, least, most
):
    chosen = torch.arange(27, 13, -1)
    own = of_chosen(plain_colours, chosen)
    swapped = 0
    for _ in range(40):
        views, labels = siamese.swapped_view(plain_colours, chosen, replace(METRIC, swap=swap))
        middle, corner = greys_of(views)
        assert torch.equal(labels, plain_colours.labels[chosen])
        assert torch.equal(middle, own)
        swapped += int((corner != own).all())
        assert (corner != own).all() or torch.equal(corner, own)
    assert least <= swapped <= most


def test_of_two_views_only_the_second_has_other_edges(plain_colours):
    chosen = torch.arange(27, 13, -1)
    own = of_chosen(plain_colours, chosen)
    recipe = replace(METRIC, objective="two-views", swap=1.0)
    views, labels, which = siamese.two_views(plain_colours, chosen, recipe)
    assert torch.equal(which, chosen)
    assert torch.equal(labels, plain_colours.labels[chosen])
    middle, corner = greys_of(views)
    assert torch.equal(middle, torch.cat([own, own]))
    assert torch.equal(corner[:14], own)
    assert (corner[14:] != own).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_who_sees_other_edges_where_all_are_swapped(plain_colours, objective):
    """In "looks" all pictures do, of "two-views" the second views, and elsewhere none."""
    chosen = torch.arange(27, 13, -1)
    recipe = replace(METRIC, objective=objective, swap=1.0)
    views = OBJECTIVES[objective].load(plain_colours, chosen, recipe)[0]
    middle, corner = greys_of(views if isinstance(views, Tensor) else torch.cat(views))
    of_views = (corner != middle).view(-1, 14).tolist()
    swapped = {"random": [False] * 3, "two-views": [False, True], "looks": [True]}
    assert of_views == [[each] * 14 for each in swapped.get(objective, [False])]


def test_views_of_a_triplet_are_of_its_three_pictures(plain_colours):
    chosen = torch.arange(27, 13, -1)
    (views,) = siamese.three_views(plain_colours, chosen, replace(METRIC, objective="random"))
    triplets = torch.tensor([plain_colours.indices(n) for n in chosen.tolist()]).T
    for part, column in zip(views, triplets, strict=True):
        assert torch.equal(greys_of(part)[0], of_chosen(plain_colours, column))


class FirstPixels(siamese.LookEncoder):
    """Its embedding is what stands in the picture's first row, so a test can choose it."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, 0]

    def parts(self, embeddings: Tensor) -> tuple[Tensor, ...]:
        return embeddings[:, :2], embeddings[:, :2], embeddings[:, 2:4], embeddings[:, 4:6]


def as_pictures(rows: Tensor) -> Tensor:
    return rows[:, None, None, :].expand(-1, 3, 1, -1)


def unit(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def test_two_view_triplets_by_hand():
    """Names from the first views; the negative is what looks most alike of the same class."""
    # of each view: the root of a probability of each of two names, colour, pattern. The last
    # picture is the first once more, as in a batch of a class that is smaller than its share
    first = [(0.9, 0), (0.8, 40), (0.7, 90), (0.9, 2)]
    second = [(0.2, 10), (0.3, 20), (0.4, 95), (0.1, 5)]
    chosen = torch.tensor([4, 7, 9, 4])
    rows = torch.tensor(
        [[p**0.5, (1 - p) ** 0.5, *unit(angle), *unit(0)] for p, angle in (*first, *second)]
    )
    recipe = replace(METRIC, objective="two-views", look_margin=0.3, look_weight=0.7)
    labels = torch.tensor([0, 0, 0, 0])
    (looks, weight), (names, whole) = siamese.two_view_triplets(
        FirstPixels(), recipe, as_pictures(rows), labels, chosen
    )
    assert (weight, whole) == (0.7, 1.0)
    assert names.tolist() == pytest.approx([-math.log(p) for p, _ in first], abs=1e-5)

    def away(a: float, b: float) -> float:
        """Two looks of length 1: half of each is the colour, half the pattern, which is equal."""
        return math.dist([x / 2**0.5 for x in unit(a)], [x / 2**0.5 for x in unit(b)])

    angles = [angle for _, angle in second]
    wanted = []
    for n, (_, anchor) in enumerate(first):
        others = [away(anchor, angles[m]) for m in range(4) if chosen[m] != chosen[n]]
        wanted.append(max(0.0, away(anchor, angles[n]) - min(others) + 0.3))
    assert looks.tolist() == pytest.approx(wanted, abs=1e-4)


def all_triplets(labels: list[int]) -> list[tuple[int, int, int]]:
    count = range(len(labels))
    return [
        (a, p, n) for a in count for p in count for n in count
        if a != p and labels[a] == labels[p] != labels[n]
    ]  # fmt: skip


@pytest.fixture
def points() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    embeddings = nn.functional.normalize(torch.randn(12, 3, generator=generator), dim=1)
    return embeddings, torch.arange(12) % 3


def apart(embeddings: Tensor, a: int, b: int) -> float:
    return float((embeddings[a] - embeddings[b]).norm())


def test_mined_triplets_are_those_that_break_the_recipes_margin(points):
    """Against all triplets there are; the losses of those alone are kept."""
    embeddings, labels = points
    for margin in (0.1, 0.6):
        recipe = replace(METRIC, margin=margin)
        ((losses, weight),) = siamese.mined_triplets(lambda x: x, recipe, embeddings, labels)
        costs = [
            apart(embeddings, a, p) - apart(embeddings, a, n) + margin
            for a, p, n in all_triplets(labels.tolist())
        ]
        wanted = sorted(cost for cost in costs if cost > 0)
        assert weight == 1.0
        assert sorted(losses.tolist()) == pytest.approx(wanted, abs=1e-3)


def test_semi_hard_negatives_are_farther_but_not_by_much(points):
    embeddings, labels = points
    found = set(zip(*(part.tolist() for part in siamese.mine_semi_hard(embeddings, labels)),
                    strict=True))  # fmt: skip
    wanted = {
        (a, p, n) for a, p, n in all_triplets(labels.tolist())
        if 0 < apart(embeddings, a, n) - apart(embeddings, a, p) <= 0.2
    }  # fmt: skip
    assert found == wanted != set()


def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negative(points):
    embeddings, labels = points
    triplets = all_triplets(labels.tolist())
    anchors, positives, negatives = siamese.mine_batch_hard(embeddings, labels)
    assert sorted(anchors.tolist()) == list(range(12))
    for a, p, n in zip(anchors.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        near = {x for b, _, x in triplets if b == a}
        far = {x for b, x, _ in triplets if b == a}
        assert p == max(far, key=lambda x, b=a: apart(embeddings, b, x))
        assert n == min(near, key=lambda x, b=a: apart(embeddings, b, x))


def test_random_triplets_use_the_recipes_margin():
    triplet = (torch.tensor([row]) for row in ([0.0, 0.0], [3.0, 0.0], [0.0, 5.0]))
    recipe = replace(METRIC, objective="random", margin=4.0)
    ((losses, weight),) = siamese.random_triplets(nn.Identity(), recipe, tuple(triplet))
    assert weight == 1.0
    assert losses.tolist() == pytest.approx([3 - 5 + 4], abs=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objectives_encoder_starts_from_a_copy_and_has_the_catalogs_names(objective):
    catalog = striped_catalog(8, 4)
    backwards = catalog.train.at(torch.arange(7, -1, -1))  # names come in no order of their own
    catalog = replace(catalog, train=backwards)
    start = build_classifier("article", 2)
    start.preparation = Preparation(72)
    encoder = encoder_for(objective, catalog, start)
    assert encoder.preparation == Preparation(72)
    assert same_weights(encoder.backbone, start.backbone)
    assert encoder.backbone is not start.backbone
    if objective in ("two-views", "looks"):
        assert encoder.categories == ("across", "down")
    if objective == "two-views":  # which learns no names, and must not say any
        assert (encoder.colours, encoder.patterns) == NAMELESS
    if objective == "looks":
        assert encoder.colours == ("not red", "red")
        assert encoder.patterns == ("across", "down")
    assert encoder_for(objective, catalog).backbone.plan == PLANS["fashion"]


def test_which_part_of_a_batch_of_looks_is_colour_and_which_pattern():
    """Named apart by their column: a picture's colour is never looked up among the patterns."""
    catalog = striped_catalog(28, 8)
    made = siamese_training(small_encoder("looks"), catalog, replace(METRIC, objective="looks"))
    given = made.batches(0)
    chosen = torch.tensor([9, 3, 20, 4, 27, 0])
    looks = given.load(chosen)[2]
    for column, (names, key) in enumerate(
        ((made.model.colours, "colour"), (made.model.patterns, "pattern"))
    ):
        said = [names[n] for n in looks[:, column].tolist()]
        assert said == [catalog.train.attributes[key][n] for n in chosen]


def test_a_split_smaller_than_a_batch_is_told_from_one_that_is_not(catalog):
    """Six full batches of 96 pictures; of 90 the last ten wait, since they fill no batch."""
    for count, sizes in ((96, [16] * 6), (90, [16] * 5), (9, [9])):
        few = replace(catalog, train=catalog.train.at(torch.arange(count)))
        order = classifier(few).batches(0).order
        assert [len(chosen) for chosen in order] == sizes


def test_the_augmentation_is_the_recipes(catalog):
    """By name and at the training size; a still one gives the pictures themselves."""
    asked = []

    def still(size: int):
        asked.append(size)
        return lambda picture: picture

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(AUGMENTATIONS, "still", still)
        classifier(catalog, replace(RECIPE, augmentation="still")).batches(0)
        siamese.view(catalog.train.images[:2], replace(METRIC, augmentation="still"))
    assert asked == [32, 32]


def test_kernels_and_norms_follow_the_schedule_alike():
    """The optimizer keeps them apart for their decay; both have the rate of the moment."""
    recipe = Recipe(learning_rate=0.5)
    optimizer = training.make_optimizer(build_classifier("article"), recipe)
    assert len(optimizer.param_groups) == 2
    for progress, share in ((0.0, 0.04), (0.3, 1.0), (1.0, 0.0)):
        training.set_learning_rate(optimizer, recipe, progress)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.5 * share] * 2, abs=1e-9)
