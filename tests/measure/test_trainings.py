"""What each script trains, and what of it is recorded; each training ends here when it begins."""

import itertools
import json
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import ablation
import article
import as_printed
import doubted_labels
import latency
import look_ablation
import looks
import pipeline
import pytest
import rivals
import shipped_weights
import small_networks
import stores
import ten_classes
import torch
import transfer
from tiny import same_weights, sized, striped_catalog
from torch import nn
from written import as_ours

from fashionlib import siamese, training
from fashionlib.catalog import Split
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.inference import predict
from fashionlib.pages.recorded_results import recorded
from fashionlib.running import runs
from fashionlib.siamese import SiameseRecipe, encoder_for, encoder_from
from fashionlib.training import ARTICLE_RECIPE, Recipe, Training
from fashionlib.weights import load_classifier, load_encoder, save_classifier, shipped

SCRIPTS = (ablation, article, as_printed, doubted_labels, latency, look_ablation, looks, pipeline,
           rivals, shipped_weights, small_networks, stores, ten_classes, transfer)  # fmt: skip


def of_unknown_look(split: Split) -> Split:
    """The split, but nobody has labelled how its first picture looks."""
    looks = {look: ("", *names[1:]) for look, names in split.attributes.items()}
    return replace(split, attributes=looks)


STRIPES = striped_catalog(16, 4, "photos")  # and ten pictures to test with
# What is counted is told apart by its number: of looks, one less of each
CATALOG = replace(
    STRIPES,
    validation=of_unknown_look(STRIPES.validation),
    test=of_unknown_look(STRIPES.test),
)
SEED = 8
SMALL = {"small": partial(build_classifier, "article", 2)}  # a rival that is built at once

MIRRORED = "plain", "with mirror image"

Build = Callable[[], nn.Module]
AnyRecipe = Recipe | SiameseRecipe


class Begun(NamedTuple):
    """A training as a script begins it."""

    model: nn.Module
    recipe: AnyRecipe
    seed: int
    changes: list[str]  # of its batches


def history(recipe: AnyRecipe) -> list[dict[str, float]]:
    """Of each epoch other figures, and each another one, of more digits than are recorded."""
    figures = "loss", "active", "precision@5", "mAP", "validation_accuracy", "seconds"
    return [
        {"epoch": epoch} | {name: epoch / 300 + n for n, name in enumerate(figures)}
        for epoch in range(1, recipe.epochs + 1)
    ]


SECONDS = 42.0  # of the processor, that each training takes


@pytest.fixture
def begun(monkeypatch, tmp_path) -> list[Begun]:
    """The trainings that a script begins. They end at once, and the network is as it was.

    By the clock of the processor, which alone a script may ask, nothing else takes any time.
    """
    found = []
    clock = SimpleNamespace(process_time=lambda: 1000 + SECONDS * len(found))

    def train(
        model: nn.Module, _: object, recipe: AnyRecipe, seed: int = 0, changes: list[str] = ()
    ) -> tuple:
        found.append(Begun(model, recipe, seed, changes))
        return sized(model.eval(), 32), history(recipe)

    def finish(made: Training, *_: object) -> tuple:
        changes = [change.partition(":")[0] for change in made.about.get("changes", [])]
        return train(made.model, None, made.recipe, made.seed, changes)

    for original, other in (
        (training.train_classifier, train),
        (siamese.train_siamese, train),
        (training.finish, finish),
        (runs.run_training, finish),
        (ablation.right, lambda _, split: dict.fromkeys(MIRRORED, len(split))),
    ):
        for script in SCRIPTS:
            if getattr(script, original.__name__, None) is original:
                monkeypatch.setattr(script, original.__name__, other)
    for script in (ablation, small_networks, ten_classes):
        monkeypatch.setattr(script, "time", clock)
    monkeypatch.setattr(rivals, "TRAINED", tuple(SMALL))
    monkeypatch.setattr(rivals, "NETWORKS", SMALL)
    monkeypatch.setattr(looks, "predict", lambda _, images: images.float().mean(dim=(2, 3)))
    monkeypatch.setattr(shipped_weights, "SHIPPED", tmp_path)
    monkeypatch.chdir(tmp_path)  # where `runs` would go
    torch.manual_seed(99)  # nobody's
    return found


