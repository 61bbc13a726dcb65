"""Files become arrays: decoded once, read from the cache afterwards, made again if damaged."""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fashionlib.catalog.contents import SPLITS, Catalog, Split, attributes_of
from fashionlib.catalog.folder_layout import Listing, entries
from fashionlib.catalog.pictures import PREPROCESSING, is_readable, read_square
from fashionlib.drawn import Garment
from fashionlib.errors import FashionError, printable
from fashionlib.files import cache_dir, check_place, new_folder, remove_abandoned
from fashionlib.settings import progress_bar

# Part of every cache key: raise it when the way folders are split or arrays are stored changes.
LAYOUT = 3


def cache_key(*parts: object) -> str:
    """A hash of what arrays depend on, of the way pictures are prepared too."""
    return hashlib.sha256(repr((LAYOUT, PREPROCESSING, parts)).encode()).hexdigest()


def through_cache(
    group: str,
    content: str,
    root: Path | None,
    make: Callable[[], Catalog],
    is_right: Callable[[Catalog], bool] = lambda catalog: True,
) -> Catalog:
    """The catalog from the cache; made anew where it is missing, damaged, or not right any more.

    Both keys come from `cache_key`. Of each group (a source at a size with its classes) only the
    newest content is kept. `root` is the folder of the originals.
    """
    arrays = cache_dir() / "arrays"
    folder = arrays / f"{group[:16]}-{content[:16]}"
    try:
        catalog = _read(folder, root)
        if is_right(catalog):
            return catalog
    except Exception:  # not there, or damaged, which may show as anything
        pass
    with suppress(OSError):
        folder.unlink()  # where it is a file, a link or a pipe
    shutil.rmtree(folder, ignore_errors=True)
    remove_abandoned(arrays, f"{group[:16]}-*")  # what was killed while it made older content
    check_place(folder / "index.json")
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
        split.images.numpy().tofile(folder / f"{name}.bin")
        index[name] = {
            "labels": split.labels.tolist(),
            "names": split.names,
            "shape": split.images.shape,
            "checksum": zlib.crc32(split.images.numpy()),
        }
    text = json.dumps(index)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "index.json").write_text(f"{digest}\n{text}", encoding="utf-8")


def _read(folder: Path, root: Path | None) -> Catalog:
    if not all(path.is_file() for path in folder.iterdir()):  # reading a pipe would never end
        raise ValueError(f"{folder} has other things than files in it")
    digest, text = (folder / "index.json").read_text(encoding="utf-8").split("\n")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise ValueError(f"index.json in {folder} is damaged")
    index = json.loads(text)
    garments = {name: Garment(**labels) for name, labels in index["garments"].items()}
    splits = {}
    for split in SPLITS:
        # not memory-mapped: a change of the file would change, or crash, every program that has it
        images = np.fromfile(folder / f"{split}.bin", np.uint8)
        names = tuple(index[split]["names"])
        if zlib.crc32(images) != index[split]["checksum"]:
            raise ValueError(f"{split}.bin in {folder} is damaged")
        splits[split] = Split(
            torch.from_numpy(images.reshape(index[split]["shape"])),
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


# Decoding


def decoded(
    group: str, content: str, name: str, root: Path, listing: Listing, size: int
) -> Catalog:
    """As `decode`, through the cache; keys as for `through_cache`."""

    def is_right(catalog: Catalog) -> bool:
        """Is what could not be read still unreadable? A disk may be back, a permission given."""
        known = {name for split in catalog.splits.values() for name in split.names}
        missing = [name for _, _, name in entries(listing) if name not in known]
        return not any(is_readable(root, name, size) for name in missing)

    return through_cache(group, content, root, partial(decode, name, root, listing, size), is_right)


def decode(name: str, root: Path, listing: Listing, size: int) -> Catalog:
    """The catalog of the files in a listing, at `size` × `size`; broken files are left out.

    Raises:
        FashionError: a class has no readable picture to train with.
    """
    listed = list(entries(listing))
    files = [file for _, _, file in listed]
    images = np.empty((len(files), 3, size, size), np.uint8)
    # Threads suffice: Pillow lets go of the interpreter's lock while it decodes and resizes
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # more would only hold more pictures
        results = pool.map(partial(_decode_one, root), files, images)
        results = progress_bar(results, "decoding", "picture", total=len(files))
        digests, problems = zip(*results, strict=True)
    classes, splits = tuple(listing["train"]), {}
    for label in classes:
        own = [n for n, entry in enumerate(listed) if entry[:2] == ("train", label)]
        if all(problems[n] for n in own):
            raise FashionError(
                f"{root}: no readable picture to train {label!r} with: {problems[own[0]]}"
            )
    for split in SPLITS:
        kept = [n for n, entry in enumerate(listed) if entry[0] == split and not problems[n]]
        splits[split] = Split(
            torch.from_numpy(_rows(images, kept)),
            torch.tensor([classes.index(listed[n][1]) for n in kept], dtype=torch.int64),
            tuple(files[n] for n in kept),
        )
    first: dict[str, tuple[str, str]] = {}  # by digest: in which split, and which file
    pairs = []
    for (split, _, file), digest in zip(listed, digests, strict=True):
        other_split, other = first.setdefault(digest, (split, file))
        if digest and other_split != split:
            pairs.append((other, file))
    skipped = tuple(filter(None, problems))
    return Catalog(name, classes, **splits, skipped=skipped, duplicates=tuple(pairs), root=root)


def _rows(images: np.ndarray, kept: list[int]) -> np.ndarray:
    """Rows at ascending positions, not copied where none is left out between them."""
    if kept and kept[-1] - kept[0] + 1 == len(kept):
        return images[kept[0] : kept[-1] + 1]
    return images[kept]


def _decode_one(root: Path, name: str, target: np.ndarray) -> tuple[str, str]:
    """Decode a file into `target`, uint8 [3, size, size]: its sha256 and "", or "" and why not."""
    try:
        target[:] = read_square(root, name, target.shape[-1])
        return hashlib.sha256((root / name).read_bytes()).hexdigest(), ""
    except FashionError as error:
        return "", str(error)
    except OSError as error:  # gone, or its disk is, since it was decoded
        return "", f"{printable(name)} cannot be read any more ({error.strerror})."
