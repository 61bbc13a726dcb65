"""The command line: `fashionlib train-classifier --epochs 10` and its neighbours.

Here are options and their help. What does the work is imported when it is needed: torch takes
seconds, and a mistyped option should not.
"""

import sys
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from fashionlib.errors import STOPPED, FashionError, printable, stopped
from fashionlib.files import check_place

app = typer.Typer(
    help="Smart Fashion Search from the shell.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# those of fashionlib.blocks and fashionlib.siamese, kept equal by a test
PlanName = StrEnum("PlanName", ["article", "article-dense", "fashion"])
ObjectiveName = StrEnum(
    "ObjectiveName", ["random", "semi-hard", "batch-hard", "all", "two-views", "looks"]
)


@app.command()
def download() -> None:
    """Download the photo catalog (106 MB, CC0), verify every picture, and say where it is."""
    from fashionlib.catalog.photos import verified_photos

    tell(f"photos are in {verified_photos()}")


Epochs = Annotated[int, typer.Option(min=1, max=10**6, help="Times each picture is shown.")]
Data = Annotated[
    str | None,
    typer.Option(help="photos, drawn, or a folder of class folders; default: photos, else drawn."),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="Encoder file; default: runs/encoder.safetensors, else the shipped one."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31, help="Same seed, same result.")]
Size = Annotated[
    int | None,
    typer.Option(min=32, max=1024, help="Training picture side, pixels; else the recipe's."),
]
Out = Annotated[Path, typer.Option(help="Where the weights go (.safetensors).")]


@app.command("train-classifier")
def train_classifier_command(
    epochs: Epochs = 10,
    data: Data = None,
    plan: Annotated[PlanName, typer.Option(help="Network plan.")] = PlanName["fashion"],
    size: Size = None,
    seed: Seed = 0,
    out: Out = Path("runs/classifier.safetensors"),
) -> None:
    """Train a classifier, report validation and test accuracy, save safetensors.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    check_out(out)
    from fashionlib.running import processes, training_commands

    with processes.joined():
        training_commands.train_classifier(epochs, data, plan.value, size, seed, out)


@app.command("train-siamese")
def train_siamese_command(
    epochs: Epochs = 15,
    data: Data = None,
    start: Annotated[
        Path | None,
        typer.Option(help="A trained classifier; else runs/classifier.safetensors if it is there."),
    ] = None,
    objective: Annotated[
        ObjectiveName, typer.Option(help="How it learns: by names (looks), else by triplets.")
    ] = ObjectiveName["looks"],
    size: Size = None,
    seed: Seed = 0,
    out: Out = Path("runs/encoder.safetensors"),
) -> None:
    """Train an encoder for search, report how well it retrieves, save safetensors.

    It starts with the backbone of a trained classifier where there is one, and from scratch
    elsewhere. An interrupted run goes on when the same command is given again.
    """
    check_out(out)
    from fashionlib.running import processes, training_commands

    with processes.joined():
        training_commands.train_encoder(epochs, data, start, objective.value, size, seed, out)


def tell(line: str) -> None:
    """Print a line that may have names in it."""
    print(printable(line))


def check_out(out: Path) -> None:
    """Weights are safetensors files, named so, in a place that can be written."""
    if out.suffix != ".safetensors":
        raise FashionError(f"--out {out}: weights are saved as .safetensors, so end it in that.")
    check_place(out)


@app.command()
def search(
    query: Annotated[Path, typer.Option(help="The picture to search with.")],
    top_k: Annotated[int, typer.Option(min=1, help="How many results.")] = 5,
    catalog: Annotated[
        str | None,
        typer.Option(help="photos, drawn, or a folder of pictures; default: photos, else drawn."),
    ] = None,
    weights: Weights = None,
    look: Annotated[
        Path | None, typer.Option(help="A second picture: take colour and pattern from this one.")
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
    from fashionlib.running.search_command import run_search

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
    from fashionlib.running.search_command import find_weights, skipped_lines
    from fashionlib.running.shards import CONTENTS, embed_folder

    check_place(out / CONTENTS)
    weights, about_weights = find_weights(weights, "photos")
    tell(about_weights)
    try:
        embedded = embed_folder(catalog, out, weights, processes)
    except KeyboardInterrupt:
        stopped("stopped; the same command goes on")
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
    from fashionlib.export import export_onnx

    export_onnx(weights, out)
    tell(f"saved {out}, {out.stat().st_size / 1e6:.1f} MB")


def check_given(words: list[str]) -> None:
    """No word is empty, as an unset variable makes it: as a path it would be the current folder."""
    for before, word in pairwise(words):
        option, _, value = word.partition("=") if word.startswith("--") else (before, "", word)
        if not value and word != option:
            raise FashionError(f"{option} is empty: give it a value. Is a variable not set?")


def main() -> None:
    """Run the command line; a person's mistake is one line and exit code 2."""
    try:
        check_given(sys.argv)
        if (code := app(standalone_mode=False)) == STOPPED:  # which typer returns in silence
            raise KeyboardInterrupt
    except FashionError as error:
        print(f"fashionlib: {error}", file=sys.stderr)
        code = 2
    except Exception as error:
        # typer's own complaints (an unknown option, a value out of range) know their text
        if hasattr(error, "format_message"):
            line = printable(error.format_message())
        elif isinstance(error, MemoryError) or "allocate" in str(error):  # so says PyTorch
            line = "too little memory: close other programs, or train with a smaller --size."
        else:
            raise
        print(f"fashionlib: {line}", file=sys.stderr)
        code = 2
    sys.exit(code)