@pytest.fixture
def files(monkeypatch) -> dict[str, dict[str, Any]]:
    """What scripts write and read again instead of `pages/results`, by name."""
    found: dict[str, dict[str, Any]] = {}

    def write(name: str, results: dict[str, Any]) -> None:
        found[name] = as_ours(name, results)

    def measured(name: str, kind: str) -> list:
        return json.loads(json.dumps(found.get(name, {}).get(kind, [])))

    others = {
        "write_results": write,
        "measured": measured,
        "load_catalog": lambda name, **_: replace(CATALOG, name=name),
    }
    for script in SCRIPTS:
        for name, other in others.items():
            if hasattr(script, name):
                monkeypatch.setattr(script, name, other)
    monkeypatch.setattr(look_ablation, "AUGMENTATIONS", {})  # it adds one
    return found


# The network with its first weights, the recipe and the seed of each training


def classifier(plan: object) -> Build:
    return partial(build_classifier, plan, 2)


def encoder(objective: str, start: nn.Module | None = None) -> Build:
    return partial(encoder_for, objective, CATALOG, start)


def on_a_new_classifier() -> nn.Module:
    return encoder_from(build_classifier("fashion", 2))


def shipped_classifier() -> nn.Module:
    return load_classifier(shipped("classifier_photos"))[0]


OWN_CLASSIFIER = Path("classifier_photos.safetensors")  # where `begun` has the shipped ones


def of_a_shipped_encoder() -> None:
    model = sized(build_classifier("fashion", 2), 32)
    save_classifier(OWN_CLASSIFIER, model, CATALOG.classes)
    shipped_weights.encoder(CATALOG)


def from_the_classifier_beside_it() -> nn.Module:
    return encoder_for("looks", CATALOG, load_classifier(OWN_CLASSIFIER)[0])


def of_the_article(done: list[Begun]) -> list[tuple[Build, AnyRecipe, int]]:
    """Three classifiers; then encoders on the first, of length 1 where their name says so."""
    found = [(classifier(plan), recipe, SEED) for plan, recipe in article.CLASSIFIERS.items()]
    for name, (recipe, _) in article.TRIPLETS.items():
        start = encoder_from if name.endswith("length 1") else article.plain_encoder
        found.append((partial(start, done[0].model), recipe, SEED))
    return found


def of_a_transfer(done: list[Begun]) -> list[tuple[Build, AnyRecipe, int]]:
    twice = replace(transfer.ENCODER, epochs=30)
    return [
        (classifier("fashion"), transfer.CLASSIFIER, SEED),
        (encoder("all", done[0].model), transfer.ENCODER, SEED),
        (encoder("all"), transfer.ENCODER, SEED),
        (encoder("all"), twice, SEED),
    ]


def of_the_letter(done: list[Begun]) -> list[tuple[Build, AnyRecipe, int]]:
    own = OrderedDict(backbone=done[0].model.backbone)
    return [
        (partial(as_printed.build, as_printed.Network(), 2), ARTICLE_RECIPE, SEED),
        (lambda: nn.Sequential(own), as_printed.TRIPLETS, SEED),
    ]


