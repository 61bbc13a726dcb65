"""Category, colour and pattern among the five nearest: `python tools/measure/looks.py` (chapter 3).

On the drawn catalog, where looks have exact labels, so also for a book made with photos: encoders
by every objective, all from the shipped classifier, measured on the test pictures. Writes
`pages/results/looks.json`.
"""

from dataclasses import asdict, replace

import torch
from recording import about_this_run, write_results
from torch import nn

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.inference import predict
from fashionlib.pages.depths import Features
from fashionlib.retrieval import agreement_at_k, ranking, score
from fashionlib.siamese import SiameseRecipe, encoder_for, train_siamese
from fashionlib.weights import load_classifier, shipped

BASE = SiameseRecipe(epochs=4, size=96, evaluation_size=112, margin=0.3)
RECIPES = {
    "random triplets": replace(BASE, objective="random", margin=1.0, batch_size=32),
    "semi-hard": replace(BASE, objective="semi-hard", margin=0.2),
    "batch-hard": replace(BASE, objective="batch-hard"),
    "look": replace(BASE, objective="look", margin=1.0),
    "colour": replace(BASE, objective="colour", margin=1.0, look_margin=0.5),
}


def measure(encoder: nn.Module, catalog: Catalog) -> dict[str, dict[str, float]]:
    """Agreement at 5 of the test pictures with the training pictures, with its interval."""
    test, train = catalog.test, catalog.train
    order = ranking(predict(encoder, test.images), predict(encoder, train.images))
    agreement = agreement_at_k(order, test, train, 5)
    return {name: asdict(score(agreement[name])) for name in ("category", "colour", "pattern")}


def main() -> None:
    """Train and measure them all."""
    catalog = load_catalog("drawn")
    classifier, _ = load_classifier(shipped("classifier_drawn"))
    rows = {"classifier features": measure(Features(classifier), catalog)}
    for name, recipe in RECIPES.items():
        torch.manual_seed(0)
        encoder = encoder_for(recipe.objective, classifier)
        encoder, _ = train_siamese(encoder, catalog, recipe)
        rows[name] = measure(encoder, catalog)
        print(name, rows[name], flush=True)
    recipes = {name: asdict(recipe) for name, recipe in RECIPES.items()}
    write_results("looks", about_this_run(__file__, catalog) | {"recipes": recipes, "rows": rows})


if __name__ == "__main__":
    main()
