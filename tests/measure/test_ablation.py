"""The ablation's trials: each trains through the one loop, and differs only where it says so."""

import re
from dataclasses import replace

import ablation
import pytest
import torch
from ablation import TRIALS, recipe_of, training_of
from muon import Muon, make_muon
from tiny import same_weights, steps_watched, tiny_catalog, without_time
from torch import nn
from torchvision.ops import SqueezeExcitation

from fashionlib.blocks import InvertedResidual
from fashionlib.catalog import Catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import build_classifier
from fashionlib.pages.recorded_results import recorded
from fashionlib.training import Training, finish, seeded, train_classifier
from fashionlib.weights import load_classifier, shipped, weights_hash

SIZE = 32
FIRST = "as it is"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    for name in ("TRIPLETS_FIRST", "VIEWS_FIRST"):
        recipe = getattr(ablation, name)
        recipe = replace(recipe, epochs=1, size=SIZE, evaluation_size=SIZE, batch_size=28)
        monkeypatch.setattr(ablation, name, recipe)


def begun(catalog: Catalog, name: str) -> Training:
    trial = TRIALS[name]
    recipe = replace(trial.recipe, epochs=1, size=SIZE, evaluation_size=SIZE)
    trial = replace(trial, recipe=recipe, sizes=trial.sizes and (40, 48))
    torch.manual_seed(0)
    network = build_classifier("article")
    network = trial.change(network) if trial.change and "5×5" not in name else network
    return training_of(trial, network, catalog, 0)


CHANGE = {
    "classes equally often": {"pictures": ablation.balanced},
    "labels in doubt left out": {"pictures": ablation.without_doubted},
    "pictures on any of their sides": {"pictures": ablation.turned},
    "hard-swish": {"change": ablation.hard_swish},
    "squeeze-excite": {"change": ablation.squeeze_excite},
    "5×5 filters": {"change": ablation.wide_filters},
    "two blocks fewer": {"plan": ablation.TWO_FEWER},
    "a teacher": {"teacher": True},
    "of triplets first": {"first": ablation.triplets_first},
    "of two views first": {"first": ablation.views_first},
    "Muon": {"optimize": make_muon},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": True},
    "growing": {"sizes": ablation.GROWING},
}


def test_a_trial_changes_what_its_name_says_and_nothing_else():
    """Where it is no other recipe or network, which are recorded."""
    plain = vars(TRIALS[FIRST])
    for name, trial in TRIALS.items():
        said = {key: value for words, own in CHANGE.items() if words in name
                for key, value in own.items()}  # fmt: skip
        changed = {key: value for key, value in vars(trial).items() if value != plain[key]}
        free = {"recipe", "plan"} - set(said)
        assert {key: value for key, value in changed.items() if key not in free} == said, name
        for words, attribute in (
            (r"batches of (\d+)", "batch_size"),
            (r"(?<!to )\b(\d+) px", "size"),
        ):
            if found := re.search(words, name):
                assert getattr(trial.recipe, attribute) == int(found[1]), name


def test_pictures_grow_from_the_first_size_to_the_last_an_epoch_each():
    (name,) = (name for name in TRIALS if name.startswith("growing"))
    sizes = TRIALS[name].sizes
    assert [sizes[0], sizes[-1]] == list(map(int, re.findall(r"\d+", name)))
    assert list(sizes) == sorted(sizes)
    assert len(sizes) == TRIALS[name].recipe.epochs


# those that change how it is trained; the others are another recipe or plan
CHANGES = [
    name
    for name, trial in TRIALS.items()
    if name == FIRST
    or any((trial.mixup, trial.cutmix, trial.pictures, trial.sizes, trial.teacher, trial.first))
    or "Muon" in name
]
BEFORE = {"ten epochs of triplets first": 3, "ten epochs of two views first, without labels": 3}


@pytest.mark.parametrize("name", CHANGES)
def test_every_trial_goes_through_the_one_loop(catalog, name):
    with steps_watched() as steps:
        training = begun(catalog, name)
        finish(training)
    assert isinstance(training.optimizer, Muon) == ("Muon" in name)
    assert len(steps) >= 6 + BEFORE.get(name, 0)
    assert all(steps)


def test_the_first_trial_is_the_plain_training(catalog):
    recipe = replace(TRIALS[FIRST].recipe, epochs=1, size=SIZE, evaluation_size=SIZE)
    torch.manual_seed(0)
    plain, rows = train_classifier(build_classifier("article"), catalog, recipe, 0)
    average, history = finish(begun(catalog, FIRST))
    assert same_weights(plain, average)
    assert without_time(history) == without_time(rows)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_pictures_leave_the_catalog_alone(catalog, name):
    before = catalog.train.images.clone()
    training = begun(catalog, name)
    with seeded(0, 0):
        batches = list(training.batches(0))
    assert all(labels.shape == (16, 7) for _, labels in batches)
    assert torch.equal(catalog.train.images, before)
    assert training.about["changes"] == [name]


