"""Pictures that are not clothing, to see what a search says to them (chapter 8)."""

from functools import partial

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image
from torch import Tensor

from fashionlib.drawn.backdrops import BACKDROPS, backdrop

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz     "))


def pictures_of_no_garment(count: int, seed: int, size: int = 160) -> dict[str, Tensor]:
    """Pictures without a garment, `count` of each kind: uint8 [count, 3, size, size] by name.

    Empty backdrops of the drawn catalog, pieces of a photograph of a temple and of one of a
    flower, printed pages, and noise.
    """
    rng = np.random.default_rng([seed, 5])
    kinds = {
        "empty backdrop": lambda rng, size: backdrop(
            str(rng.choice(list(BACKDROPS))), int(rng.integers(2**31)), size
        ),
        "temple": partial(_piece, name="china.jpg"),
        "flower": partial(_piece, name="flower.jpg"),
        "printed page": _page,
        "noise": lambda rng, size: rng.integers(0, 256, (size, size, 3)),
    }
    pictures = {}
    for name, make in kinds.items():
        pixels = np.stack([make(rng, size) for _ in range(count)])
        images = torch.from_numpy(np.clip(pixels, 0, 255).astype(np.uint8))
        pictures[name] = images.permute(0, 3, 1, 2).contiguous()
    return pictures


def _piece(rng: np.random.Generator, size: int, name: str) -> np.ndarray:
    """Of a photograph that comes with scikit-learn, so that nothing has to be fetched."""
    whole = Image.fromarray(load_sample_image(name))
    side = int(rng.uniform(0.4, 1.0) * min(whole.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in whole.size)
    return np.asarray(whole.crop((left, top, left + side, top + side)).resize((size, size)))


def _page(rng: np.random.Generator, size: int) -> np.ndarray:
    page = Image.new("RGB", (size, size), (245, 243, 238))
    draw = ImageDraw.Draw(page)
    for line in range(6, size - 8, 11):
        text = "".join(rng.choice(LETTERS, int(rng.integers(size // 12, size // 6))))
        draw.text((8, line), text, fill=(40, 40, 40))
    return np.asarray(page)
