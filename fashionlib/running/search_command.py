"""What `fashionlib search` does: choose pictures and weights, search, and show what was found."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from fashionlib.catalog import FEW, MANY, load_catalog
from fashionlib.catalog.pictures import read_picture, to_square
from fashionlib.errors import FashionError
from fashionlib.files import replacing
from fashionlib.running.folder_index import (
    Refreshed,
    Source,
    category_of,
    folder_source,
    refreshed_index,
    training_source,
)
from fashionlib.search import SIDE, Found, describe, embed_picture
from fashionlib.settings import budget
from fashionlib.weights import load_encoder, shipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN_WEIGHTS = Path("runs/encoder.safetensors")
MOST_NAMED = 10  # broken pictures that are named one by one


def run_search(
    query: Path,
    k: int,
    catalog: str | None,
    weights: Path | None,
    as_json: bool,
    show: bool,
    out: Path | None,
) -> None:
    """Print the k pictures nearest to a picture file, and draw them where that is asked for.

    The result goes to standard output, everything else to standard error.

    Args:
        query: the picture.
        k: how many results.
        catalog: "photos", "drawn" or a folder of pictures; None for the photos where they are,
            else the drawn garments.
        weights: an encoder; None for `runs/encoder.safetensors` where it is, else the shipped one.
        as_json: print JSON instead of a table.
        show: open a window with a strip of the results.
        out: save the strip as this PNG.

    Raises:
        FashionError: any of these cannot be used.
    """
    _check_drawing(show, out)
    picture = read_picture(query, SIDE)
    source, about_source = _find_source(catalog)
    weights, about_weights = find_weights(weights, source.name)
    encoder, metadata = load_encoder(weights)
    refreshed = refreshed_index(source, encoder)
    results = refreshed.index.search(embed_picture(encoder, picture), k)
    category = _query_category(query, source)
    found = describe(results, category_of, category)
    notes = [about_weights, *about_source, *_describe_refresh(source, refreshed)]
    limit = metadata.get("distance_limit", math.inf)  # of weights that were never calibrated
    if found[0].distance > limit:
        notes.append(
            f"Nothing is near: {found[0].distance:.3f}, where clothes like the training pictures "
            f"find something within {limit:.3f}. Is it a garment?"
        )
    if show or out is not None:
        strip = _draw(picture, found, source)
    if out is not None:
        _save(strip, out)
        notes.append(f"Saved {out}.")
    print(*map(printable, notes), sep="\n", file=sys.stderr)
    if as_json:
        _print_json(query, category, source, weights, found, refreshed.skipped)
    else:
        _print_table(found, source)
    if show:
        from matplotlib import pyplot  # noqa: PLC0415 - see `_check_drawing`

        pyplot.show()


# Which pictures, which weights


def _find_source(catalog: str | None) -> tuple[Source, list[str]]:
    """The pictures to search in, and lines about them."""
    if catalog not in (None, "photos", "drawn"):
        return folder_source(Path(catalog)), []
    loaded = load_catalog(catalog, drawn=budget(MANY, quick=FEW))
    return training_source(loaded), loaded.about.splitlines()


def find_weights(weights: Path | None, catalog: str) -> tuple[Path, str]:
    """The encoder's file for a catalog ("drawn" or another), and a line: which it is, and why."""
    if weights is not None:
        return weights, f"Weights {weights}: as asked."
    if OWN_WEIGHTS.exists():
        return OWN_WEIGHTS, f"Weights {OWN_WEIGHTS}: trained here."
    path = shipped("encoder_drawn" if catalog == "drawn" else "encoder_photos")
    return path, f"Weights {path.stem}: shipped with the library, as there is no {OWN_WEIGHTS}."


def _query_category(query: Path, source: Source) -> str | None:
    """The folder the query lies in, where the catalog has a category of that name."""
    folder = query.resolve().parent.name
    known = {category_of(name) for name in source.stamps} - {""}
    return folder if folder in known else None


# What was found


def _describe_refresh(source: Source, refreshed: Refreshed) -> list[str]:
    line = f"Index of {source.name}: {len(refreshed.index):,} pictures"
    if refreshed.embedded:
        line += f", {refreshed.embedded:,} of them embedded now"
    if refreshed.removed:
        line += f", {refreshed.removed:,} removed"
    lines = [f"{line}.", *(f"Skipped: {reason}" for reason in refreshed.skipped[:MOST_NAMED])]
    if len(refreshed.skipped) > MOST_NAMED:
        lines.append(f"Skipped: {len(refreshed.skipped) - MOST_NAMED:,} more.")
    return lines


def _file_of(found: Found, source: Source) -> str | None:
    """Where the picture is; None where it is drawn."""
    return None if source.root is None else str(source.root / found.id)


def _print_table(found: Sequence[Found], source: Source) -> None:
    """Aligned columns; the category only where there are any."""
    cells = [("rank", "distance", "category", "file")]
    cells += [
        (f"{rank}", f"{f.distance:.3f}", f.category, _file_of(f, source) or f.id)
        for rank, f in enumerate(found, start=1)
    ]
    width = max(len(row[2]) for row in cells) + 2 if any(f.category for f in found) else 0
    for rank, distance, category, file in cells:
        column = category.ljust(width) if width else ""
        print(f"{rank:>4}  {distance:>8}  {printable(column + file)}")


def printable(text: str) -> str:
    """A file may be called anything: also what a terminal cannot write, or would obey."""
    encoding = sys.stdout.encoding or "utf-8"
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain.encode(encoding, "replace").decode(encoding)


def _print_json(
    query: Path,
    category: str | None,
    source: Source,
    weights: Path,
    found: Sequence[Found],
    skipped: Sequence[str],
) -> None:
    answer = {
        "query": str(query),
        "query_category": category,
        "catalog": source.name,
        "weights": str(weights),
        "skipped": list(skipped),
        "results": [
            {
                "rank": rank,
                "distance": round(f.distance, 6),
                "category": f.category or None,
                "right": f.right,
                "id": f.id,
                "file": _file_of(f, source),
            }
            for rank, f in enumerate(found, start=1)
        ],
    }
    print(json.dumps(answer, indent=2))


# The strip


def _check_drawing(show: bool, out: Path | None) -> None:
    """Before anything takes time: can it be drawn where it should be?

    matplotlib takes a second to import, which a search without a picture need not wait for.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise FashionError(f"--out {out}: results are drawn as .png, so end it in that.")
    if not show and out is None:
        return
    import matplotlib  # noqa: PLC0415
    from matplotlib import pyplot  # noqa: PLC0415
    from matplotlib.backends import BackendFilter, backend_registry  # noqa: PLC0415

    if not show:
        pyplot.switch_backend("agg")  # draws without a display
        return
    no_window = FashionError("--show needs a display, and there is none: use --out results.png.")
    if matplotlib.get_backend() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
        raise no_window
    try:
        pyplot.switch_backend(matplotlib.get_backend())
    except ImportError:
        raise no_window from None


def _draw(picture: Image.Image, found: Sequence[Found], source: Source) -> "Figure":
    from fashionlib.pages.result_strips import result_strip  # noqa: PLC0415 - see `_check_drawing`

    query = torch.from_numpy(to_square(picture, SIDE))
    results = torch.stack([source.read(f.id) for f in found])
    known = all(f.right is not None for f in found)
    right = [bool(f.right) for f in found] if known else None
    titles = [f.category for f in found]
    return result_strip(query, results, [f.distance for f in found], right, titles)


def _save(figure: "Figure", out: Path) -> None:
    with replacing(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