def test_pictures_grow_and_turn(catalog):
    growing = begun(catalog, "growing from 80 to 144 px")
    for epoch, size in enumerate((40, 48)):
        inputs, _ = next(iter(growing.batches(epoch)))
        assert inputs.shape == (16, 3, size, size)
    turned = ablation.turned(catalog.train)
    sides = [torch.rot90(catalog.train.images, turn, (2, 3)) for turn in range(4)]
    of = [[torch.equal(image, side[n]) for side in sides] for n, image in enumerate(turned.images)]
    assert all(any(row) for row in of)
    assert {row.index(True) for row in of} == {0, 1, 2, 3}


def blocks_of(network: nn.Module) -> list[InvertedResidual]:
    return [block for block in network.modules() if isinstance(block, InvertedResidual)]


def kinds_in(module: nn.Module, *kinds: type) -> list[type]:
    return [type(layer) for layer in module.modules() if isinstance(layer, kinds)]


def test_each_change_of_the_network_is_where_it_says():
    """And nowhere else."""
    changes = ablation.hard_swish, ablation.squeeze_excite, ablation.wide_filters
    swished, weighed, larger = (change(build_classifier(ablation.TWO_FEWER)) for change in changes)
    plain = build_classifier(ablation.TWO_FEWER)
    count = len(kinds_in(plain, nn.ReLU6))
    assert kinds_in(swished, nn.ReLU6, nn.Hardswish) == [nn.Hardswish] * count
    for block, own, other in zip(*map(blocks_of, (plain, weighed, larger)), strict=True):
        hidden = block.expand[0].out_channels
        assert isinstance(own.filter[-1], SqueezeExcitation)  # behind the filter's activation
        assert own.filter[-1].fc1.in_channels == hidden
        assert [len(part) for part in (own.expand, own.filter, own.project)] == [3, 4, 2]
        depthwise, before = other.filter[0], block.filter[0]
        assert depthwise.kernel_size == ((5, 5) if hidden == 384 else (3, 3))
        assert (depthwise.stride, depthwise.groups) == (before.stride, before.groups)


def test_the_networks_that_were_measured_are_those_of_the_script():
    """By their parameters and MACs: where another one is meant, run it again."""
    found = {run["trial"]: (run["parameters"], run["macs"]) for run in recorded("ablation")["runs"]}
    built = {}
    for name, trial in TRIALS.items():
        size = trial.recipe.evaluation_size
        if (key := (trial.plan, trial.change, size)) not in built:
            network = build_classifier(trial.plan)
            network = trial.change(network) if trial.change else network
            built[key] = count_parameters(network), count_macs(network, size)
        assert found[name] == built[key], name


def test_two_views_first_hand_on_the_average(catalog, monkeypatch):
    begun = []
    monkeypatch.setattr(ablation, "finish", begun.append)
    network = build_classifier("article")
    ablation.views_first(network, catalog, 0)
    assert network.backbone is begun[0].average.backbone
    order = torch.cat(list(begun[0].batches(0).order))
    assert sorted(order.tolist()) == list(range(len(catalog.train)))  # the last few of them too


def test_macs_are_those_of_an_evaluation(catalog, monkeypatch):
    recipe = replace(TRIALS[FIRST].recipe, size=SIZE, evaluation_size=2 * SIZE)
    monkeypatch.setitem(TRIALS, FIRST, replace(TRIALS[FIRST], recipe=recipe, plan="article"))
    monkeypatch.setattr(ablation, "finish", lambda training: (training.average, []))
    found = ablation.run(FIRST, 0, catalog)
    assert found["macs"] == count_macs(build_classifier("article"), 2 * SIZE)
    assert found["macs"] != count_macs(build_classifier("article"), SIZE)


def test_a_trial_is_judged_by_the_validation_pictures(catalog, monkeypatch):
    """What a chapter says: the test pictures are not looked at."""
    judged = []
    monkeypatch.setitem(TRIALS, FIRST, replace(TRIALS[FIRST], plan="article"))
    monkeypatch.setattr(ablation, "finish", lambda training: (training.average, []))
    monkeypatch.setattr(ablation, "right", lambda _, split: judged.append(split))
    ablation.run(FIRST, 0, catalog)
    assert [split is catalog.validation for split in judged] == [True]


def test_the_teacher_of_a_trial_is_the_shipped_classifier(catalog):
    changes = begun(catalog, "a teacher (the shipped classifier)").about["changes"]
    shipped_one, _ = load_classifier(shipped("classifier_photos"))
    assert changes == [f"1 teachers: {weights_hash(shipped_one)}"]


def test_what_is_recorded_of_a_recipe_names_mixup_where_it_is():
    assert recipe_of(TRIALS["mixup"])["mixup"] == 0.2
    assert "mixup" not in recipe_of(TRIALS[FIRST])
