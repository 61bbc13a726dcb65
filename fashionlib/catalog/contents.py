"""What a catalog is: pictures with labels, in three splits over the same classes."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from PIL import Image
from torch import Tensor

from fashionlib.catalog.pictures import read_picture
from fashionlib.drawn import Garment, draw_garment
from fashionlib.errors import FashionError, printable

SPLITS = ("train", "validation", "test")

Labels = dict[str, dict[str, str]]  # {"1.jpg": {"category": "hat", "colour": "red"}}


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures for one purpose: to train with, to choose with, or to report with."""

    images: Tensor  # uint8 [N, 3, size, size]
    labels: Tensor  # int64 [N], positions in `Catalog.classes`
    names: tuple[str, ...]  # "train/dress/abc.jpg", unique in the catalog
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # "colour", "pattern", …

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
    reason: str = ""  # why these pictures: "as asked", "since there are no photos: …"

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name, in the order train, validation, test."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def hint(self) -> str:
        """Why there are no photos, and what to do about it; empty where nothing is missing."""
        return self.reason.partition(": ")[2]

    @property
    def about(self) -> str:
        """A line for whoever loads it: how much of what, why in short, and what was skipped.

        Where the same picture is in two splits, a second line says so.
        """
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        text = f"Catalog {self.name}: {counts} pictures in {len(self.classes)} classes"
        text += f", {self.reason.partition(':')[0]}." if self.reason else "."
        if self.skipped:
            more = " …" if len(self.skipped) > 3 else ""
            text += f" Skipped {len(self.skipped)}: {' '.join(self.skipped[:3])}{more}"
        leak = ""
        if self.duplicates:
            pair = printable(" = ".join(self.duplicates[0]))
            leak = f"\nLeak: {len(self.duplicates)} pictures are in two splits, such as {pair}."
        return printable(text) + leak

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


def attributes_of(garments: Iterable[Garment]) -> dict[str, tuple[str, ...]]:
    """`Split.attributes` of drawn garments: all that is known of their looks but the class."""
    names = [label.name for label in fields(Garment) if label.type is str]
    names.remove("category")
    garments = tuple(garments)
    return {name: tuple(getattr(garment, name) for garment in garments) for name in names}


def labels_of(catalog: Catalog) -> Labels:
    """Of each training picture its category, and those of its attributes that are known."""
    train = catalog.train
    categories = [catalog.classes[label] for label in train.labels.tolist()]
    columns = {"category": categories, **train.attributes}
    rows = zip(*columns.values(), strict=True)
    return {
        name: {key: value for key, value in zip(columns, row, strict=True) if value}
        for name, row in zip(train.names, rows, strict=True)
    }
