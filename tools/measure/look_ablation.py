"""How our encoder's recipe was found: `python tools/measure/look_ablation.py` (chapter 9).

Each trial trains an encoder from the shipped classifier on the photos, for a short time. The first
is the recipe that we had before; the others change it. Writes
`pages/results/look_ablation.json`: for each trial and seed what is right among the five nearest of
the validation pictures. The test pictures are not looked at.
What is in the file already is not run again; `... 0 2` keeps to seeds 0 and 2.
"""

import sys
from dataclasses import asdict, replace
from typing import Any

import torch
from recording import about_this_run, measured, write_results
from torch import Tensor
from torchvision.transforms import v2

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.inference import predict
from fashionlib.retrieval import agreement_at_k, labelled, ranking
from fashionlib.siamese import RECIPE, SiameseRecipe, encoder_for, train_siamese
from fashionlib.transforms import AUGMENTATIONS, cropped
from fashionlib.weights import load_classifier, shipped

SEEDS = (0, 1, 2)


def other_light(image: Tensor) -> Tensor:
    """A picture uint8 [3, H, W] as it might look in other light: brightness, white balance."""
    gains = 1 + 0.12 * torch.randn(1, 1, 1) + 0.06 * torch.randn(3, 1, 1)
    return (image * gains).clamp(0, 255).byte()


def in_other_light(size: int) -> v2.Transform:
    """An augmentation, as those of the library: crops, in other light."""
    return cropped(size, 0.4, v2.Lambda(other_light))


BASE = replace(RECIPE, epochs=6, augmentation="other light")
TRIALS = {
    "as it was": BASE,
    "looks half as heavy": replace(BASE, look_weight=0.5),
    "other edges in half of the batches": replace(BASE, swap=0.5),
    "128 px": replace(BASE, size=128, evaluation_size=144),
    "no change of light": replace(BASE, augmentation="views"),
    "no change of light, twice as long": replace(BASE, augmentation="views", epochs=12),
    "two views instead of names": replace(
        BASE, objective="two-views", augmentation="views", swap=1.0
    ),
}


def run(recipe: SiameseRecipe, seed: int, catalog: Catalog) -> dict[str, float]:
    """Shares of five results that are right, of an encoder trained so."""
    classifier, _ = load_classifier(shipped("classifier_photos"))
    torch.manual_seed(seed)
    encoder = encoder_for(recipe.objective, catalog, classifier)
    encoder, _ = train_siamese(encoder, catalog, recipe, seed)
    queries, train = labelled(catalog.validation), catalog.train
    order = ranking(predict(encoder, queries.images), predict(encoder, train.images))
    agreement = agreement_at_k(order, queries, train, 5)
    return {name: round(float(values.mean()), 4) for name, values in agreement.items()}


def missing(runs: list[dict[str, Any]], seeds: list[int]) -> list[tuple[str, int]]:
    """Trials and seeds that have not been run."""
    done = {(run["trial"], run["seed"]) for run in runs}
    return [(name, seed) for seed in seeds for name in TRIALS if (name, seed) not in done]


def main() -> None:
    """Run what is missing, and save after each."""
    AUGMENTATIONS["other light"] = in_other_light
    catalog = load_catalog("photos")
    seeds = [int(given) for given in sys.argv[1:]] or list(SEEDS)
    for name, seed in missing(measured("look_ablation", "runs"), seeds):
        right = run(TRIALS[name], seed, catalog)
        print(name, seed, right, flush=True)
        runs = [*measured("look_ablation", "runs"), {"trial": name, "seed": seed, "right": right}]
        runs.sort(key=lambda run: (list(TRIALS).index(run["trial"]), run["seed"]))
        recipes = {name: asdict(recipe) for name, recipe in TRIALS.items()}
        about = about_this_run(__file__, catalog)
        of = len(labelled(catalog.validation))
        write_results("look_ablation", about | {"recipes": recipes, "queries": of, "runs": runs})


if __name__ == "__main__":
    main()
