"""What `fashionlib train-classifier` and `train-siamese` do, once their options are understood."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from fashionlib.blocks import PLANS
from fashionlib.catalog import load_catalog
from fashionlib.counting import count_parameters
from fashionlib.errors import STOPPED, printable, stopped
from fashionlib.files import check_place
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct, format_accuracy
from fashionlib.running import processes
from fashionlib.running.distance_limit import calibrated_limit
from fashionlib.running.runs import run_training
from fashionlib.settings import budget
from fashionlib.siamese import RECIPE, SiameseRecipe, encoder_for, siamese_training
from fashionlib.training import ARTICLE_RECIPE, Recipe, Training, classifier_training
from fashionlib.weights import load_classifier, save_classifier, save_encoder

OWN_CLASSIFIER = Path("runs/classifier.safetensors")


def train_classifier(
    epochs: int, data: str | None, plan: str, size: int | None, seed: int, out: Path
) -> None:
    """Train a classifier, print how good it is, save it. Interrupted, it goes on next time."""
    with processes.first_alone():
        catalog = load_catalog(data, few=budget(False, quick=True))
        print(*filter(None, (catalog.about, catalog.hint)), sep="\n")
    recipe = with_size(
        replace(Recipe() if plan == "fashion" else ARTICLE_RECIPE, epochs=epochs), size
    )
    torch.manual_seed(seed)
    model = build_classifier(PLANS[plan], len(catalog.classes))
    training = classifier_training(model, catalog, recipe, seed)

    def save(average: nn.Module) -> None:
        figures = {}
        for name, split in catalog.splits.items():
            if name != "train" and len(split):
                logits = predict(average, split.images)
                figures[name] = [count_correct(logits, split.labels), len(split)]
                print(f"{name:<10} {format_accuracy(*figures[name])}")
        more = {"catalog": catalog.name, "recipe": asdict(recipe), "seed": seed}
        save_classifier(out, average, catalog.classes, **more, correct=figures)

    train_and_save(training, out, save)


def train_encoder(
    epochs: int,
    data: str | None,
    start: Path | None,
    objective: str,
    size: int | None,
    seed: int,
    out: Path,
) -> None:
    """Train an encoder, print how well it retrieves, save it. Interrupted, it goes on next time."""
    torch.manual_seed(seed)
    with processes.first_alone():
        classifier = starting_classifier(start, out)
        catalog = load_catalog(data, few=budget(False, quick=True))
        print(*filter(None, (catalog.about, catalog.hint)), sep="\n")
    encoder = encoder_for(objective, catalog, classifier)
    ours = objective == RECIPE.objective
    recipe = replace(RECIPE if ours else SiameseRecipe(objective), epochs=epochs)
    recipe = with_size(recipe, size)
    training = siamese_training(encoder, catalog, recipe, seed)

    def save(average: nn.Module) -> None:
        figures = {name: training.history[-1][name] for name in ("precision@5", "mAP")}
        for name, value in figures.items():
            print(f"validation {name:<12} {value:.3f}")
        more = {"catalog": catalog.name, "recipe": asdict(recipe), "seed": seed}
        limit = calibrated_limit(average, catalog)
        save_encoder(out, average, **more, validation=figures, distance_limit=limit)

    train_and_save(training, out, save)


def with_size(recipe: Recipe | SiameseRecipe, size: int | None) -> Recipe | SiameseRecipe:
    """Train at `size` pixels, and evaluate as much larger as the recipe does."""
    if size is None:
        return recipe
    return replace(recipe, size=size, evaluation_size=size * recipe.evaluation_size // recipe.size)


def starting_classifier(start: Path | None, out: Path) -> nn.Sequential | None:
    """The trained classifier to start from, which `out` is not to replace; None for a new one."""
    if start is None and OWN_CLASSIFIER.is_file():
        start = OWN_CLASSIFIER
    if start is None:
        print("from scratch: there is no trained classifier to start from")
        return None
    check_place(out, start)
    classifier, _ = load_classifier(start)
    print(printable(f"starting from the backbone in {start}"))
    return classifier


def train_and_save(training: Training, out: Path, save: Callable[[nn.Module], None]) -> None:
    """Run a training with a checkpoint beside `out` until it is saved; Ctrl-C says how to go on."""
    print(f"{count_parameters(training.model):,} parameters, {training.recipe}")
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    try:
        average, history = run_training(training, checkpoint)
    except KeyboardInterrupt:
        if processes.rank() == 0:
            stopped(f"stopped; the same command goes on from {checkpoint}")
        sys.exit(STOPPED)
    if processes.rank() == 0:
        save(average)
        checkpoint.unlink(missing_ok=True)
        seconds = sum(row["seconds"] for row in history)
        print(printable(f"trained in {seconds:.0f} s, saved {out}"))
