"""`load_catalog`: the photos, the drawn garments or a folder, as one and the same `Catalog`."""

from dataclasses import replace
from pathlib import Path

import torch

from fashionlib import drawn as drawing
from fashionlib.catalog.cache import cache_key, decoded, through_cache
from fashionlib.catalog.contents import SPLITS, Catalog, Split, attributes_of
from fashionlib.catalog.folder_layout import choose_classes, entries, find_pictures, stamp
from fashionlib.catalog.photos import ensure_photos, manifest_hash, read_looks, read_manifest
from fashionlib.drawn import SEVEN, drawn_pictures
from fashionlib.errors import FashionError

# How many garments are drawn for train, validation and test: enough to learn the seven classes
# from, or few, for a first look and for tests; of the photos, few are every eighth
MANY, FEW, EVERY = (2400, 300, 300), (280, 70, 70), 8

# What the drawn catalog looks like depends on these modules
DRAWING = ("__init__", "garments", "accessories", "backdrops", "outlines", "painting")
SEEDS = {"train": 1, "validation": 2, "test": 3}


def load_catalog(
    source: str | Path | None = None,
    size: int = 160,
    classes: tuple[str, ...] | None = None,
    few: bool = False,
) -> Catalog:
    """Load pictures; what came, and why, is in `Catalog.about`.

    Args:
        source: "photos", "drawn", or a folder. `None` takes the photos where they are or can be
            fetched, and the drawn garments elsewhere. A folder holds class folders, or `train`,
            `validation` and `test` (or as people call them: `Training`, `val`, `test_images`)
            with class folders in them. Without these, each class is split 80/10/10 by a hash of
            the file name. With `train` alone, a tenth of it becomes the validation split. A
            missing `test` stays empty: a number reported on pictures that were trained with
            would be worth nothing.
        size: side of the decoded pictures in pixels.
        classes: which classes, in the order of their labels. The default is `SEVEN`, and for a
            folder all of its classes in alphabetical order.
        few: about an eighth of the photos or of the drawn garments, for a first look and for
            tests. A folder is loaded whole.

    Decoding happens once; the arrays are kept in `cache_dir()` until a file changes.

    Raises:
        FashionError: the folder is not a catalog (the message says what is wrong with it), the
            photos cannot be had, or the disk is full.
    """
    if not 1 <= size <= 4096:  # where a thousand pictures take 50 GB
        raise FashionError(f"a catalog of {size} pixels: the size must be 1 to 4096.")
    if classes is not None and len(set(classes)) < max(2, len(classes)):
        raise FashionError(f"classes {classes}: name two or more, each once.")
    reason = "as asked"
    if source is None:
        try:
            ensure_photos()
            source, reason = "photos", "since the photos are here"
        except FashionError as error:
            source, reason = "drawn", f"since there are no photos: {error}"
    if source == "photos":
        catalog = _load_photos(size, classes or SEVEN, EVERY if few else 1)
    elif source == "drawn":
        catalog = _load_drawn(size, classes or SEVEN, FEW if few else MANY)
    else:
        catalog = _load_folder(Path(source), size, classes)
    return replace(catalog, reason=reason)


def _load_photos(size: int, classes: tuple[str, ...], every: int) -> Catalog:
    root = ensure_photos()
    found = {split: {} for split in SPLITS}
    for name in sorted(read_manifest())[::every]:
        split, label, _ = name.split("/")
        found[split].setdefault(label, []).append(name)
    listing = choose_classes(root, found, classes)
    key = cache_key("photos", size, classes, every)
    content, looks = manifest_hash(), read_looks()
    catalog = decoded(key, content, "photos", root, listing, size)
    return replace(catalog, **{name: _with(looks, s) for name, s in catalog.splits.items()})


def _with(looks: dict[str, dict[str, str]], split: Split) -> Split:
    """The same photos, with a colour and a pattern where they are labelled, and "" elsewhere."""
    rows = [looks.get(name, {}) for name in split.names]
    keys = "colour", "pattern"
    return replace(split, attributes={k: tuple(row.get(k, "") for row in rows) for k in keys})


def _load_folder(root: Path, size: int, classes: tuple[str, ...] | None) -> Catalog:
    listing, loose = find_pictures(root, classes)
    group = cache_key(str(root.resolve()), size, tuple(listing["train"]))
    content = cache_key([(name, *stamp(root / name)) for _, _, name in entries(listing)])
    catalog = decoded(group, content, str(root), root, listing, size)
    skipped = catalog.skipped + tuple(f"{name} lies in no class folder." for name in loose)
    # the name as it was given now, where the cache may know the folder by another path
    return replace(catalog, name=str(root), skipped=skipped)


def _load_drawn(size: int, classes: tuple[str, ...], counts: tuple[int, int, int]) -> Catalog:
    unknown = [label for label in classes if label not in SEVEN]
    if unknown:
        raise FashionError(f"no {unknown[0]!r} is drawn: choose among {', '.join(SEVEN)}.")
    code = [Path(drawing.__file__).with_name(f"{name}.py").read_bytes() for name in DRAWING]
    group = cache_key("drawn", size, classes, counts)
    return through_cache(group, cache_key(code, SEEDS), None, lambda: _draw(counts, size, classes))


def _draw(counts: tuple[int, int, int], size: int, classes: tuple[str, ...]) -> Catalog:
    splits, drawings = {}, {}
    for split, count in zip(SPLITS, counts, strict=True):
        images, garments = drawn_pictures(count, SEEDS[split], size)
        kept = [n for n, garment in enumerate(garments) if garment.category in classes]
        own = {f"{split}/{garments[n].category}/{n:04d}": garments[n] for n in kept}
        labels = [classes.index(garment.category) for garment in own.values()]
        pictures = torch.from_numpy(images[kept])
        splits[split] = Split(pictures, torch.tensor(labels), tuple(own),
                              attributes_of(own.values()))  # fmt: skip
        drawings |= own
    return Catalog("drawn", classes, **splits, garments=drawings)
