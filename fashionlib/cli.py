"""The command line: `fashionlib train-classifier --epochs 10` and its neighbours."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from fashionlib.blocks import PLANS
from fashionlib.catalog import load_catalog
from fashionlib.catalog.photos import verified_photos
from fashionlib.counting import count_parameters
from fashionlib.errors import FashionError, printable
from fashionlib.export import export_onnx
from fashionlib.files import check_place
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct, format_accuracy
from fashionlib.running import processes
from fashionlib.running.distance_limit import calibrated_limit
from fashionlib.running.runs import run_training
from fashionlib.running.search_command import find_weights, run_search, skipped_lines
from fashionlib.running.shards import CONTENTS, embed_folder
from fashionlib.settings import budget
from fashionlib.siamese import (
    OBJECTIVES,
    RECIPE,
    SiameseRecipe,
    encoder_for,
    siamese_training,
)
from fashionlib.training import ARTICLE_RECIPE, Recipe, Training, classifier_training
from fashionlib.weights import load_classifier, save_classifier, save_encoder

app = typer.Typer(
    help="Smart Fashion Search from the shell.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

PlanName = StrEnum("PlanName", list(PLANS))
ObjectiveName = StrEnum("ObjectiveName", list(OBJECTIVES))
OWN_CLASSIFIER = Path("runs/classifier.safetensors")


@app.command()
def download() -> None:
    """Download the photo catalog (106 MB, CC0), verify every picture, and say where it is."""
    tell(f"photos are in {verified_photos()}")


Epochs = Annotated[int, typer.Option(min=1, help="Times each picture is shown.")]
Data = Annotated[
    str | None,
    typer.Option(help="photos, drawn, or a folder of class folders; else what is there."),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="An encoder; else runs/encoder.safetensors, else the shipped one."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31, help="Same seed, same result.")]
Size = Annotated[int, typer.Option(min=32, max=1024, help="Training picture side, pixels.")]
Out = Annotated[Path, typer.Option(help="Where the weights go (.safetensors).")]


@app.command("train-classifier")
def train_classifier_command(
    epochs: Epochs = 10,
    data: Data = None,
    plan: Annotated[PlanName, typer.Option(help="Network plan.")] = PlanName["fashion"],
    size: Size = Recipe.size,
    seed: Seed = 0,
    out: Out = OWN_CLASSIFIER,
) -> None:
    """Train a classifier, report validation and test accuracy, save safetensors.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    check_out(out)
    with processes.first_alone():
        catalog = load_catalog(data, few=budget(False, quick=True))
        print(catalog.about)
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


@app.command("train-siamese")
def train_siamese_command(
    epochs: Epochs = 15,
    data: Data = None,
    start: Annotated[
        Path | None,
        typer.Option(help="A trained classifier; else runs/classifier.safetensors if it is there."),
    ] = None,
    objective: Annotated[
        ObjectiveName, typer.Option(help="How triplets are found.")
    ] = ObjectiveName["looks"],
    size: Size = SiameseRecipe.size,
    seed: Seed = 0,
    out: Out = Path("runs/encoder.safetensors"),
) -> None:
    """Train an encoder with triplets, report how well it retrieves, save safetensors.

    It starts with the backbone of a trained classifier where there is one, and from scratch
    elsewhere. An interrupted run goes on when the same command is given again.
    """
    check_out(out)
    torch.manual_seed(seed)
    with processes.first_alone():
        classifier = starting_classifier(start)
        catalog = load_catalog(data, few=budget(False, quick=True))
        print(catalog.about)
    encoder = encoder_for(objective.value, catalog, classifier)
    ours = objective.value == RECIPE.objective
    recipe = replace(RECIPE if ours else SiameseRecipe(objective.value), epochs=epochs)
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


def tell(line: str) -> None:
    """Print a line that may have names in it."""
    print(printable(line))


def check_out(out: Path) -> None:
    """Weights are safetensors files, named so, in a place that can be written."""
    if out.suffix != ".safetensors":
        raise FashionError(f"--out {out}: weights are saved as .safetensors, so end it in that.")
    check_place(out)


