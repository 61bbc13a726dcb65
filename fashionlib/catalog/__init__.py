"""Catalogs: pictures with labels, in three splits, decoded once.

The real photos, the drawn garments and a folder of the reader's own all become the same
`Catalog`, so that no chapter has to know which one it works with.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fashionlib.catalog.photos import ensure_photos, manifest_hash, read_manifest
from fashionlib.catalog.pictures import PREPROCESSING, read_picture, to_square
from fashionlib.drawn import Garment, draw_garment, drawn_pictures
from fashionlib.errors import FashionError
from fashionlib.files import cache_dir, new_folder
from fashionlib.settings import budget, progress_bar

SPLITS = ("train", "validation", "test")
SEVEN = ("dress", "hat", "longsleeve", "pants", "shoes", "shorts", "t-shirt")

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
FOLDER_NAMES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}

# What the drawn catalog looks like depends on these files
DRAWING = (
    "__init__.py",
    "garments.py",
    "accessories.py",
    "backdrops.py",
    "outlines.py",
    "painting.py",
)
SEEDS = {"train": 1, "validation": 2, "test": 3}

# Part of every cache key: raise it when the way folders are split or arrays are stored changes.
LAYOUT = 1

Listing = dict[str, dict[str, list[str]]]  # split → class → file names relative to the root
Entry = tuple[str, str, str]  # split, class, file name


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures for one purpose: to train with, to choose with, or to report with."""

    images: Tensor  # uint8 [N, 3, size, size]
    labels: Tensor  # int64 [N], positions in `Catalog.classes`
    names: tuple[str, ...]  # "train/dress/abc.jpg", unique in the catalog
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # drawn: "colour", …

    def __len__(self) -> int:
        return len(self.names)

    def at(self, positions: Tensor) -> "Split":
        """The pictures at positions, int64 [M], in that order, with all that is known of them."""
        chosen = positions.tolist()
        return Split(
            self.images[positions],
            self.labels[positions],
            tuple(self.names[n] for n in chosen),
            {key: tuple(values[n] for n in chosen) for key, values in self.attributes.items()},
        )


