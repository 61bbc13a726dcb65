"""Scenes with a known box: one drawn garment, somewhere, at some size, on a larger backdrop.

A detector has to say what is in a picture and where. In the catalogs the garment fills the
picture, and nobody has marked where it ends; a garment that we place ourselves has an exact box.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.ops import box_convert, masks_to_boxes

from fashionlib.drawn import SEVEN, Garment, on_backdrop, render, sample_garment
from fashionlib.drawn.backdrops import backdrop, shifted
from fashionlib.errors import FashionError
from fashionlib.settings import progress_bar

SCENE_SEEDS = {"train": 11, "validation": 12, "test": 13}
LONG_SIDE = (0.3, 0.8)  # of the garment, as a share of the scene's side

# Garments are drawn at this side and then made smaller: the rim comes out smooth, and the noise
# of their own picture is averaged away, so that it does not tell where they are
_FINE = 224


@dataclass(frozen=True, eq=False)
class Scenes:
    """N scenes of one garment each, and where it is."""

    images: Tensor  # uint8 [N, 3, size, size]
    labels: Tensor  # int64 [N], positions in `drawn.SEVEN`
    boxes: Tensor  # float32 [N, 4]: centre x, centre y, width, height, in shares of the side
    garments: tuple[Garment, ...]  # each as laid out: its backdrop is the scene's

    def __len__(self) -> int:
        return len(self.garments)


def draw_scenes(count: int, seed: int, layouts: int = 1, size: int = 144) -> Scenes:
    """Draw `count` garments and lay each out `layouts` times: count · layouts scenes.

    Each layout has its own place, size and backdrop. Each run of seven garments has one of every
    class. A garment's scenes depend only on `seed`, `layouts`, `size` and its number: more garments
    start with the fewer. The chapter takes its seeds from `SCENE_SEEDS`.

    Raises:
        FashionError: `count` or `layouts` is below 1, or `size` below 64.
    """
    if min(count, layouts) < 1 or size < 64:
        raise FashionError("draw at least 1 garment and 1 layout, in scenes of at least 64 pixels.")
    images, boxes, garments = [], [], []
    for i in progress_bar(range(count), "drawing", "garment"):
        rng = np.random.default_rng([seed, 6, i])
        garment, cut = _whole_garment(rng, SEVEN[i % len(SEVEN)])
        for _ in range(layouts):
            laid = on_backdrop(garment, int(rng.integers(2**31)))
            scene, mask = _laid_out(rng, cut, laid, size)
            images.append(torch.from_numpy(scene.transpose(2, 0, 1).copy()))
            boxes.append(_box(mask))
            garments.append(laid)
    labels = torch.tensor([SEVEN.index(garment.category) for garment in garments])
    return Scenes(torch.stack(images), labels, torch.stack(boxes), tuple(garments))


def _whole_garment(rng: np.random.Generator, category: str) -> tuple[Garment, Image.Image]:
    """A garment of a class that its own picture does not cut off, and it alone, RGBA."""
    while True:
        garment = sample_garment(rng, category)
        rendering = render(garment, _FINE)
        left, top, right, bottom = rendering.box
        if min(left, top) > 0 and max(right, bottom) < _FINE:
            mask = Image.fromarray(rendering.mask.astype(np.uint8) * 255)
            mask = mask.filter(ImageFilter.MinFilter(3))  # at the rim the wall mixes in
            cut = rendering.picture
            cut.putalpha(mask)
            return garment, cut.crop(mask.getbbox())


def _laid_out(
    rng: np.random.Generator, cut: Image.Image, garment: Garment, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The garment, whole, on its backdrop: uint8 [size, size, 3], and its pixels, bool."""
    scale = rng.uniform(*LONG_SIDE) * size / max(cut.size)
    cut = cut.resize([max(2, round(scale * n)) for n in cut.size], Image.Resampling.BILINEAR)
    layer = Image.new("RGBA", (size, size))
    layer.paste(cut, [int(rng.integers(0, size - n + 1)) for n in cut.size])
    cover = layer.getchannel("A")
    shadow = shifted(cover.filter(ImageFilter.GaussianBlur(size / 64)), 0, size // 64)
    scene = backdrop(garment.backdrop, garment.backdrop_seed, size)
    scene = scene * (1 - rng.uniform(0.2, 0.5) * _share(shadow))
    scene += (np.asarray(layer.convert("RGB"), np.float32) - scene) * _share(cover)
    scene *= rng.uniform(0.87, 1.06)
    scene += rng.standard_normal(scene.shape, np.float32) * rng.uniform(1, 5)
    return np.clip(scene, 0, 255).astype(np.uint8), np.asarray(cover) > 127


def _share(channel: Image.Image) -> np.ndarray:
    return np.asarray(channel, np.float32)[..., None] / 255


def _box(mask: np.ndarray) -> Tensor:
    """Of a mask's pixels, as in `Scenes.boxes`: float32 [4]."""
    corners = masks_to_boxes(torch.from_numpy(mask)[None])[0]
    corners[2:] += 1  # of the last pixels, the far edges
    return box_convert(corners / len(mask), "xyxy", "cxcywh")
