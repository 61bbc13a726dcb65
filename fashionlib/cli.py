"""The command line: `fashionlib train-classifier --epochs 10` and its neighbours."""

import sys
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer

from fashionlib.backbone import PLANS
from fashionlib.catalog import load_catalog
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct, format_accuracy
from fashionlib.photos import ensure_photos
from fashionlib.search_command import run_search
from fashionlib.training import ARTICLE_RECIPE, Recipe, train_classifier
from fashionlib.weights import save_classifier

app = typer.Typer(
    help="Smart Fashion Search from the shell.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

PlanName = StrEnum("PlanName", list(PLANS))


@app.callback()
def about() -> None:
    """Smart Fashion Search from the shell."""


@app.command()
def download() -> None:
    """Download the photo catalog (106 MB, CC0), verify every picture, and say where it is."""
    print(f"photos are in {ensure_photos()}")


@app.command("train-classifier")
def train_classifier_command(
    epochs: Annotated[int, typer.Option(min=1, help="Times each picture is shown.")] = 10,
    data: Annotated[
        str | None,
        typer.Option(help="photos, drawn, or a folder of class folders; else what is there."),
    ] = None,
    plan: Annotated[PlanName, typer.Option(help="Network plan.")] = PlanName["fashion"],
    size: Annotated[int, typer.Option(min=32, help="Training picture side, pixels.")] = Recipe.size,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same result.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = Path(
        "runs/classifier.safetensors"
    ),
) -> None:
    """Train a classifier, report validation and test accuracy, save safetensors.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    if out.suffix != ".safetensors":
        raise FashionError(f"--out {out}: weights are saved as .safetensors, so end it in that.")
    catalog = load_catalog(data)
    recipe = Recipe() if plan == "fashion" else ARTICLE_RECIPE
    recipe = replace(recipe, epochs=epochs)
    if size != Recipe.size:
        recipe = replace(recipe, size=size, evaluation_size=size * 8 // 7)
    torch.manual_seed(seed)
    model = build_classifier(PLANS[plan], len(catalog.classes))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {recipe}")
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    try:
        average, history = train_classifier(model, catalog, recipe, seed, checkpoint)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {checkpoint}", file=sys.stderr)
        raise typer.Exit(130) from None
    figures = {}
    for name in ("validation", "test"):
        split = getattr(catalog, name)
        if len(split.labels):
            logits = predict(average, split.images, recipe.evaluation_size)
            figures[name] = [count_correct(logits, split.labels), len(split.labels)]
            print(f"{name:<10} {format_accuracy(*figures[name])}")
    save_classifier(
        out,
        average,
        PLANS[plan],
        catalog.classes,
        recipe.evaluation_size,
        catalog=catalog.name,
        recipe=asdict(recipe),
        seed=seed,
        correct=figures,
    )
    checkpoint.unlink(missing_ok=True)
    seconds = sum(row["seconds"] for row in history)
    print(f"trained in {seconds:.0f} s, saved {out}")


@app.command()
def search(
    query: Annotated[Path, typer.Option(help="The picture to search with.")],
    top_k: Annotated[int, typer.Option(min=1, help="How many results.")] = 5,
    catalog: Annotated[
        str | None,
        typer.Option(help="A folder of pictures, photos, or drawn; else what is there."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="An encoder; else runs/encoder.safetensors, else the shipped one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the results in a window.")] = False,
    out: Annotated[Path | None, typer.Option(help="Save the results as this .png.")] = None,
) -> None:
    """Find the catalog's pictures that are nearest to a picture.

    The catalog is embedded the first time, and again only what has changed.
    """
    run_search(query, top_k, catalog, weights, as_json, show, out)


def main() -> None:
    """Run the command line; a person's mistake is one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except FashionError as error:
        print(f"fashionlib: {error}", file=sys.stderr)
        code = 2
    except Exception as error:
        # typer's own complaints (an unknown option, a value out of range) know their text
        if not hasattr(error, "format_message"):
            raise
        print(f"fashionlib: {error.format_message()}", file=sys.stderr)
        code = 2
    sys.exit(code)
