"""Pictures to search in, embedded once and kept: a person's own folder, or a catalog."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor, nn

from fashionlib.catalog import Catalog
from fashionlib.catalog.contents import Labels, labels_of
from fashionlib.catalog.folder_layout import pictures_below, stamp, while_listing
from fashionlib.catalog.pictures import read_square
from fashionlib.errors import FashionError
from fashionlib.files import cache_dir, check_place, taking_apart
from fashionlib.inference import predict
from fashionlib.search import SIDE, SearchIndex, index_from
from fashionlib.settings import progress_bar
from fashionlib.weights import dimensions_of, fingerprint, load_tensors, save_tensors

BATCH = 16  # pictures decoded and embedded at a time, so that memory does not grow with a folder


@dataclass(frozen=True, eq=False)
class Source:
    """Pictures by name, wherever they are."""

    name: str  # the folder, or the name of a catalog
    key: str  # tells its index in the cache from all others
    stamps: dict[str, list[int]]  # for each picture, numbers that change when it does
    read: Callable[[str], Tensor]  # a name to uint8 [3, SIDE, SIDE], or a FashionError
    root: Path | None = None  # the names are files below it; None where pictures are drawn
    labels: Labels = field(default_factory=dict)  # none of a person's own folder


def folder_source(root: Path) -> Source:
    """The pictures below a folder, as `picture_files` finds them; it raises the same."""
    stamps = dict(picture_files(root))
    return Source(str(root), str(root.resolve()), stamps, partial(read_file, root), root)


def picture_files(root: Path) -> Iterator[tuple[str, list[int]]]:
    """Name and stamp of each picture below a folder, at any depth, in order of the names.

    See `pictures_below` for what is left out.

    Raises:
        FashionError: no such folder, it cannot be listed, or there are no pictures in it.
    """
    empty = True
    with while_listing(root, "of pictures"):
        for name in pictures_below(root):
            empty = False
            yield name, stamp(root / name)
    if empty:
        raise FashionError(f"{root} has no pictures in it: put some there, or name another.")


def read_file(root: Path, name: str) -> Tensor:
    """A picture below a folder as uint8 [3, SIDE, SIDE]; the FashionError begins with its name."""
    return torch.from_numpy(read_square(root, name, SIDE))


def training_source(catalog: Catalog) -> Source:
    """The training pictures of a catalog that was loaded at its default size."""
    split = catalog.train
    places = {name: n for n, name in enumerate(split.names)}
    stamps = {name: [zlib.crc32(split.images[n].numpy())] for name, n in places.items()}
    key = f"training pictures of {catalog.name}"
    labels = labels_of(catalog)
    return Source(
        catalog.name, key, stamps, lambda name: split.images[places[name]], catalog.root, labels
    )


def category_of(name: str) -> str:
    """The folder that a picture lies in, "" at the top: "train/dress/1.jpg" is a "dress"."""
    return PurePosixPath(name).parent.name


@dataclass(frozen=True, eq=False)
class Refreshed:
    """An index that is up to date, and what that took."""

    index: SearchIndex  # ids are the names of the source, in its order
    embedded: int  # pictures that were new or had changed
    removed: int  # pictures that are gone
    skipped: tuple[str, ...]  # one line for each that cannot be read, beginning with its name


def refreshed_index(source: Source, encoder: nn.Module) -> Refreshed:
    """The index of a source from the cache, brought up to date first and saved again.

    Only new and changed pictures are embedded (files by their size and times); those that are gone
    are dropped; broken ones are skipped, and tried again the next time. There is one index for
    each source, in `cache_dir() / "indexes"`: with another encoder, or another picture size, all
    of it is made anew.

    Raises:
        FashionError: no picture can be read, or the cache cannot be written.
    """
    key = hashlib.sha256(os.fsencode(source.key)).hexdigest()[:16]
    path = cache_dir() / "indexes" / f"{key}.safetensors"
    made_by = fingerprint(encoder)
    old, stamps = _read(path, made_by, dimensions_of(encoder))
    kept = {name: row for name, row in old.items() if source.stamps.get(name) == stamps[name]}
    new = [name for name in source.stamps if name not in kept]
    if new or len(kept) < len(old):
        check_place(path)
    found = embed_named(new, source.read, encoder)
    if new:  # and else no empty progress bar
        found = progress_bar(found, "embedding", "picture", total=len(new))
    fresh, skipped = sorted_out(found)
    rows = kept | fresh
    if not rows:
        raise FashionError(f"{source.name} has no picture that can be read: {skipped[0]}")
    names = tuple(name for name in source.stamps if name in rows)
    index = SearchIndex(torch.stack([rows[name] for name in names]), names, made_by)
    if fresh or len(kept) < len(old):
        files = {name: source.stamps[name] for name in names}
        metadata = {"kind": "folder", "made_by": made_by, "ids": names, "files": files}
        save_tensors(path, {"embeddings": index.embeddings}, metadata)
    gone = sum(name not in source.stamps for name in old)
    return Refreshed(index, len(fresh), gone, tuple(skipped))


def _read(path: Path, made_by: str, length: int) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Embeddings and stamps by name; empty where nothing usable was saved."""
    try:
        tensors, metadata = load_tensors(path)
        index = index_from(path, tensors, metadata)
        with taking_apart(path):
            right = index.embeddings.shape[1] == length
            rows = dict(zip(index.ids, index.embeddings, strict=True)) if right else {}
            stamps = {name: list(metadata["files"][name]) for name in rows}
            return (rows, stamps) if metadata["made_by"] == made_by else ({}, {})
    except FashionError:  # not there yet, or damaged
        return {}, {}


def embed_named(
    names: Iterable[str], read: Callable[[str], Tensor], encoder: nn.Module
) -> Iterator[tuple[str, Tensor | str]]:
    """Each name with its picture's embedding float32 [D], or with the line that says what is wrong.

    Pictures are decoded and embedded a batch at a time, so memory does not grow with their number.
    Threads decode: Pillow lets go of the interpreter's lock meanwhile.
    """
    names = iter(names)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(islice(names, BATCH)):
            pictures = list(pool.map(partial(_try, read), batch))
            good = [picture for picture in pictures if isinstance(picture, Tensor)]
            rows = iter(predict(encoder, torch.stack(good)) if good else ())
            for name, picture in zip(batch, pictures, strict=True):
                yield name, picture if isinstance(picture, str) else next(rows)


def sorted_out(found: Iterable[tuple[str, Tensor | str]]) -> tuple[dict[str, Tensor], list[str]]:
    """What `embed_named` gives, in two: embeddings by name, a line for each broken picture."""
    found = list(found)
    broken = [row for _, row in found if isinstance(row, str)]
    return {name: row for name, row in found if isinstance(row, Tensor)}, broken


def _try(read: Callable[[str], Tensor], name: str) -> Tensor | str:
    try:
        return read(name)
    except FashionError as error:
        return str(error)
