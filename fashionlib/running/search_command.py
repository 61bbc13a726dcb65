"""What `fashionlib search` does: choose pictures and weights, search, and show what was found."""

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fashionlib.catalog import load_catalog
from fashionlib.errors import FashionError, printable
from fashionlib.files import check_place, replacing
from fashionlib.look_encoder import LOOK_SHARE, LookEncoder
from fashionlib.running.folder_index import (
    Refreshed,
    Source,
    category_of,
    folder_source,
    refreshed_index,
    training_source,
)
from fashionlib.search import Results, SearchIndex, describe, embed_picture, narrowed, read_query
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
    look: Path | None,
    look_weight: float | None,
    colour: str | None,
    pattern: str | None,
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
        look: another picture, whose colour and pattern are wanted instead of the query's.
        look_weight: how much the look counts, from 0 to 1; None for what the encoder learned.
        colour: only results of this colour, by label where the catalog has them, else as the
            encoder names it.
        pattern: likewise.
        as_json: print JSON instead of a table.
        show: open a window with a strip of the results.
        out: save the strip as this PNG.

    Raises:
        FashionError: any of these cannot be used.
    """
    _check_drawing(k, show, out, query, look, weights)
    picture = read_query(query)
    look_picture = None if look is None else read_query(look)
    source, notes = _searched_in(catalog, out)
    weights, about_weights = find_weights(weights, source.name if source.root is None else "")
    encoder, metadata = load_encoder(weights)
    asked = {k: v for k, v in (("colour", colour), ("pattern", pattern)) if v is not None}
    plain = look is None and look_weight is None and not asked
    if not plain:
        _check_looks(encoder, weights, asked)
    refreshed = refreshed_index(source, encoder)
    index = _of_a_look(refreshed.index, encoder, source, asked) if asked else refreshed.index
    wanted = embed_picture(encoder, picture)
    if not plain:
        share = LOOK_SHARE if look_weight is None else look_weight
        lends = picture if look_picture is None else look_picture
        wanted = encoder.blended(wanted, embed_picture(encoder, lends), share)
    category = _category_of_query(query, source)
    rows = _result_rows(index.search(wanted, k), source, category)
    notes = [about_weights, *notes, *_describe_refresh(source.name, refreshed)]
    if plain:
        notes += _too_far(rows[0]["distance"], metadata)
    if show or out is not None:
        strip = _draw(picture, look_picture, rows, source)
    if out is not None:
        with replacing(out) as temporary:
            strip.savefig(temporary, format="png", dpi=110)
        notes.append(f"Saved {out}.")
    print(*map(printable, notes), sep="\n", file=sys.stderr)
    if as_json:
        answer = {
            "query": str(query),
            "query_category": category,
            "look": None if look is None else str(look),
            "catalog": source.name,
            "weights": str(weights),
            "skipped": refreshed.skipped,
            "results": rows,
        }
        print(json.dumps(answer, indent=2))
    else:
        _print_table(rows)
    if show:
        from matplotlib import pyplot  # noqa: PLC0415 - see `_check_drawing`

        pyplot.show()


def _searched_in(catalog: str | None, out: Path | None) -> tuple[Source, list[str]]:
    """The pictures that are searched, and lines about them; what is drawn is not to join them."""
    if catalog not in (None, "photos", "drawn"):
        around = os.path.realpath(catalog)  # which bears links that go round
        if out is not None and Path(os.path.realpath(out)).is_relative_to(around):
            raise FashionError(f"--out {out} is in the catalog {catalog}: name a place outside.")
        return folder_source(Path(catalog)), []
    loaded = load_catalog(catalog, few=budget(False, quick=True))
    return training_source(loaded), f"{loaded.about}\n{loaded.hint}".splitlines()


def _category_of_query(query: Path, source: Source) -> str | None:
    """The name of the query's folder, if pictures that are searched are in one of that name."""
    category = query.resolve().parent.name
    return category if category and category in map(category_of, source.stamps) else None


def _too_far(distance: float, metadata: dict) -> list[str]:
    """A line, if the nearest picture is farther than a garment's nearest mostly is."""
    limit = metadata.get("distance_limit", math.inf)  # of weights that were never calibrated
    if distance <= limit:
        return []
    return [
        f"Nothing is near: {distance:.3f}, where clothes like the training pictures "
        f"find something within {limit:.3f}. Is it a garment?"
    ]


def _result_rows(results: Results, source: Source, category: str | None) -> list[dict]:
    """The results in plain data, nearest first; `category` is the query's, if it is known."""
    return [
        {
            "rank": rank,
            "distance": round(found.distance, 6),
            "category": found.category or None,
            "right": found.right,
            "id": found.id,
            "file": str(source.root / found.id) if source.root else None,
        }
        for rank, found in enumerate(describe(results, category_of, category), start=1)
    ]


