"""A catalog of a few small drawn garments: enough to see that something is learned."""

import torch

from fashionlib.catalog import Catalog, Split
from fashionlib.drawn import CLASSES, drawn_pictures


class Interrupted(Exception):
    """What a test stops a training with."""


def drawn_split(count: int, seed: int) -> Split:
    """`count` garments of 48 px; each run of seven has one of every class."""
    images, garments = drawn_pictures(count, seed, 48)
    labels = torch.tensor([CLASSES.index(garment.category) for garment in garments])
    names = tuple(f"{seed}/{n}" for n in range(count))
    attributes = {"colour": tuple(garment.colour for garment in garments)}
    return Split(torch.from_numpy(images), labels, names, attributes)


def tiny_catalog() -> Catalog:
    """96 pictures to train with, 40 to validate, 20 to test."""
    splits = {"train": drawn_split(96, 1), "validation": drawn_split(40, 2)}
    return Catalog("tiny", CLASSES, **splits, test=drawn_split(20, 3))


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Whether two modules hold the same tensors, to the last bit, under the same names."""
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def without_time(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Rows of a history but for the one figure that differs from run to run."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]
