"""Decoded catalogs on disk: made once, mapped into memory afterwards, made again if damaged."""

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from fashionlib.catalog.contents import SPLITS, Catalog, Split, attributes_of
from fashionlib.catalog.pictures import PREPROCESSING
from fashionlib.drawn import Garment
from fashionlib.files import cache_dir, new_folder

# Part of every cache key: raise it when the way folders are split or arrays are stored changes.
LAYOUT = 1


def cache_key(*parts: object) -> str:
    """A hash of what arrays depend on, of the way pictures are prepared too."""
    return hashlib.sha256(repr((LAYOUT, PREPROCESSING, parts)).encode()).hexdigest()


def through_cache(
    group: str, content: str, root: Path | None, make: Callable[[], Catalog]
) -> Catalog:
    """The catalog from the cache, where it is made first if need be.

    Both keys come from `cache_key`. Of each group (a source at a size with its classes) only the
    newest content is kept. `root` is the folder of the originals.
    """
    arrays = cache_dir() / "arrays"
    folder = arrays / f"{group[:16]}-{content[:16]}"
    try:
        return _read(folder, root)
    except (OSError, ValueError, KeyError, TypeError, EOFError):  # not there, or damaged
        shutil.rmtree(folder, ignore_errors=True)
    catalog = make()
    with new_folder(folder) as temporary:
        _write(catalog, temporary)
    for old in arrays.glob(f"{group[:16]}-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return catalog


def _write(catalog: Catalog, folder: Path) -> None:
    index: dict = {
        "name": catalog.name,
        "classes": catalog.classes,
        "skipped": catalog.skipped,
        "duplicates": catalog.duplicates,
        "garments": {name: asdict(garment) for name, garment in catalog.garments.items()},
    }
    for name, split in catalog.splits.items():
        np.save(folder / f"{name}.npy", split.images.numpy())
        index[name] = {
            "labels": split.labels.tolist(),
            "names": split.names,
            "checksum": zlib.crc32(split.images.numpy()),
        }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _read(folder: Path, root: Path | None) -> Catalog:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    garments = {name: Garment(**labels) for name, labels in index["garments"].items()}
    splits = {}
    for split in SPLITS:
        # mapped: no memory until used; "c" keeps what a reader writes out of the file
        images = np.load(folder / f"{split}.npy", mmap_mode="c")
        names = tuple(index[split]["names"])
        if zlib.crc32(images) != index[split]["checksum"] or len(images) != len(names):
            raise ValueError(f"{split}.npy in {folder} is damaged")
        splits[split] = Split(
            torch.from_numpy(images),
            torch.tensor(index[split]["labels"], dtype=torch.int64),
            names,
            attributes_of(garments[name] for name in names) if garments else {},
        )
    return Catalog(
        index["name"],
        tuple(index["classes"]),
        **splits,
        skipped=tuple(index["skipped"]),
        duplicates=tuple((first, second) for first, second in index["duplicates"]),
        root=root,
        garments=garments,
    )