def _check_looks(encoder: nn.Module, weights: Path, asked: dict[str, str]) -> None:
    """Can this encoder tell category and look apart, and has it these names?"""
    if not isinstance(encoder, LookEncoder):
        raise FashionError(f"{weights} knows no looks: train with the objective looks.")
    names = {"colour": encoder.colours, "pattern": encoder.patterns}
    for key, name in asked.items():
        known = [own for own in names[key] if own]
        if name not in known:
            listed = ", ".join(known) or "none, as it was trained without"
            raise FashionError(f"--{key} {name}: the encoder's names are {listed}.")


def _of_a_look(
    index: SearchIndex, encoder: LookEncoder, source: Source, asked: dict[str, str]
) -> SearchIndex:
    """Only the pictures of a look, by label where the source has them, else as they are named."""
    named = zip(index.ids, encoder.named(index.embeddings), strict=True)
    labels = source.labels or {name: {"colour": c, "pattern": p} for name, (c, p) in named}
    index = narrowed(index, labels, asked)
    if not index.ids:
        look = " and ".join(f"the {key} {name}" for key, name in asked.items())
        raise FashionError(f"no picture in {source.name} has {look}.")
    return index


def find_weights(weights: Path | None, catalog: str) -> tuple[Path, str]:
    """The encoder's file for a catalog ("drawn" or another), and a line: which it is, and why."""
    if weights is not None:
        return weights, f"Weights {weights}: as asked."
    if OWN_WEIGHTS.exists():
        return OWN_WEIGHTS, f"Weights {OWN_WEIGHTS}: trained here."
    path = shipped("encoder_drawn" if catalog == "drawn" else "encoder_photos")
    return path, f"Weights {path.stem}: shipped with the library, as there is no {OWN_WEIGHTS}."


def _describe_refresh(name: str, refreshed: Refreshed) -> list[str]:
    line = f"Index of {name}: {len(refreshed.index):,} pictures"
    if refreshed.embedded:
        line += f", {refreshed.embedded:,} of them embedded now"
    if refreshed.removed:
        line += f", {refreshed.removed:,} removed"
    return [f"{line}.", *skipped_lines(refreshed.skipped)]


def skipped_lines(skipped: Sequence[str]) -> list[str]:
    """What is said of pictures that cannot be read: the first by name, the others by number."""
    lines = [f"Skipped: {reason}" for reason in skipped[:MOST_NAMED]]
    if len(skipped) > MOST_NAMED:
        lines.append(f"Skipped: {len(skipped) - MOST_NAMED:,} more.")
    return lines


def _print_table(rows: list[dict]) -> None:
    """Aligned columns; the category only where there are any."""
    categories = [row["category"] or "" for row in rows]
    width = max(map(len, ["category", *categories])) + 2 if any(categories) else 0
    print(f"{'rank':>4}  {'distance':>8}  {'category'.ljust(width) if width else ''}file")
    for row, category in zip(rows, categories, strict=True):
        place = printable(category.ljust(width) + (row["file"] or row["id"]))
        print(f"{row['rank']:>4}  {row['distance']:>8.3f}  {place}")


def _check_drawing(k: int, show: bool, out: Path | None, *pictures: Path | None) -> None:
    """Before anything takes time: can it be drawn, where it should be, and not over `pictures`?

    matplotlib takes a second to import, which a search without a picture need not wait for.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise FashionError(f"--out {out}: results are drawn as .png, so end it in that.")
    if not show and out is None:
        return
    if out is not None:
        check_place(out, *pictures)
    try:
        import matplotlib  # noqa: PLC0415
        from matplotlib import pyplot  # noqa: PLC0415
        from matplotlib.backends import BackendFilter, backend_registry  # noqa: PLC0415

        from fashionlib.pages.result_strips import check_count  # noqa: PLC0415
    except ValueError as error:  # of its settings, in many lines
        raise FashionError("matplotlib knows no such backend: unset MPLBACKEND.") from error
    check_count(k)
    if not show:
        pyplot.switch_backend("agg")  # draws without a display
        return
    try:
        if matplotlib.get_backend() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
            raise ImportError
        pyplot.switch_backend(matplotlib.get_backend())
    except ImportError:
        raise FashionError(
            "--show needs a display, and there is none: use --out results.png."
        ) from None


def _draw(picture: Tensor, look: Tensor | None, rows: list[dict], source: Source) -> "Figure":
    from fashionlib.pages.result_strips import result_strip  # noqa: PLC0415 - see `_check_drawing`

    results = torch.stack([source.read(row["id"]) for row in rows])
    right = None if rows[0]["right"] is None else [row["right"] for row in rows]
    titles = [row["category"] or "" for row in rows]
    distances = [row["distance"] for row in rows]
    return result_strip(picture, results, distances, right, titles, look)