def with_size(recipe: Recipe | SiameseRecipe, size: int) -> Recipe | SiameseRecipe:
    """Train at `size` pixels, and evaluate an eighth larger, as the recipes do."""
    if size == recipe.size:
        return recipe
    return replace(recipe, size=size, evaluation_size=size * 8 // 7)


def starting_classifier(start: Path | None) -> nn.Sequential | None:
    """The trained classifier whose backbone an encoder starts from; None for a new one."""
    if start is None and OWN_CLASSIFIER.is_file():
        start = OWN_CLASSIFIER
    if start is None:
        print("from scratch: there is no trained classifier to start from")
        return None
    classifier, _ = load_classifier(start)
    tell(f"starting from the backbone in {start}")
    return classifier


def train_and_save(training: Training, out: Path, save: Callable[[nn.Module], None]) -> None:
    """Run a training with a checkpoint beside `out` until it is saved; Ctrl-C says how to go on."""
    print(f"{count_parameters(training.model):,} parameters, {training.recipe}")
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    try:
        average, history = run_training(training, checkpoint)
    except KeyboardInterrupt:
        if processes.rank() == 0:
            line = printable(f"stopped; the same command goes on from {checkpoint}")
            print(f"\n{line}", file=sys.stderr)
        raise typer.Exit(130) from None
    if processes.rank() == 0:
        save(average)
        checkpoint.unlink(missing_ok=True)
        seconds = sum(row["seconds"] for row in history)
        tell(f"trained in {seconds:.0f} s, saved {out}")


@app.command()
def search(
    query: Annotated[Path, typer.Option(help="The picture to search with.")],
    top_k: Annotated[int, typer.Option(min=1, help="How many results.")] = 5,
    catalog: Annotated[
        str | None,
        typer.Option(help="A folder of pictures, photos, or drawn; else what is there."),
    ] = None,
    weights: Weights = None,
    look: Annotated[
        Path | None, typer.Option(help="A picture: its colour and pattern, not the query's.")
    ] = None,
    look_weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="0: only what it is; 1: only how it looks.")
    ] = None,
    colour: Annotated[str | None, typer.Option(help="Only results of this colour.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Only results with this pattern.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the results in a window.")] = False,
    out: Annotated[Path | None, typer.Option(help="Save the results as this .png.")] = None,
) -> None:
    """Find the catalog's pictures that are nearest to a picture.

    The catalog is embedded the first time, and again only what has changed.
    """
    looks = look, look_weight, colour, pattern
    run_search(query, top_k, catalog, weights, *looks, as_json, show, out)


@app.command("embed")
def embed_command(
    catalog: Annotated[Path, typer.Option(help="A folder of pictures, at any depth.")],
    out: Annotated[Path, typer.Option(help="Folder for the embeddings (.safetensors).")],
    processes: Annotated[int, typer.Option(min=1, help="Pictures are shared among these.")] = 1,
    weights: Weights = None,
) -> None:
    """Embed a folder of any size into files, with several processes.

    An interrupted run goes on when the same command is given again.
    """
    check_place(out / CONTENTS)
    weights, about_weights = find_weights(weights, "photos")
    tell(about_weights)
    try:
        embedded = embed_folder(catalog, out, weights, processes)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    line = f"{embedded.pictures:,} pictures in {embedded.shards:,} shards in {out}, "
    tell(f"{line}{embedded.fresh:,} of them embedded now")
    for line in skipped_lines(embedded.skipped):
        tell(line)


@app.command()
def export(
    weights: Annotated[Path, typer.Option(help="A classifier or an encoder (.safetensors).")],
    out: Annotated[Path, typer.Option(help="Where it goes (.onnx).")],
) -> None:
    """Write a trained network as ONNX, for programs without PyTorch; pictures go in as bytes."""
    export_onnx(weights, out)
    tell(f"saved {out}, {out.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Run the command line; a person's mistake is one line and exit code 2."""
    try:
        with processes.joined():
            code = app(standalone_mode=False)
    except FashionError as error:
        print(f"fashionlib: {error}", file=sys.stderr)
        code = 2
    except Exception as error:
        # typer's own complaints (an unknown option, a value out of range) know their text
        if not hasattr(error, "format_message"):
            raise
        print(f"fashionlib: {printable(error.format_message())}", file=sys.stderr)
        code = 2
    sys.exit(code)