TWO_VIEWS = look_ablation.TRIALS["two views instead of names"]
CASES: dict[str, tuple[Callable[[], object], Callable[[list[Begun]], list]]] = {
    "ablation": (
        lambda: ablation.run("two blocks fewer", SEED, CATALOG),
        lambda _: [(classifier(ablation.TWO_FEWER), ablation.BASE, SEED)],
    ),
    "ablation by another recipe": (
        lambda: ablation.run("the article's network, its recipe", SEED, CATALOG),
        lambda _: [(classifier("article"), ARTICLE_RECIPE, SEED)],
    ),
    "ablation after triplets": (
        lambda: ablation.run("ten epochs of triplets first", SEED, CATALOG),
        lambda _: [
            (on_a_new_classifier, ablation.TRIPLETS_FIRST, SEED),
            (classifier("fashion"), ablation.BASE, SEED),
        ],
    ),
    "ablation after views": (
        lambda: ablation.run("ten epochs of two views first, without labels", SEED, CATALOG),
        lambda _: [
            (on_a_new_classifier, ablation.VIEWS_FIRST, SEED),
            (classifier("fashion"), ablation.BASE, SEED),
        ],
    ),
    "article": (lambda: article.run_seed(CATALOG, SEED), of_the_article),
    "control of the article": (
        lambda: article.first_loss(CATALOG),
        lambda _: [(classifier("article"), replace(ARTICLE_RECIPE, epochs=1), 0)],
    ),
    "as_printed": (lambda: as_printed.run("to the letter", SEED, CATALOG), of_the_letter),
    "doubted_labels": (
        lambda: doubted_labels.judged_by_others(CATALOG, doubted_labels.RECIPE),
        lambda _: [(classifier("fashion"), Recipe(), 0)] * 5,
    ),
    "look_ablation": (
        lambda: look_ablation.run(TWO_VIEWS, SEED, CATALOG),
        lambda _: [(encoder("two-views", shipped_classifier()), TWO_VIEWS, SEED)],
    ),
    "looks": (
        lambda: looks.rows_of(CATALOG),
        lambda _: [
            (encoder("batch-hard", shipped_classifier()), looks.RECIPES["batch-hard triplets"], 0),
            (encoder("two-views", shipped_classifier()), looks.RECIPES["two views"], 0),
        ],
    ),
    "rivals": (rivals.main, lambda _: [(SMALL["small"], Recipe(), seed) for seed in (0, 1, 2)]),
    "shipped classifier of photos": (
        lambda: shipped_weights.learn_photos(CATALOG, Path("kept")),
        lambda _: [
            (classifier("fashion"), shipped_weights.MILD_RECIPE, 0),
            (classifier("fashion"), small_networks.RECIPE, 0),
            (classifier("fashion"), shipped_weights.CLASSIFIER_RECIPES["photos"], 0),
        ],
    ),
    "shipped classifier of drawings": (
        lambda: shipped_weights.learn_drawn(CATALOG, Path("kept")),
        lambda _: [(classifier("fashion"), shipped_weights.CLASSIFIER_RECIPES["drawn"], 0)],
    ),
    "shipped encoder": (
        of_a_shipped_encoder,
        lambda _: [(from_the_classifier_beside_it, shipped_weights.ENCODER_RECIPES["photos"], 0)],
    ),
    "small_networks": (
        small_networks.main,
        lambda _: [
            (classifier(plan), small_networks.RECIPE, seed)
            for seed in (0, 1, 2)
            for plan in small_networks.PLANS.values()
        ],
    ),
    "ten_classes": (
        lambda: ten_classes.run_seed(CATALOG, SEED),
        lambda _: [(classifier("fashion"), small_networks.RECIPE, SEED)],
    ),
    "transfer": (lambda: transfer.run_seed(CATALOG, SEED), of_a_transfer),
}


# What the last training of a script is taught besides the labels
CHANGES = {
    "shipped classifier of photos": ["mixup", "2 teachers"],
    "shipped classifier of drawings": ["mixup"],
}


@pytest.mark.parametrize("name", CASES)
def test_a_script_trains_what_it_says_from_the_weights_of_its_seed(name, begun, files):
    run, trainings = CASES[name]
    run()
    wanted = trainings(begun)
    assert [one[1:3] for one in begun] == [one[1:] for one in wanted]
    assert list(begun[-1].changes) == CHANGES.get(name, [])
    assert not any(one.changes for one in begun[:-1])
    for (model, *_), (build, _, seed) in zip(begun, wanted, strict=True):
        torch.manual_seed(seed)
        assert same_weights(model, build())


# What is recorded of a training

