"""Draw the contact sheet that the README shows: `python tools/book/readme_picture.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

from fashionlib.drawn import SEVEN, drawn_pictures

ACROSS, SIDE = 10, 112
TARGET = Path(__file__).resolve().parents[2] / "book" / "_static" / "drawn_catalog.jpg"


def main() -> None:
    """One row for each class, ten garments each."""
    images, garments = drawn_pictures(ACROSS * len(SEVEN), seed=11, size=SIDE)
    categories = np.array([garment.category for garment in garments])
    rows = [np.concatenate(list(images[categories == name]), axis=2) for name in SEVEN]
    sheet = np.moveaxis(np.concatenate(rows, axis=1), 0, -1)
    Image.fromarray(sheet).save(TARGET, quality=88)
    print(TARGET, sheet.shape)


if __name__ == "__main__":
    main()
