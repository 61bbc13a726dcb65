"""Drawings look as they did when all that is said of them was measured.

`known_pictures.png` has 84 garments of the drawn catalog and 14 scenes, 12×12 pixels each. Who
changes a drawing on purpose makes it anew (`python tests/drawn/test_known_pictures.py`), looks at
it, and measures again: shipped weights, recorded results, and the text about them.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from fashionlib.catalog import loading
from fashionlib.drawn import drawn_pictures
from fashionlib.drawn.scenes import SCENE_SEEDS, draw_scenes

KNOWN = Path(__file__).with_name("known_pictures.png")
ROWS, COLUMNS, SIDE = 7, 14, 12


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Means of squares: float [N, SIDE, SIDE, 3] of uint8 [N, 3, side, side]."""
    square = pictures.shape[-1] // SIDE
    parts = pictures.reshape(-1, 3, SIDE, square, SIDE, square)
    return parts.mean(axis=(3, 5)).transpose(0, 2, 3, 1)


def sheet() -> np.ndarray:
    garments, _ = drawn_pictures(84, loading.SEEDS["train"], 4 * SIDE)
    scenes = draw_scenes(2, SCENE_SEEDS["train"], layouts=7, size=6 * SIDE).images.numpy()
    small = np.concatenate([thumbnails(garments), thumbnails(scenes)])
    rows = small.reshape(ROWS, COLUMNS, SIDE, SIDE, 3).swapaxes(1, 2)
    return rows.reshape(ROWS * SIDE, COLUMNS * SIDE, 3)


def test_drawings_are_those_that_were_measured():
    """The oldest numpy and Pillow that we take differ by 2 levels of 255 from those of 2026."""
    gaps = np.abs(sheet() - np.asarray(Image.open(KNOWN)))
    gaps = gaps.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).max(axis=(1, 3, 4))
    assert gaps.max() < 5, f"rows and columns of others: {np.argwhere(gaps >= 5).tolist()}"


if __name__ == "__main__":
    Image.fromarray(sheet().round().astype(np.uint8)).save(KNOWN)