ROWS = {
    "ablation": lambda _: [ablation.run("96 px", SEED, CATALOG)],
    "article": lambda _: list(article.run_seed(CATALOG, SEED)["classifiers"].values()),
    "as_printed": lambda _: [as_printed.run("to the letter", SEED, CATALOG)],
    "rivals": lambda files: rivals.main() or files["rivals"]["runs"],
    "small_networks": lambda files: small_networks.main() or files["small"]["runs"],
    "ten_classes": lambda _: [ten_classes.run_seed(CATALOG, SEED)],
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_recorded_is_of_the_network_that_was_trained(name, begun, files):
    """MACs are those of an evaluation; what is counted, is counted on the pictures of its name."""
    rows = ROWS[name](files)
    assert rows
    for row, (model, recipe, seed, _) in zip(rows, begun, strict=False):
        assert row["parameters"] == count_parameters(model)
        assert row.get("seed", seed) == seed
        rest = {"macs": count_macs(model, recipe.evaluation_size), "history": history(recipe)}
        rest["processor seconds"] = SECONDS
        for key, figure in (("losses", "loss"), ("validation accuracy", "validation_accuracy")):
            rest[key] = [round(epoch[figure], 4) for epoch in history(recipe)]
        for key in rest.keys() & row.keys():
            assert row[key] == rest[key], key
        for split, right in counted(row["right"]).items():
            assert right[-1] == {"validation": 4, "test": 10}[split]


def counted(right: Any) -> dict[str, list[int]]:
    """By split: of those who count but one, the validation pictures. Stubs call all right."""
    if isinstance(right, int):
        return {}
    if set(right) == set(MIRRORED):
        return {"validation": list(right.values())}
    return {name: list(n.values() if isinstance(n, dict) else n) for name, n in right.items()}


def form(found: Any) -> Any:
    """What a result says, without the figures: keys with their numbers left out, and kinds."""
    if isinstance(found, dict):
        return {re.sub(r"\d+", "n", key): form(value) for key, value in found.items()}
    if isinstance(found, list):
        forms = list(map(form, found))
        return [one for n, one in enumerate(forms) if one not in forms[:n]]
    return type(found) if isinstance(found, str | None) else float


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_as_much_as_ours(name, begun, files):
    """As the last one that was recorded of its name: some are older than what they should say."""
    ours = recorded({"small_networks": "small"}.get(name, name))["runs"]
    ours = list(ours[-1]["classifiers"].values()) if name == "article" else ours
    for row in ROWS[name](files):
        of_its_name = [run for run in ours if run.get("network") == row.get("network")]
        found, wanted = form(row), form((of_its_name or ours)[-1])
        if name == "ten_classes":
            assert set(found.pop("test right")) == set(CATALOG.classes)
            del wanted["test right"]
        for each in (found, wanted):  # its rows are the loop's
            each.pop("history", None)
        assert found == wanted


def test_a_class_has_the_pictures_that_the_network_names_right(begun):
    """Of an untrained one, which calls them all alike; the two classes are among the seven."""
    row = ten_classes.run_seed(CATALOG, SEED)
    for split in ("validation", "test"):
        pictures = CATALOG.splits[split]
        right = predict(begun[0].model, pictures.images).argmax(dim=1) == pictures.labels
        assert 0 < int(right.sum()) < len(right)
        assert row["seven of ten"][split] == [int(right.sum()), len(right)]
    by_class = (int(right[pictures.labels == n].sum()) for n in range(2))
    assert row["test right"] == dict(zip(CATALOG.classes, by_class, strict=True))


def test_each_seed_of_the_ten_classes_is_kept(begun):
    """By its name, under which the shipped classifier's teacher is looked for."""
    for seed in (0, 1):
        ten_classes.run_seed(CATALOG, seed)
    for (model, *_), seed in zip(begun, (0, 1), strict=True):
        kept, metadata = load_classifier(Path("runs") / f"ten_classes_{seed}.safetensors")
        assert same_weights(kept, model)
        assert metadata["classes"] == list(CATALOG.classes)


def named(run: dict[str, Any]) -> tuple[str, int]:
    return run.get("trial", run.get("network", "")), run["seed"]


def some(trials: dict) -> dict:
    return dict(list(trials.items())[:3])


# The script of a results file, what stands for its work, and what it runs with each seed
MAINS: dict[str, tuple[ModuleType, dict[str, Any], list[str]]] = {
    "ablation": (
        ablation,
        {
            "TRIALS": some(ablation.TRIALS),
            "run": lambda name, seed, _: {
                "trial": name, "seed": seed, "right": 0, "processor seconds": 0,
            },
        },
        list(some(ablation.TRIALS)),
    ),
    "article": (article, {"run_seed": lambda _, seed: {"seed": seed}}, [""]),
    "as_printed": (
        as_printed,
        {"run": lambda name, seed, _: {"network": name, "seed": seed, "right": 0}},
        list(as_printed.NETWORKS),
    ),
    "look_ablation": (
        look_ablation,
        {"run": lambda *_: {"category": 0.5}},
        list(look_ablation.TRIALS),
    ),
    "rivals": (rivals, {}, ["small"]),
    "small": (small_networks, {}, list(small_networks.PLANS)),
    "ten_classes": (
        ten_classes,
        {
            "run_seed": lambda _, seed: {
                "seed": seed, "right": 0, "seven of ten": 0, "processor seconds": 0,
            }
        },
        [""],
    ),
    "transfer": (transfer, {"run_seed": lambda *_: {}}, [""]),
}  # fmt: skip
RECIPES = {"recipe", "recipes", "classifier", "encoder"}
COUNTS = {
    "pictures": 16,
    "validation": 4,
    "queries": 3,
    "of": {"train": 16, "validation": 4, "test": 10},
    "classes": dict(zip(ten_classes.TEN, (5, 5, *[0] * 8), strict=True)),
}
IN_ORDER = ("ablation", "look_ablation", "ten_classes")  # whatever was run first


@pytest.mark.parametrize("name", MAINS)
def test_what_is_missing_is_run_and_what_is_there_stays(name, begun, files, monkeypatch):
    """And the file says as much as ours."""
    script, stubs, kinds = MAINS[name]
    for attribute, other in stubs.items():
        monkeypatch.setattr(script, attribute, other)
    monkeypatch.setattr(sys, "argv", [name])
    script.main()
    ours = recorded(name)
    loss = history(ARTICLE_RECIPE)[0]["loss"]
    controls = {f"{given}, 16 pictures": loss for given in ("photos", "drawn")}
    assert files[name].get("controls") == (controls if "controls" in ours else None)
    for key in RECIPES & set(ours):
        assert files[name][key] == {part: ours[key][part] for part in files[name][key]}
    for key in COUNTS.keys() & set(ours):
        assert files[name][key] == COUNTS[key]
    first = files[name]["runs"]
    order = list(map(named, first))
    assert sorted(order) == sorted((kind, seed) for kind in kinds for seed in (0, 1, 2))
    lost = first.pop(1)
    for run in first:
        run["kept"] = True
    for _ in range(2):  # the second time nothing is missing
        script.main()
        again = files[name]["runs"]
        assert [named(run) for run in again if "kept" not in run] == [named(lost)]
        assert sorted(map(named, again)) == sorted(order)
    assert name not in IN_ORDER or list(map(named, again)) == order


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_script_keeps_to_the_seeds_that_are_given(name, files, monkeypatch):
    script, stubs, kinds = MAINS[name]
    for attribute, other in stubs.items():
        monkeypatch.setattr(script, attribute, other)
    monkeypatch.setattr(sys, "argv", [name, "5", "2"])
    script.main()
    ran = sorted(map(named, files[name]["runs"]))
    assert ran == sorted((kind, seed) for kind in kinds for seed in (5, 2))


def test_the_pipeline_measures_each_with_one_process_and_with_two(files, monkeypatch):
    """And says how busy the machine was in the last minute before."""
    monkeypatch.setattr(pipeline.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(pipeline.os, "getloadavg", lambda: (1.26, 5.0, 9.0))
    for kind in ("embedding", "training"):
        monkeypatch.setattr(pipeline, kind, lambda processes, kind=kind: [kind, processes])
    pipeline.main()
    for kind in ("embedding", "training"):
        assert files["pipeline"][kind] == [[kind, 1], [kind, 2]]
    assert [files["pipeline"][key] for key in ("cores", "load_before")] == [6, 1.3]


def test_a_training_of_the_pipeline_shares_the_cores_among_its_processes(monkeypatch):
    asked = []

    def run(command: list[str], env: dict[str, str], check: bool, **_: object) -> SimpleNamespace:
        assert check  # a training that fails is no result
        asked.append((command, env["OMP_NUM_THREADS"]))
        return SimpleNamespace(stdout="test 9\ntrained in 42 s, saved classifier.safetensors\n")

    correct = {"validation": [7, 9], "test": [8, 9]}
    monkeypatch.setattr(pipeline, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(pipeline.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(pipeline, "load_classifier", lambda _: (None, {"correct": correct}))
    for processes, threads in ((1, "8"), (2, "4"), (16, "1")):
        about = {"processes": processes, "epochs": pipeline.EPOCHS, "size": pipeline.SIZE}
        assert pipeline.training(processes) == about | {"correct": correct, "seconds": 42}
        command, shared = asked.pop()
        assert shared == threads
        assert f"--nproc-per-node={processes}" in command
        for option, value in (("data", "drawn"), ("epochs", "6"), ("size", "64")):
            assert command[command.index(f"--{option}") + 1] == value


def test_looks_are_measured_on_both_catalogs_and_strangers_on_photos(files, monkeypatch):
    for part in ("rows_of", "two_pictures"):
        monkeypatch.setattr(looks, part, lambda catalog, part=part: [part, catalog])
    monkeypatch.setattr(looks, "load_catalog", lambda name: name)
    monkeypatch.setattr(looks, "unseen", lambda: "of photos")
    looks.main()
    found = files["looks"]
    assert found["photos"].pop("unseen") == "of photos"
    for name in ("photos", "drawn"):
        parts = {"rows": ["rows_of", name], "two pictures": ["two_pictures", name]}
        assert found[name] == parts


def test_times_are_recorded_beside_what_each_network_has(files, monkeypatch):
    monkeypatch.setattr(latency, "NETWORKS", SMALL)
    monkeypatch.setattr(latency, "measure", lambda size: [{"size": size}])
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    latency.main()
    assert threads == [1]
    assert files["latency"]["rows"] == [{"size": size} for size in latency.SIZES]
    network = SMALL["small"]()
    assert files["latency"]["networks"]["small"] == {
        "parameters": count_parameters(network),
        "macs": {str(size): count_macs(network, size) for size in (64, 128, 224)},
    }


def test_each_network_is_timed_in_both_ways_and_in_both_batches(monkeypatch):
    monkeypatch.setattr(latency, "NETWORKS", SMALL)
    monkeypatch.setattr(latency, "ROUNDS", {1: 2, 64: 1})
    monkeypatch.setattr(latency, "onnxruntime_session", lambda _, size, __: size)
    monkeypatch.setattr(latency, "eager", lambda _, batch, size: 1000 * batch + size)
    monkeypatch.setattr(latency, "given", lambda session, batch, size: session + size / batch)
    times = lambda runs, rounds: ({key: [ms] * rounds for key, ms in runs.items()}, {})  # noqa: E731
    monkeypatch.setattr(latency, "take_turns", times)
    rows = [tuple(row.values()) for row in latency.measure(32)]
    assert rows == [
        ("small", "eager", 32, 1, [1032, 1032]),
        ("small", "onnxruntime", 32, 1, [64, 64]),
        ("small", "eager", 32, 64, [64_032]),
        ("small", "onnxruntime", 32, 64, [32.5]),
    ]


def test_a_card_counts_what_one_picture_takes_at_its_size():
    model = sized(build_classifier("article", 2), 48)
    about = shipped_weights.about(model, CATALOG, {"epochs": 1}, {"mAP": "0.5"})
    assert about == {
        "catalog": "photos",
        "recipe": {"epochs": 1},
        "seed": 0,
        "figures": {"mAP": "0.5"},
        "parameters": count_parameters(model),
        "macs": count_macs(model, 48),
    }


@pytest.mark.parametrize("kind", ["classifier", "encoder"])
def test_a_shipped_network_says_all_that_made_it(kind, begun, monkeypatch):
    """As ours do; each figure is of the pictures that its name says: 4 or 10 of them."""
    network, own = sized(build_classifier("fashion", 2), 32), {"teacher": "0"}
    monkeypatch.setattr(shipped_weights, "accuracy_of", lambda _, split: str(len(split)))
    found_of = lambda *asked: {"found": str(len(asked[-1]))}  # noqa: E731
    monkeypatch.setattr(shipped_weights, "retrieval_figures", found_of)
    monkeypatch.setattr(shipped_weights, "learn_photos", lambda *_: (network, own.copy()))
    if kind == "encoder":
        save_classifier(OWN_CLASSIFIER, network, CATALOG.classes)
        found, ours = shipped_weights.encoder(CATALOG), load_encoder(shipped("encoder_photos"))
        figures = {"validation found": "4", "test found": "10"}
        recipe = asdict(shipped_weights.ENCODER_RECIPES["photos"])
    else:
        found = shipped_weights.classifier(CATALOG)
        ours = load_classifier(shipped("classifier_photos"))
        figures = own | {"validation accuracy": "4", "test accuracy": "10"}
        recipe = asdict(shipped_weights.CLASSIFIER_RECIPES["photos"]) | {"mixup": 0.2}
    assert set(found) == set(ours[1]) - {"machine", "milliseconds"}  # which a card once gave
    assert (found["figures"], found["recipe"]) == (figures, recipe)
    assert (found["catalog"], found["seed"]) == ("photos", 0)


@pytest.mark.parametrize("name", ["photos", "drawn"])
def test_each_row_of_looks_is_of_the_test_pictures_whose_looks_are_known(
    name, begun, files, monkeypatch
):
    """Nine test pictures among the sixteen to train with, and the networks of that catalog."""
    asked, embed = [], looks.predict
    predict = lambda model, images: asked.append((model, len(images))) or embed(model, images)  # noqa: E731
    monkeypatch.setattr(looks, "predict", predict)
    rows = looks.rows_of(replace(CATALOG, name=name))
    ours = recorded("looks")[name]["rows"]
    assert list(rows) == list(ours)
    assert rows.pop(looks.BEFORE) == ours[looks.BEFORE]
    for kind, row in rows.items():
        assert {measure: len(right) for measure, right in row.items()} == dict.fromkeys(
            ("category", "colour", "pattern", "alike", "patterned"), 9
        ), kind
    assert set(rows["best possible"]["category"]) == {looks.K}
    chance, best = (sum(rows[kind]["alike"]) for kind in ("chance in the class", "best possible"))
    assert 0 < chance < best
    assert [count for _, count in asked] == [9, 16] * 5
    networks = [model for model, _ in asked[::2]]
    assert networks == [model for model, _ in asked[1::2]]
    features, untrained, *trained, encoder = networks
    assert trained == [one.model for one in begun]
    torch.manual_seed(0)
    assert same_weights(untrained, build_encoder("fashion"))
    classifier, _ = load_classifier(shipped(f"classifier_{name}"))
    assert same_weights(features.backbone, classifier.backbone)
    assert same_weights(encoder, load_encoder(shipped(f"encoder_{name}"))[0])


@pytest.mark.parametrize(("count", "is_there"), [(4, True), (5, True), (6, False)])
def test_milvus_is_measured_up_to_its_largest_size(count, is_there, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "MOST_MILVUS", 5)
    row = {"index": "another", "build_seconds": 0}
    for name in ("build_inverted", "build_graph"):
        monkeypatch.setattr(stores, name, lambda *_: [row])
    monkeypatch.setattr(stores, "build_store", lambda _, uri: row | {"index": Path(uri).suffix})
    kinds = [row["index"] for row in stores.build_all(torch.eye(6)[:count], tmp_path)]
    assert (".db" in kinds) == is_there


def test_each_index_is_asked_with_the_pictures_of_each_split(monkeypatch):
    """On a line from 0 to 59: one finds the nearest, the other what is nearest to 0, as asked.

    The one that is slow is asked by 20 of a split at most. 20 of the 25 test pictures have ten
    neighbours on both sides: the fifth on the right is the tenth of all.
    """
    line = torch.arange(60.0)[:, None]
    own = {"train": line, "validation": torch.tensor([[0.2], [35.2]]), "test": line[35:] + 0.2}
    asked, closed, timed = {"exact": 0, "HNSW": 0}, [], []

    def exact(query: torch.Tensor) -> list[int]:
        asked["exact"] += 1
        return (line[:, 0] - query.flatten()).abs().argsort()[: stores.K].tolist()

    def graph(_: torch.Tensor) -> list[int]:
        asked["HNSW"] += 1
        return list(range(stores.K))

    slow = {"index": "exact", "search": exact, "close": lambda: closed.append("exact")}
    monkeypatch.setattr(stores, "enlarge", lambda photos, count, seed: photos[:count])
    rows = [slow, {"index": "HNSW", "search": graph}]
    build = lambda vectors, _: rows * torch.equal(vectors, line)  # noqa: E731
    monkeypatch.setattr(stores, "build_all", build)
    monkeypatch.setattr(stores, "measure_times", lambda _, queries: timed.append(queries))
    found = stores.measure(own, 60)
    assert asked == {"exact": 2 + 20, "HNSW": 2 + 25}
    assert json.loads(json.dumps(found["rows"])) == [
        {"index": "exact", "recall": {"validation": 1, "test": 1}},
        {"index": "HNSW", "recall": {"validation": 0.5, "test": 0}},
    ]
    assert torch.equal(timed[0], own["test"])
    assert closed == ["exact"]
    assert found["vectors"] == 60
    assert found["nearest_and_tenth"] == pytest.approx([0.2, 4.8], abs=1e-3)


def test_every_index_that_was_measured_is_built_and_finds_what_it_holds(tmp_path, monkeypatch):
    """But for Milvus and product quantisation, which take long to begin. In 32 dimensions.

    Each is built in a second of the processor, by a clock that goes on by one when it is asked.
    """
    inverted, seconds = stores.build_inverted, itertools.count()
    monkeypatch.setattr(stores, "time", SimpleNamespace(process_time=lambda: next(seconds)))

    def build_inverted(vectors: Any, code: str) -> list[dict]:
        slow = {"index": f"IVF, {code}", "build_seconds": 0}
        return inverted(vectors, code) if code == "Flat" else [slow] * len(stores.PROBES)

    monkeypatch.setattr(stores, "build_inverted", build_inverted)
    monkeypatch.setattr(stores, "MOST_MILVUS", 0)
    vectors = nn.functional.normalize(torch.randn(600, 32), dim=1)
    rows = stores.build_all(vectors, tmp_path)
    ours = [row["index"] for row in recorded("stores")["sizes"][0]["rows"]]
    assert [row["index"] for row in rows] == [name for name in ours if ".db" not in name]
    rows = [row for row in rows if "PQ" not in row["index"]]
    nearest = torch.cdist(vectors[:5], vectors).argsort(dim=1)[:, : stores.K]
    found = {}
    for row in rows:
        name = row["index"], row.get("setting", "")
        found[name] = stores.recall(row["search"], vectors[:5], nearest)
        assert row["build_seconds"] == 1
        row.pop("close", lambda: None)()
    for name in ("exact", "flat", "store .safetensors, flat", "store .faiss, flat"):
        assert found[name, ""] == 1
    assert found["HNSW", "256"] > 0.9
    assert found["IVF, Flat", "1"] < 0.5
    assert found["IVF, Flat", "64"] > 0.8
    sizes = {row["index"]: row["bytes"] for row in rows}
    assert sizes["exact"] == 4 * 32 <= sizes["flat"] < 4 * 32 + 1
    for name, file in {
        "store .safetensors, flat": "exact.safetensors",
        "store .faiss, flat": "flat.faiss",
        "store .faiss, hnsw": "graph.faiss",
    }.items():
        assert sizes[name] == (tmp_path / file).stat().st_size / 600
    assert {row["cells"] for row in rows if "cells" in row} == {98}  # four times the root of 600


def test_the_sizes_of_a_catalog_that_are_missing_are_measured(files, monkeypatch):
    """Photos on a line, two apart, and a query between the first two of them."""
    embeddings = {"train": torch.arange(0, 24, 2.0)[:, None], "test": torch.tensor([[0.5]])}
    monkeypatch.setattr(stores, "photo_embeddings", lambda: (embeddings, "its hash"))
    monkeypatch.setattr(stores, "measure", lambda _, count: {"vectors": count})
    threads = []
    for library, name in ((torch, "set_num_threads"), (stores.faiss, "omp_set_num_threads")):
        monkeypatch.setattr(library, name, threads.append)
    files["stores"] = {"sizes": [{"vectors": 10_000, "kept": True}]}
    stores.main()
    assert threads == [1, 1]
    found = files["stores"]
    assert found["sizes"][0].pop("kept")
    assert [size["vectors"] for size in found["sizes"]] == [10_000, 100_000, 1_000_000]
    assert (found["encoder"], found["dimensions"]) == ("its hash", 1)
    assert found["nearest_of_the_photos"] == pytest.approx(2, abs=1e-3)
    assert found["nearest_and_tenth_of_the_photos"] == pytest.approx([0.5, 17.5], abs=1e-3)
