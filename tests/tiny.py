"""Small catalogs and networks: enough to see that something is learned, exported, found."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from fashionlib import training
from fashionlib.blocks import MobileNetBackbone, Plan
from fashionlib.catalog import Catalog, Split
from fashionlib.catalog.contents import attributes_of
from fashionlib.detection import Answers
from fashionlib.drawn import SEVEN, drawn_pictures
from fashionlib.drawn.painting import COLOURS, PATTERNS
from fashionlib.heads import build_encoder
from fashionlib.look_encoder import LookEncoder
from fashionlib.transforms import Preparation, to_input


class Interrupted(Exception):
    """What a test stops a training with."""


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """The training inside takes so many steps, and is stopped in the next one."""
    taken, follow = [], training.set_learning_rate

    def counted(*arguments: object, **more: object) -> None:
        taken.append(1)
        if len(taken) > steps:
            raise Interrupted
        follow(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):  # noqa: PT012
        patch.setattr(training, "set_learning_rate", counted)
        yield


@contextmanager
def steps_watched() -> Iterator[list[bool]]:
    """Of each step of any optimizer: was it `train_epoch` that made it?"""
    inside, steps = [], []
    loop = training.train_epoch

    def watched(*arguments: object) -> float:
        inside.append(1)
        try:
            return loop(*arguments)
        finally:
            inside.pop()

    handle = register_optimizer_step_pre_hook(lambda *_: steps.append(bool(inside)))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "train_epoch", watched)
            yield steps
    finally:
        handle.remove()


def sized(model: nn.Module, size: int) -> nn.Module:
    """The network itself, which from now on prepares pictures at `size` pixels."""
    model.preparation = Preparation(size)
    return model


def drawn_split(count: int, seed: int) -> Split:
    """`count` garments of 48 px; each run of seven has one of every class."""
    images, garments = drawn_pictures(count, seed, 48)
    labels = torch.tensor([SEVEN.index(garment.category) for garment in garments])
    names = tuple(f"{seed}/{n}" for n in range(count))
    attributes = attributes_of(garments)
    return Split(torch.from_numpy(images), labels, names, attributes)


def tiny_catalog() -> Catalog:
    """96 pictures to train with, 40 to validate, 20 to test."""
    splits = {"train": drawn_split(96, 1), "validation": drawn_split(40, 2)}
    return Catalog("tiny", SEVEN, **splits, test=drawn_split(20, 3))


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Whether two modules hold the same tensors, to the last bit, under the same names."""
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def without_time(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Rows of a history but for the one figure that differs from run to run."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def save_garments(root: Path, count: int) -> None:
    """Class folders below `root`: of so many drawn garments, of 64 px, three classes of seven."""
    images, garments = drawn_pictures(count, 5, 64)
    for number, (image, garment) in enumerate(zip(images, garments, strict=True)):
        if garment.category in ("hat", "pants", "t-shirt"):
            place = root / garment.category / f"{number:03d}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(np.moveaxis(image, 0, -1)).save(place)


def striped_split(count: int, seed: int) -> Split:
    """Two classes, stripes across and stripes down, of any colours: colour tells nothing."""
    generator = torch.manual_seed(seed)
    colours = torch.randint(0, 256, (count, 2, 3, 1, 1), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    phase = torch.randint(0, 8, (count, 1, 1, 1), generator=generator)
    down, across = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    place = torch.where(labels.view(-1, 1, 1, 1) == 0, down, across)
    images = torch.where((place + phase) % 8 < 4, colours[:, 0], colours[:, 1])
    red = tuple("red" if more else "not red" for more in (colours[:, 0, 0] > 127).flatten())
    pattern = tuple("down" if label else "across" for label in labels)
    names = tuple(map(str, range(count)))
    return Split(images, labels, names, {"colour": red, "pattern": pattern})


def striped_catalog(train: int, validation: int, name: str = "stripes") -> Catalog:
    """So many pictures of stripes to train with and to validate with, and ten to test with."""
    splits = {"train": striped_split(train, 1), "validation": striped_split(validation, 2)}
    return Catalog(name, ("across", "down"), **splits, test=striped_split(10, 3))


def small_encoder(objective: str) -> nn.Module:
    """Untrained, of the kind that the objective takes, and the same each time."""
    torch.manual_seed(0)
    if objective in ("two-views", "looks"):
        return small_look_encoder()
    return sized(build_encoder("article", 16), 32)


COLOUR_NAMES = (*COLOURS, "not red")  # of the drawn catalog, and of the striped one
PATTERN_NAMES = (*PATTERNS, "across", "down")


def small_look_encoder() -> LookEncoder:
    """Untrained, with a name for every look of the catalogs here, and 8 numbers for the cut."""
    names = SEVEN, COLOUR_NAMES, PATTERN_NAMES
    dimensions = 8 + sum(map(len, names))
    return sized(LookEncoder(MobileNetBackbone("article"), names, dimensions), 32)


def tiny_encoder(seed: int = 0, size: int = 32) -> nn.Module:
    """Ready to embed: 16 dimensions, pictures of `size` pixels."""
    torch.manual_seed(seed)
    return sized(build_encoder("article", 16).eval(), size)


def noise(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Pictures of nothing: uint8 [count, 3, side, side]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def tiny_answers() -> tuple[Answers, Answers]:
    """Maps of noise with boxes: 30 to train a detection head with, 12 to validate."""
    torch.manual_seed(0)
    parts = [(torch.randn(n, 2, 4, 4), torch.arange(n) % 2, 0.2 + 0.3 * torch.rand(n, 4))
             for n in (30, 12)]  # fmt: skip
    return tuple(Answers(*part) for part in parts)


# what is exported
PLAN = Plan(8, ((2, 16, 2, 2),))  # small: exports in about a second
SIZE = 57  # the stem has 29 places, the last block 15: windows of unequal width
THREE_CLASSES = ("hat", "skirt", "é")


@cache
def drawn(count: int, side: int = 160) -> torch.Tensor:
    return torch.from_numpy(drawn_pictures(count, 7, side)[0])


def settled(model: nn.Module) -> nn.Module:
    """With norms that have seen pictures, and weights where new ones are 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.any():
            nn.init.normal_(layer.weight)
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0  # once is enough
    with torch.no_grad():
        model.train()(to_input(drawn(64), SIZE))
    return sized(model.eval(), SIZE)
