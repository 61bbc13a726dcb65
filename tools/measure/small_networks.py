"""How good 33,039 parameters can be (chapter 9): `python tools/measure/small_networks.py`.

The article's network as printed, and one of no more parameters that has more and narrower blocks;
both trained for sixty epochs from scratch on the photos, by the same recipe. Writes
`pages/results/small.json`: pictures named right, each seed and network, and with the mean of a
picture's and its mirror image's logits. What is in the file already is not run again.
"""

import time
from dataclasses import asdict

import torch
from ablation import right
from recording import about_this_run, measured, write_results

from fashionlib.blocks import Plan
from fashionlib.catalog import load_catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import build_classifier
from fashionlib.training import Recipe, train_classifier

SEEDS = (0, 1, 2)
LIMIT = 33_039  # what the article's network has as printed
PLANS = {
    "narrow and deep": Plan(16, ((3, 16, 2, 2), (3, 24, 3, 2), (3, 28, 3, 2))),
    "the article's, as printed": "article",
}
# a network this small hardly learns by heart, so it is not made harder than for ten epochs
RECIPE = Recipe(epochs=60, size=128, evaluation_size=144, average=0.99)


def main() -> None:
    """Run what is missing, and save after each."""
    catalog = load_catalog("photos")
    for seed in SEEDS:
        for name, plan in PLANS.items():
            runs = measured("small", "runs")
            if any(old["network"] == name and old["seed"] == seed for old in runs):
                continue
            torch.manual_seed(seed)
            model = build_classifier(plan, len(catalog.classes))
            assert count_parameters(model) <= LIMIT, name
            started = time.process_time()
            model, history = train_classifier(model, catalog, RECIPE, seed)
            size = RECIPE.evaluation_size
            found = {
                "network": name,
                "seed": seed,
                "parameters": count_parameters(model),
                "macs": count_macs(model, size),
                "processor seconds": round(time.process_time() - started, 1),
                "right": {s: right(model, catalog.splits[s]) for s in ("validation", "test")},
                "validation accuracy": [round(row["validation_accuracy"], 4) for row in history],
            }
            print(found["network"], seed, found["right"], found["processor seconds"], flush=True)
            of = {name: len(split) for name, split in catalog.splits.items()}
            about = about_this_run(__file__, catalog) | {"recipe": asdict(RECIPE), "of": of}
            write_results("small", about | {"runs": [*runs, found]})


if __name__ == "__main__":
    main()
