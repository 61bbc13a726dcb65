"""Draw the searches that the README shows: `python tools/book/readme_picture.py`.

Garments that the library draws, since no photo is committed. Left a query, then its five results.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fashionlib.catalog import load_catalog
from fashionlib.inference import predict
from fashionlib.search import build_index
from fashionlib.weights import load_encoder, shipped

SIDE, GAP, RESULTS = 140, 6, 5
QUERIES = ("dress", "longsleeve", "shorts")  # the first test picture of each
TARGET = Path(__file__).resolve().parents[2] / "book" / "_static" / "searched.jpg"
MOST_BYTES = 100_000


def main() -> None:
    """One row for each query."""
    catalog = load_catalog("drawn", few=True)
    encoder, _ = load_encoder(shipped("encoder_drawn"))
    index = build_index(encoder, catalog.train.images, catalog.train.names)
    labels = [catalog.classes.index(name) for name in QUERIES]
    queries = torch.stack([catalog.test.images[catalog.test.labels == n][0] for n in labels])
    found = index.search(predict(encoder, queries), RESULTS).positions
    rows = [
        row(query, catalog.train.images[own]) for query, own in zip(queries, found, strict=True)
    ]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.save(TARGET, quality=85, optimize=True)
    size = TARGET.stat().st_size
    assert size < MOST_BYTES, f"{size} bytes: the README should open at once"
    print(TARGET, sheet.size, size)


def row(query: Tensor, results: Tensor) -> np.ndarray:
    """A query uint8 [3, H, W] and its results uint8 [N, 3, H, W] side by side, uint8 [h, w, 3]."""
    pictures = []
    for number, picture in enumerate((query, *results)):
        image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
        small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        gap = 4 * GAP if number == 0 else GAP  # the query stands apart
        pictures.append(np.pad(small, ((0, GAP), (0, gap), (0, 0)), constant_values=255))
    return np.concatenate(pictures, axis=1)


if __name__ == "__main__":
    main()
