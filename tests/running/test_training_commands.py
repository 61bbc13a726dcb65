"""What the training commands save and say, worked out here from what lies on the disk."""

import re
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import same_weights, save_garments
from torch import nn

from fashionlib import training as core
from fashionlib.__main__ import main
from fashionlib.blocks import PLANS
from fashionlib.catalog import Catalog, load_catalog
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import format_accuracy
from fashionlib.running import training_commands
from fashionlib.siamese import OBJECTIVES, RECIPE, SiameseRecipe, encoder_for
from fashionlib.training import ARTICLE_RECIPE, Recipe, Training
from fashionlib.transforms import Preparation
from fashionlib.weights import load_classifier, load_encoder, load_tensors, save_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clothes")
    save_garments(root, 140)
    return root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # where `runs` would go
    heeded = signal.getsignal(signal.SIGINT)  # until a command is stopped
    yield
    signal.signal(signal.SIGINT, heeded)


def fashionlib(*words: object) -> int:
    """The command in this process, since starting another takes seconds; its exit code."""
    with pytest.MonkeyPatch.context() as named:
        named.setattr(sys, "argv", ["fashionlib", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0


def begun(monkeypatch, *words: object) -> Training:
    """The training that a command would run."""
    asked = []

    def refuse(training: Training, checkpoint: Path) -> None:
        asked.append(training)
        raise KeyboardInterrupt

    monkeypatch.setattr(training_commands, "run_training", refuse)
    assert fashionlib(*words) == 130
    return asked[0]


# What is saved with any network
OF_EACH = "kind", "plan", "preprocessing", "catalog", "recipe", "seed"


class Always(nn.Module):
    """A classifier that has one answer; with what saving asks of a network."""

    def __init__(self, like: nn.Module, answer: int) -> None:
        super().__init__()
        self.like, self.answer = like, answer
        self.backbone, self.preparation = like.backbone, like.preparation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(torch.full((len(x),), self.answer), 3).float()

    def state_dict(self, *_: object, **__: object) -> dict:
        return self.like.state_dict()


def test_what_is_reported_is_the_network_that_is_saved(folder, monkeypatch, capsys):
    """A run returns a network that always says pants, where the last weights would say hat."""
    last, average = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 7.0])

    def run(training: Training, checkpoint: Path) -> tuple[nn.Module, list]:
        training.model.head.linear.bias.data = last
        training.average.head.linear.bias.data = average
        return Always(training.average, 1), [{"seconds": 1.0}]

    monkeypatch.setattr(training_commands, "run_training", run)
    assert fashionlib("train-classifier", "--data", folder, "--plan", "article", "--size", 32) == 0
    said = capsys.readouterr().out
    catalog = load_catalog(folder)
    assert catalog.classes[1] == "pants"
    model, metadata = load_classifier("runs/classifier.safetensors")
    assert torch.equal(model.head.linear.bias, average)
    for name in ("validation", "test"):
        labels = catalog.splits[name].labels
        right, of = int((labels == 1).sum()), len(labels)
        assert re.search(rf"^{name} +{100 * right / of:.1f}% \({right} of {of}, ", said, re.M)
        assert metadata["correct"][name] == [right, of]
    assert set(metadata["correct"]) == {"validation", "test"}


def test_a_classifier_is_saved_with_all_that_made_it(folder, capsys):
    """Sizes, seed, recipe, catalog and what it reaches; the article's recipe has no crop."""
    options = ["--data", folder, "--plan", "article", "--size", 42, "--epochs", 2, "--seed", 3]
    assert fashionlib("train-classifier", *options, "--out", "mine.safetensors") == 0
    model, metadata = load_classifier("mine.safetensors")
    assert model.preparation == Preparation(42)
    assert (metadata["recipe"]["size"], metadata["recipe"]["evaluation_size"]) == (42, 42)
    assert (metadata["seed"], metadata["recipe"]["epochs"]) == (3, 2)
    catalog = load_catalog(folder)
    assert metadata["catalog"] == str(folder) == catalog.name
    assert set(metadata) == {*OF_EACH, "classes", "correct"}
    for name, (right, of) in metadata["correct"].items():
        logits = predict(model, catalog.splits[name].images)
        assert right == int((logits.argmax(dim=1) == catalog.splits[name].labels).sum())
        assert of == len(logits)
    assert not Path("mine.checkpoint.safetensors").exists()


