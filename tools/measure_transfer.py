"""Transfer against scratch, several seeds: `python tools/measure_transfer.py` (chapter 3).

For each seed: a classifier, an encoder that starts with its backbone, and two encoders that start
from nothing, one for as many epochs and one for twice as many. Writes
`fashionlib/results/transfer.json`, which the chapter reads: every epoch's figures, the recipes, the
machine, versions and the date. A seed that is in the file already is not run again.
"""

import datetime
import json
import platform
from dataclasses import asdict, replace
from pathlib import Path

import torch

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.files import replacing
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.siamese import SiameseRecipe, encoder_from, train_siamese
from fashionlib.training import Recipe, train_classifier

RESULTS = Path(__file__).resolve().parents[1] / "fashionlib" / "results" / "transfer.json"
SEEDS = (0, 1, 2)
SIZE = 64
CLASSIFIER = Recipe(epochs=10, size=SIZE, evaluation_size=SIZE)
ENCODER = SiameseRecipe("batch-hard", epochs=15, size=SIZE, evaluation_size=SIZE, margin=0.3)


def run_seed(catalog: Catalog, seed: int) -> dict[str, list[dict[str, float]]]:
    """Histories by name: one row of figures for each epoch."""
    torch.manual_seed(seed)
    classifier = build_classifier("fashion", len(catalog.classes))
    classifier, learned = train_classifier(classifier, catalog, CLASSIFIER, seed)
    histories = {"classifier": learned}
    twice = replace(ENCODER, epochs=2 * ENCODER.epochs)
    for name, start, recipe in (
        ("transfer", classifier, ENCODER),
        ("scratch", None, ENCODER),
        ("scratch, twice as long", None, twice),
    ):
        torch.manual_seed(seed)
        encoder = encoder_from(start) if start else build_encoder("fashion")
        _, histories[name] = train_siamese(encoder, catalog, recipe, seed)
    return histories


def main() -> None:
    """Run the seeds that are missing, and save after each."""
    runs = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    catalog = load_catalog("photos")
    for seed in SEEDS:
        if any(run["seed"] == seed for run in runs):
            continue
        runs.append({"seed": seed, "histories": run_seed(catalog, seed)})
        about = {
            "made_by": "tools/measure_transfer.py",
            "catalog": catalog.name,
            "pictures": len(catalog.train),
            "classifier": asdict(CLASSIFIER),
            "encoder": asdict(ENCODER),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        }
        with replacing(RESULTS) as temporary:
            temporary.write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