@dataclass(frozen=True, eq=False)
class Catalog:
    """Three splits over the same classes. Make one with `load_catalog`."""

    name: str  # "photos", "drawn", or the folder
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    skipped: tuple[str, ...] = ()  # one line for each unreadable file
    duplicates: tuple[tuple[str, str], ...] = ()  # names of equal files in different splits
    root: Path | None = None  # folder of the original pictures, unless they are drawn
    garments: dict[str, Garment] = field(default_factory=dict)  # drawn: what each name shows

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name, in the order train, validation, test."""
        return {name: getattr(self, name) for name in SPLITS}

    def open(self, name: str) -> Image.Image:
        """The original picture, RGB at full size; a drawn one is drawn again, larger.

        Raises:
            FashionError: no picture of that name, or it can no longer be read.
        """
        if not any(name in split.names for split in self.splits.values()):
            raise FashionError(f"the catalog {self.name} has no picture {name!r}.")
        if name in self.garments:
            return draw_garment(self.garments[name], 480)
        return read_picture(self.root / name)


def load_catalog(
    source: str | Path | None = None, size: int = 160, classes: tuple[str, ...] | None = None
) -> Catalog:
    """Load pictures, and print one line that says which, and why.

    Args:
        source: "photos", "drawn", or a folder. `None` takes the photos where they are or can be
            fetched, and the drawn garments elsewhere. A folder holds class folders, or `train`,
            `validation` (or `valid`, `val`) and `test` with class folders in them. Without
            these, each class is split 80/10/10 by a hash of the file name. With `train` alone, a
            tenth of it becomes the validation split. A missing `test` stays empty: a number
            reported on pictures that were trained with would be worth nothing.
        size: side of the decoded pictures in pixels.
        classes: which classes, in the order of their labels. The default is `SEVEN`, and for a
            folder all of its classes in alphabetical order.

    Decoding happens once; the arrays are kept in `cache_dir()` until a file changes.

    Raises:
        FashionError: the folder is not a catalog (the message says what is wrong with it), the
            photos cannot be had, or the disk is full.
    """
    if size < 1:
        raise FashionError(f"a catalog of {size} pixels: the size must be at least 1.")
    if classes is not None and len(set(classes)) < max(2, len(classes)):
        raise FashionError(f"classes {classes}: name two or more, each once.")
    reason = "as asked"
    if source is None:
        source, reason = _photos_or_drawn()
    if source == "photos":
        catalog = _load_photos(size, classes or SEVEN)
    elif source == "drawn":
        catalog = _load_drawn(size, classes or SEVEN)
    else:
        catalog = _load_folder(Path(source), size, classes)
    _describe(catalog, reason)
    return catalog


def _photos_or_drawn() -> tuple[str, str]:
    try:
        ensure_photos()
        return "photos", "they are here"
    except FashionError as error:
        return "drawn", f"since there are no photos: {error}".rstrip(".")


def _describe(catalog: Catalog, reason: str) -> None:
    counts = ", ".join(f"{len(getattr(catalog, split)):,} {split}" for split in SPLITS)
    classes = len(catalog.classes)
    line = f"Catalog {catalog.name}: {counts} pictures in {classes} classes; {reason}."
    if catalog.skipped:
        more = " …" if len(catalog.skipped) > 3 else ""
        line += f" Skipped {len(catalog.skipped)}: {' '.join(catalog.skipped[:3])}{more}"
    print(line)
    if catalog.duplicates:
        count, pair = len(catalog.duplicates), " = ".join(catalog.duplicates[0])
        print(f"Leak: {count} pictures are in two splits, such as {pair}.")


# The photos, the drawn garments, a folder


def _load_photos(size: int, classes: tuple[str, ...]) -> Catalog:
    root = ensure_photos()
    found: Listing = {split: {} for split in SPLITS}
    for name in sorted(read_manifest()):
        split, label, _ = name.split("/")
        found[split].setdefault(label, []).append(name)
    listing = _choose(root, found, classes)
    group = _hash("photos", size, classes)
    make = partial(_decode, "photos", root, listing, size)
    return _through_cache(group, manifest_hash(), root, make)


def _load_folder(root: Path, size: int, classes: tuple[str, ...] | None) -> Catalog:
    try:
        listing = _choose(root, _find(root, classes), classes)
    except OSError as error:
        raise FashionError(f"{error.filename} cannot be listed: {error.strerror}.") from error
    group = _hash(str(root.resolve()), size, tuple(listing["train"]))
    content = [(name, *_stamp(root / name)) for _, _, name in _entries(listing)]
    make = partial(_decode, str(root), root, listing, size)
    # the name as it was given now, where the cache may know the folder by another path
    return replace(_through_cache(group, _hash(content), root, make), name=str(root))


def _load_drawn(size: int, classes: tuple[str, ...]) -> Catalog:
    unknown = [label for label in classes if label not in SEVEN]
    if unknown:
        raise FashionError(f"no {unknown[0]!r} is drawn: choose among {', '.join(SEVEN)}.")
    counts = budget((2400, 300, 300), (560, 140, 140))
    group = _hash("drawn", size, classes, counts)
    code = _hash(
        [Path(__file__).parents[1].joinpath("drawn", name).read_bytes() for name in DRAWING]
    )
    return _through_cache(group, code, None, partial(_draw, counts, size, classes))


def _draw(counts: tuple[int, ...], size: int, classes: tuple[str, ...]) -> Catalog:
    splits, drawings = {}, {}
    for split, count in zip(SPLITS, counts, strict=True):
        # one process: several would start the reader's script anew, unless it guards against that
        images, garments = drawn_pictures(count, SEEDS[split], size, processes=1)
        kept = [n for n, garment in enumerate(garments) if garment.category in classes]
        own = {f"{split}/{garments[n].category}/{n:04d}": garments[n] for n in kept}
        splits[split] = Split(
            torch.from_numpy(images[kept]),
            torch.tensor([classes.index(garment.category) for garment in own.values()]),
            tuple(own),
            _attributes(list(own.values())),
        )
        drawings |= own
    return Catalog("drawn", classes, **splits, garments=drawings)


def _attributes(garments: list[Garment]) -> dict[str, tuple[str, ...]]:
    """What is known about the looks of each garment, one tuple for each label but the class."""
    looks = [label.name for label in fields(Garment) if label.type is str]
    looks.remove("category")
    return {look: tuple(getattr(garment, look) for garment in garments) for look in looks}


# What a folder holds


def _find(root: Path, classes: tuple[str, ...] | None) -> Listing:
    """The pictures of each class in each split, of the two kinds of folder `load_catalog` names."""
    if not root.is_dir():
        problem = "is a file" if root.exists() else "does not exist"
        raise FashionError(f"{root} {problem}: a catalog is a folder with class folders in it.")
    folders = {}
    for split, names in FOLDER_NAMES.items():
        present = [root / name for name in names if (root / name).is_dir()]
        if present:
            folders[split] = present[0]
    if not folders:
        ends = {"train": 0.8, "validation": 0.9, "test": 1.0}
        return _split(_find_classes(root, root, classes), ends)
    if "train" not in folders:
        raise FashionError(f"{root} has a {min(folders)} folder but no train folder.")
    found = {split: _find_classes(folder, root, classes) for split, folder in folders.items()}
    if "validation" not in found:
        found |= _split(found["train"], {"train": 0.9, "validation": 1.0})
    return found


def _find_classes(
    folder: Path, root: Path, classes: tuple[str, ...] | None
) -> dict[str, list[str]]:
    """Pictures of each class folder, at any depth. Links to folders are not followed."""
    found = {}
    for path in sorted(folder.iterdir()):
        is_class = path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
        if not is_class or (classes and path.name not in classes):
            continue
        found[path.name] = sorted(_pictures_below(path, root))
        if not found[path.name]:
            raise FashionError(f"the class folder {path} holds no pictures: fill or remove it.")
    if not found:
        wanted = f" named {', '.join(classes)}" if classes else ""
        raise FashionError(f"{folder} has no class folders{wanted}: make one for each class.")
    return found


def _pictures_below(folder: Path, root: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES:
                yield path.relative_to(root).as_posix()


def _split(classes: dict[str, list[str]], ends: dict[str, float]) -> Listing:
    """Split each class by a hash of the file name, a number from 0 to 1.

    A split gets the names below its end that no split before it got. So a file stays where it is
    when others come or go, but for classes so small that train or validation would be left
    without a picture.
    """
    listing: Listing = {split: {} for split in ends}
    for label, names in classes.items():
        ordered = sorted(names, key=_fraction)
        start = 0
        for split, end in ends.items():
            stop = sum(_fraction(name) < end for name in ordered)
            if split == "train":
                stop = min(stop, len(ordered) - 1)  # leave one to validate with
            if split in ("train", "validation"):
                stop = max(stop, start + 1)
            listing[split][label] = sorted(ordered[start:stop])
            start = stop
    return listing


def _fraction(name: str) -> float:
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:12], 16) / 16**12


def _choose(root: Path, found: Listing, classes: tuple[str, ...] | None) -> Listing:
    """The chosen classes in their order, the same in each split, or an error naming the odd one."""
    everywhere = sorted({label for by_class in found.values() for label in by_class})
    classes = classes or tuple(everywhere)
    if len(classes) < 2:
        raise FashionError(f"{root} has only the class {classes[0]!r}: two or more are needed.")
    for label in classes:
        holders = [split for split, by_class in found.items() if label in by_class]
        if not holders:
            raise FashionError(f"{root} has no class {label!r}: choose among its class folders.")
        for split in [split for split in found if split not in holders]:
            raise FashionError(
                f"{root}: the class folder {label!r} is in {holders[0]} but not in {split}; "
                "each split needs the same class folders."
            )
    return {
        split: {label: found.get(split, {}).get(label, []) for label in classes} for split in SPLITS
    }


def _entries(listing: Listing) -> Iterator[Entry]:
    for split, by_class in listing.items():
        for label, names in by_class.items():
            for name in names:
                yield split, label, name


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a link to nowhere: it will be skipped by name
        return 0, 0
    return status.st_size, status.st_mtime_ns


# Decoding


def _decode(name: str, root: Path, listing: Listing, size: int) -> Catalog:
    classes = tuple(listing["train"])
    entries = list(_entries(listing))
    files = [file for _, _, file in entries]
    images = np.empty((len(files), 3, size, size), np.uint8)
    # Threads suffice: Pillow lets go of the interpreter's lock while it decodes and resizes
    with ThreadPoolExecutor() as pool:
        results = pool.map(partial(_decode_one, root), files, images)
        outcomes = list(progress_bar(results, "decoding", "picture", total=len(files)))
    splits = {}
    for split in SPLITS:
        kept = [n for n, entry in enumerate(entries) if entry[0] == split and outcomes[n].digest]
        labels = [classes.index(entries[n][1]) for n in kept]
        splits[split] = Split(
            torch.from_numpy(images[kept]),
            torch.tensor(labels, dtype=torch.int64),
            tuple(files[n] for n in kept),
        )
    _check_each_class(root, classes, entries, outcomes)
    pairs = _duplicates(entries, outcomes)
    skipped = tuple(outcome.problem for outcome in outcomes if outcome.problem)
    return Catalog(name, classes, **splits, skipped=skipped, duplicates=pairs, root=root)


class _Outcome(NamedTuple):
    digest: str  # sha256 of the file, "" if it cannot be read
    problem: str


def _decode_one(root: Path, name: str, target: np.ndarray) -> _Outcome:
    """Decode one file into `target`, uint8 [3, size, size]."""
    path = root / name
    try:
        size = target.shape[-1]
        target[:] = to_square(read_picture(path, size), size)
        return _Outcome(hashlib.sha256(path.read_bytes()).hexdigest(), "")
    except FashionError as error:
        return _Outcome("", name + str(error).removeprefix(str(path)))


def _check_each_class(
    root: Path, classes: tuple[str, ...], entries: list[Entry], outcomes: list[_Outcome]
) -> None:
    for label in classes:
        own = [outcomes[n] for n, entry in enumerate(entries) if entry[:2] == ("train", label)]
        if not any(outcome.digest for outcome in own):
            raise FashionError(
                f"{root}: no readable picture to train {label!r} with: {own[0].problem}"
            )


def _duplicates(entries: list[Entry], outcomes: list[_Outcome]) -> tuple[tuple[str, str], ...]:
    """Pairs of files with the same bytes in different splits."""
    first: dict[str, tuple[str, str]] = {}
    pairs = []
    for (split, _, file), outcome in zip(entries, outcomes, strict=True):
        other_split, other = first.setdefault(outcome.digest, (split, file))
        if outcome.digest and other_split != split:
            pairs.append((other, file))
    return tuple(pairs)


# The cache


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr((LAYOUT, PREPROCESSING, parts)).encode()).hexdigest()


def _through_cache(
    group: str, content: str, root: Path | None, make: Callable[[], Catalog]
) -> Catalog:
    """The catalog from the cache, where it is made first if need be.

    Of each group (a source at a size with its classes) only the newest content is kept.
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
    for name in SPLITS:
        split: Split = getattr(catalog, name)
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
            _attributes([garments[name] for name in names]) if garments else {},
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
