"""Networks of torchvision trained like ours (chapter 5): `python tools/measure/rivals.py`.

From scratch, on the same photos, by the recipe of chapter 2, 10 epochs. Writes
`pages/results/rivals.json`: counts of right pictures and seconds, each seed and network. What
is in the file already is not run again.
"""

from dataclasses import asdict

import torch
from article import run
from latency import NETWORKS
from recording import about_this_run, measured, write_results

from fashionlib.catalog import load_catalog
from fashionlib.training import Recipe

TRAINED = ("MobileNetV3-small", "ResNet-18")
SEEDS = (0, 1, 2)
RECIPE = Recipe()


def main() -> None:
    """Run what is missing, and save after each."""
    runs = measured("rivals", "runs")
    catalog = load_catalog("photos")
    for seed in SEEDS:
        for name in TRAINED:
            if any(old["network"] == name and old["seed"] == seed for old in runs):
                continue
            torch.manual_seed(seed)
            _, found = run(NETWORKS[name](), catalog, RECIPE, seed)
            runs.append({"network": name, "seed": seed} | found)
            about = about_this_run(__file__, catalog)
            write_results("rivals", about | {"recipe": asdict(RECIPE), "runs": runs})


if __name__ == "__main__":
    main()
