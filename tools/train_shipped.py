"""Train the weights that come with the library: `python tools/train_shipped.py photos|drawn`.

Seeded, and resumable like every training here: interrupted, the same command goes on. Writes
fashionlib/shipped/classifier_<catalog>.safetensors, with the figures of its model card inside.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from fashionlib.backbone import PLANS
from fashionlib.catalog import load_catalog
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct, format_accuracy
from fashionlib.training import LONG_RECIPE, train_classifier
from fashionlib.weights import save_classifier

SHIPPED = Path(__file__).resolve().parents[1] / "fashionlib" / "shipped"
SEED = 0


def main(name: str) -> None:
    """Train, report, save."""
    catalog = load_catalog(name)
    torch.manual_seed(SEED)
    model = build_classifier("fashion", len(catalog.classes))
    checkpoint = Path("runs") / f"shipped_{name}.checkpoint.safetensors"
    average, history = train_classifier(model, catalog, LONG_RECIPE, SEED, checkpoint)
    figures = {}
    for split in ("validation", "test"):
        part = catalog.splits[split]
        logits = predict(average, part.images, LONG_RECIPE.evaluation_size)
        figures[split] = [count_correct(logits, part.labels), len(part)]
        print(f"{split:<10} {format_accuracy(*figures[split])}")
    more = {"catalog": name, "recipe": asdict(LONG_RECIPE), "seed": SEED, "correct": figures}
    path = SHIPPED / f"classifier_{name}.safetensors"
    size = LONG_RECIPE.evaluation_size
    save_classifier(path, average, PLANS["fashion"], catalog.classes, size, **more)
    print(f"{path}: {path.stat().st_size:,} bytes, {sum(row['seconds'] for row in history):.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
