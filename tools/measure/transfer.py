"""Transfer against scratch, several seeds: `python tools/measure/transfer.py` (chapter 3).

For each seed: a classifier, an encoder that starts with its backbone, and two encoders that start
from nothing, one for as many epochs and one for twice as many. Writes
`pages/results/transfer.json`, which the chapter reads: every epoch's figures, the recipes, the
machine, versions and the date. A seed that is in the file already is not run again.
"""

from dataclasses import asdict, replace

import torch
from recording import about_this_run, measured, write_results

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.heads import build_classifier
from fashionlib.siamese import SiameseRecipe, encoder_for, train_siamese
from fashionlib.training import Recipe, train_classifier

SEEDS = (0, 1, 2)
SIZE = 64
CLASSIFIER = Recipe(epochs=10, size=SIZE, evaluation_size=SIZE)
# batch-hard would collapse from scratch, and the comparison with it
ENCODER = SiameseRecipe("all", epochs=15, size=SIZE, evaluation_size=SIZE, margin=0.2)


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
        encoder = encoder_for(recipe.objective, catalog, start)
        _, histories[name] = train_siamese(encoder, catalog, recipe, seed)
    return histories


def main() -> None:
    """Run the seeds that are missing, and save after each."""
    runs = measured("transfer", "runs")
    catalog = load_catalog("photos")
    recipes = {"classifier": asdict(CLASSIFIER), "encoder": asdict(ENCODER)}
    for seed in SEEDS:
        if any(run["seed"] == seed for run in runs):
            continue
        runs.append({"seed": seed, "histories": run_seed(catalog, seed)})
        write_results("transfer", about_this_run(__file__, catalog) | recipes | {"runs": runs})


if __name__ == "__main__":
    main()
