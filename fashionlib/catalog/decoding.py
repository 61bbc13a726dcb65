"""Files become arrays: every picture decoded once, the broken and the doubled ones named."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fashionlib.catalog.contents import SPLITS, Catalog, Split
from fashionlib.catalog.folder_layout import Entry, Listing, entries
from fashionlib.catalog.pictures import read_picture, to_square
from fashionlib.errors import FashionError
from fashionlib.settings import progress_bar


class _Outcome(NamedTuple):
    digest: str  # sha256 of the file, "" if it cannot be read
    problem: str


def decode(name: str, root: Path, listing: Listing, size: int) -> Catalog:
    """The catalog of the files in a listing, at `size` × `size`; broken files are left out.

    Raises:
        FashionError: a class has no readable picture to train with.
    """
    classes = tuple(listing["train"])
    listed = list(entries(listing))
    files = [file for _, _, file in listed]
    images = np.empty((len(files), 3, size, size), np.uint8)
    # Threads suffice: Pillow lets go of the interpreter's lock while it decodes and resizes
    with ThreadPoolExecutor() as pool:
        results = pool.map(partial(_decode_one, root), files, images)
        outcomes = list(progress_bar(results, "decoding", "picture", total=len(files)))
    splits = {}
    for split in SPLITS:
        kept = [n for n, entry in enumerate(listed) if entry[0] == split and outcomes[n].digest]
        labels = [classes.index(listed[n][1]) for n in kept]
        splits[split] = Split(
            torch.from_numpy(images[kept]),
            torch.tensor(labels, dtype=torch.int64),
            tuple(files[n] for n in kept),
        )
    for label in classes:
        own = [outcomes[n] for n, entry in enumerate(listed) if entry[:2] == ("train", label)]
        if not any(outcome.digest for outcome in own):
            raise FashionError(
                f"{root}: no readable picture to train {label!r} with: {own[0].problem}"
            )
    skipped = tuple(outcome.problem for outcome in outcomes if outcome.problem)
    pairs = _duplicates(listed, outcomes)
    return Catalog(name, classes, **splits, skipped=skipped, duplicates=pairs, root=root)


def _decode_one(root: Path, name: str, target: np.ndarray) -> _Outcome:
    """Decode one file into `target`, uint8 [3, size, size]."""
    path = root / name
    try:
        size = target.shape[-1]
        target[:] = to_square(read_picture(path, size), size)
        return _Outcome(hashlib.sha256(path.read_bytes()).hexdigest(), "")
    except FashionError as error:
        return _Outcome("", name + str(error).removeprefix(str(path)))


def _duplicates(listed: list[Entry], outcomes: list[_Outcome]) -> tuple[tuple[str, str], ...]:
    """Pairs of files with the same bytes in different splits."""
    first: dict[str, tuple[str, str]] = {}
    pairs = []
    for (split, _, file), outcome in zip(listed, outcomes, strict=True):
        other_split, other = first.setdefault(outcome.digest, (split, file))
        if outcome.digest and other_split != split:
            pairs.append((other, file))
    return tuple(pairs)