def test_an_encoder_is_saved_with_its_limit_and_figures(folder, capsys):
    """The limit is the least distance within which 95 of 100 validation pictures find one."""
    options = ["--data", folder, "--objective", "all", "--size", 42, "--epochs", 2, "--seed", 3]
    save_classifier("c.safetensors", build_classifier("article", 3), ("hat", "pants", "t-shirt"))
    assert fashionlib("train-siamese", *options, "--start", "c.safetensors") == 0
    encoder, metadata = load_encoder("runs/encoder.safetensors")
    catalog = load_catalog(folder)
    assert metadata["catalog"] == str(folder)
    assert set(metadata) == {*OF_EACH, "dimensions", "names", "distance_limit", "validation"}
    queries, known = (predict(encoder, s.images) for s in (catalog.validation, catalog.train))
    nearest = [min(float((query - row).norm()) for row in known) for query in queries]
    wanted = np.quantile(nearest, 0.95, method="higher")
    assert metadata["distance_limit"] == pytest.approx(wanted, abs=2e-4)
    assert encoder.preparation == Preparation(48)
    assert (metadata["seed"], metadata["recipe"]["size"]) == (3, 42)
    said = dict(re.findall(r"^validation (\S+) +([\d.]+)$", capsys.readouterr().out, re.M))
    assert {name: f"{value:.3f}" for name, value in metadata["validation"].items()} == said
    right = []
    for query, label in zip(queries, catalog.validation.labels, strict=True):
        order = sorted(range(len(known)), key=lambda n, q=query: float((known[n] - q).norm()))
        right.append(sum(bool(catalog.train.labels[n] == label) for n in order[:5]) / 5)
    assert float(said["precision@5"]) == pytest.approx(sum(right) / len(right), abs=6e-4)


def test_the_classifier_that_an_encoder_starts_from_stays(folder, capsys):
    """Also one's own, which nobody has named; by another name for the same file too."""
    own = Path("runs/classifier.safetensors")
    save_classifier(own, build_classifier("article", 3), ("hat", "pants", "t-shirt"))
    Path("link.safetensors").symlink_to(own)
    before = own.read_bytes()
    for words in (["--out", own], ["--out", own, "--start", own], ["--out", "link.safetensors"]):
        assert fashionlib("train-siamese", "--data", folder, "--epochs", 1, *words) == 2
        assert "is read for this: name another file to write" in capsys.readouterr().err
    assert own.read_bytes() == before


def test_the_classifier_that_is_asked_for_comes_before_ones_own(capsys):
    own, other = build_classifier("article", 3), build_classifier("article", 3)
    for path, model in (("runs/classifier.safetensors", own), ("c\x1b.safetensors", other)):
        save_classifier(path, model, ("hat", "pants", "t-shirt"))
    for asked, wanted in ((Path("c\x1b.safetensors"), other), (None, own)):
        start = training_commands.starting_classifier(asked, Path("e.safetensors"))
        assert same_weights(start, wanted)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        "c?.safetensors",
        "runs/classifier.safetensors",
    ]


@pytest.mark.parametrize(
    ("plan", "recipe"),
    [("fashion", Recipe()), ("article", ARTICLE_RECIPE), ("article-dense", ARTICLE_RECIPE)],
)
def test_a_classifiers_recipe_and_start_are_those_of_its_plan_and_seed(
    folder, monkeypatch, plan, recipe
):
    made = begun(monkeypatch, "train-classifier", "--data", folder, "--plan", plan, "--seed", 5,
                 "--epochs", 4)  # fmt: skip
    assert made.recipe == Recipe(**vars(recipe) | {"epochs": 4})
    assert made.seed == 5
    torch.manual_seed(5)
    start = build_classifier(PLANS[plan], 3).state_dict()
    assert all(torch.equal(start[name], t) for name, t in made.model.state_dict().items())


@pytest.mark.parametrize("objective", ["looks", "all"])
def test_an_encoders_recipe_and_start_are_those_of_its_objective_and_seed(
    folder, monkeypatch, objective
):
    made = begun(monkeypatch, "train-siamese", "--data", folder, "--objective", objective,
                 "--seed", 5, "--epochs", 4)  # fmt: skip
    plain = RECIPE if objective == "looks" else SiameseRecipe(objective)
    assert made.recipe == SiameseRecipe(**vars(plain) | {"epochs": 4})
    assert made.seed == 5
    torch.manual_seed(5)
    start = encoder_for(objective, load_catalog(folder)).state_dict()
    assert all(torch.equal(start[name], t) for name, t in made.model.state_dict().items())
    assert objective in OBJECTIVES


def test_a_size_of_ones_own_moves_both_sizes(folder, monkeypatch):
    command = ["train-classifier", "--data", folder]
    usual, small = (begun(monkeypatch, *command, *more).recipe for more in ((), ("--size", 56)))
    assert (usual.size, usual.evaluation_size) == (112, 128)
    assert (small.size, small.evaluation_size) == (56, 64)


