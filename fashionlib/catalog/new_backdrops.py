"""Does a search follow the garment or what lies behind it? Measured on drawn garments (chapter 8).

Photos of one shop share a sheet or a hanger, so an encoder can find "the same class" by its
backdrop. A drawn garment can be put in front of another one, with every pixel of it kept.
"""

import numpy as np
import torch
from torch import Tensor

from fashionlib.catalog import Catalog, Split
from fashionlib.drawn import draw_pixels, on_backdrop
from fashionlib.errors import FashionError
from fashionlib.settings import progress_bar


def on_new_backdrops(catalog: Catalog, split: Split, seed: int) -> Tensor:
    """The garments of a drawn split in the same pose and light, each on a backdrop of its own.

    Returns uint8 [N, 3, size, size], of the split's size, in its order. Picture `i` depends on
    `seed` and `i`.

    Raises:
        FashionError: the catalog is not drawn; on a photo nobody knows which pixels are garment.
    """
    unknown = [name for name in split.names if name not in catalog.garments]
    if unknown:
        raise FashionError(f"{unknown[0]} is not drawn: only drawn garments can change backdrops.")
    size = split.images.shape[-1]
    pictures = []
    for place, name in enumerate(progress_bar(split.names, "drawing", "picture")):
        garment = on_backdrop(catalog.garments[name], seed * 1_000_003 + place)
        pictures.append(draw_pixels(garment, size))
    return torch.from_numpy(np.stack(pictures))


def kept_at_k(before: Tensor, after: Tensor, k: int) -> Tensor:
    """Share of the first k results that are still among the first k afterwards: float32 [Q].

    Both are rankings int64 [Q, N] of the same catalog for the same queries.
    """
    same = before[:, :k, None] == after[:, None, :k]
    return same.any(dim=2).float().mean(dim=1)