@pytest.mark.parametrize(
    "command",
    [["train-classifier", "--plan", "article"], ["train-siamese", "--objective", "semi-hard"]],
    ids=["classifier", "encoder"],
)
def test_ctrl_c_and_the_same_command_again_end_as_one_that_was_never_stopped(
    folder, monkeypatch, capsys, command
):
    """In the middle of the second epoch; then every byte of what is saved is compared."""
    save_classifier("runs/classifier.safetensors", build_classifier("article", 3),
                    ("hat", "pants", "t-shirt"))  # fmt: skip
    words = [*command, "--data", folder, "--size", 32, "--epochs", 3, "--out"]
    assert fashionlib(*words, "whole.safetensors") == 0
    follow = core.set_learning_rate

    def interrupted(*arguments: object, **more: object) -> None:
        if checkpoint.exists():
            raise KeyboardInterrupt
        follow(*arguments, **more)

    checkpoint = Path("c\x1but.checkpoint.safetensors")  # what a terminal would obey
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "set_learning_rate", interrupted)
        assert fashionlib(*words, "c\x1but.safetensors") == 130
    said = capsys.readouterr().err
    assert "the same command goes on from c?ut.checkpoint.safetensors" in said
    assert not Path("c\x1but.safetensors").exists()
    assert len(load_tensors(checkpoint)[1]["history"]) == 1
    assert fashionlib(*words, "c\x1but.safetensors") == 0
    assert Path("c\x1but.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert not checkpoint.exists()


def test_the_checkpoint_stays_where_the_weights_cannot_be_saved(folder, monkeypatch, capsys):
    def run(training: Training, checkpoint: Path) -> tuple[nn.Module, list]:
        checkpoint.touch()
        return training.average, []

    def full(*_: object, **__: object) -> None:
        raise FashionError("no space left.")

    monkeypatch.setattr(training_commands, "run_training", run)
    monkeypatch.setattr(training_commands, "save_classifier", full)
    words = ["--data", folder, "--plan", "article", "--size", 32, "--out", "c.safetensors"]
    assert fashionlib("train-classifier", *words) == 2
    assert Path("c.checkpoint.safetensors").exists()


ROWS = [
    {"seconds": 30.0, "precision@5": 0.5, "mAP": 0.5},
    {"seconds": 12.0, "precision@5": 0.25, "mAP": 0.125},
]
SAID = {
    "train-classifier": (
        ["--plan", "article"],
        [],
        ["validation {validation}", "test       {test}"],
    ),
    "train-siamese": (
        ["--objective", "all"],
        ["from scratch: there is no trained classifier to start from"],
        ["validation precision@5  0.250", "validation mAP          0.125"],
    ),
}


@pytest.mark.parametrize("reason", ["as asked", "since there are no photos: there is no network"])
@pytest.mark.parametrize("command", SAID)
def test_all_that_a_training_says(folder, monkeypatch, capsys, command, reason):
    """Line by line: the last epoch's figures, the seconds of all of them, and no empty line."""
    catalog, made = replace(load_catalog(folder), reason=reason), []

    def run(training: Training, _: Path) -> tuple[nn.Module, list]:
        made.append(training)
        training.history[:] = ROWS
        return training.average, ROWS

    monkeypatch.setattr(training_commands, "load_catalog", lambda *_, **__: catalog)
    monkeypatch.setattr(training_commands, "run_training", run)
    options, before, after = SAID[command]
    assert fashionlib(command, *options, "--size", 32, "--out", "c\x1b.safetensors") == 0
    (training,) = made
    shares = {}
    if command == "train-classifier":
        for name in ("validation", "test"):
            split = catalog.splits[name]
            right = predict(training.average, split.images).argmax(dim=1) == split.labels
            shares[name] = format_accuracy(int(right.sum()), len(split))
    count = sum(parameter.numel() for parameter in training.model.parameters())
    assert capsys.readouterr().out.splitlines() == [
        *before,
        catalog.about,
        *(["there is no network"] if "network" in reason else []),
        f"{count:,} parameters, {training.recipe}",
        *(line.format(**shares) for line in after),
        "trained in 42 s, saved c?.safetensors",
    ]


@pytest.mark.parametrize(("budget", "few"), [("full", False), ("quick", True)])
def test_a_training_takes_all_pictures_unless_the_budget_is_quick(folder, monkeypatch, budget, few):
    asked = []

    def loaded(data: str, few: bool) -> Catalog:
        asked.append(few)
        return load_catalog(data)

    monkeypatch.setenv("FASHIONLIB_BUDGET", budget)
    monkeypatch.setattr(training_commands, "load_catalog", loaded)
    for command in ("train-classifier", "train-siamese"):
        begun(monkeypatch, command, "--data", folder)
    assert asked == [few, few]


def test_a_folder_with_nothing_to_test_with_is_trained_and_saved_all_the_same(
    folder, monkeypatch, capsys
):
    """Of two pictures of a class one is to train with, and one to validate."""
    for name in ("hat", "pants"):
        Path("few", name).mkdir(parents=True)
        for path in sorted((folder / name).iterdir())[:2]:
            shutil.copy(path, Path("few", name))
    rows = [{"seconds": 1.0}]
    monkeypatch.setattr(training_commands, "run_training", lambda made, _: (made.average, rows))
    assert fashionlib("train-classifier", "--data", "few", "--plan", "article", "--size", 32) == 0
    assert set(load_classifier("runs/classifier.safetensors")[1]["correct"]) == {"validation"}
    assert not re.search("^test ", capsys.readouterr().out, re.M)
