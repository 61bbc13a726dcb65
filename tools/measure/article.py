"""The article's training figures again, several seeds (chapter 5): `tools/measure/article.py`.

For each seed: its network as printed and with the missing argument, by its recipe, and ours by
ours, 10 epochs each; then 15 epochs of random triplets, with its margin and with a smaller one,
with embeddings of any length and of length 1 as we have them. (`as_printed.py` has the article's
block and its triplets to the letter.) Writes `pages/results/article.json`: every epoch's figures,
counts of right pictures, recipes, machine, versions and date. A seed that is in the file already is
not run again.

Ours by ours is trained in `ablation.py` too, as "as it is". Seeds 0 and 1 agree in every loss; seed
2 does not (238 and 242 photos right), because the ablation's ran on an Intel processor and this one
on an AMD: sums are rounded differently, and ten epochs make much of a last digit. On one kind of
processor all losses come again to the last digit.
"""

import copy
from collections import OrderedDict
from dataclasses import asdict, replace
from typing import Any

import torch
from recording import about_this_run, measured, processor, write_results
from torch import nn

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.counting import count_parameters
from fashionlib.heads import DIMENSIONS, build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct
from fashionlib.siamese import SiameseRecipe, encoder_from, train_siamese
from fashionlib.training import ARTICLE_RECIPE, Recipe, train_classifier

SEEDS = (0, 1, 2)
# plan and recipe: the article's two networks, and ours with the same budget of parameters
CLASSIFIERS = {
    "article": ARTICLE_RECIPE,
    "article-dense": ARTICLE_RECIPE,
    "fashion": Recipe(),
}
ARTICLE_TRIPLETS = SiameseRecipe(
    "random", epochs=15, size=64, evaluation_size=64, batch_size=32, margin=1.0
)
# recipe, and whether embeddings are brought to length 1
TRIPLETS = {
    "margin 1, any length": (ARTICLE_TRIPLETS, False),
    "margin 1, length 1": (ARTICLE_TRIPLETS, True),
    "margin 0.2, length 1": (replace(ARTICLE_TRIPLETS, margin=0.2), True),
}


def run(model: nn.Module, catalog: Catalog, recipe: Recipe, seed: int) -> tuple[nn.Module, dict]:
    """A trained classifier, and what it reached."""
    model, history = train_classifier(model, catalog, recipe, seed)
    right = {}
    for name in ("validation", "test"):
        split = catalog.splits[name]
        logits = predict(model, split.images)
        right[name] = [count_correct(logits, split.labels), len(split)]
    return model, {"parameters": count_parameters(model), "right": right, "history": history}


def plain_encoder(classifier: nn.Module) -> nn.Module:
    """A linear layer on the backbone, embeddings of any length."""
    backbone = copy.deepcopy(classifier.backbone)
    head = nn.Linear(backbone.features, DIMENSIONS)
    return nn.Sequential(OrderedDict(backbone=backbone, head=head))


def run_seed(catalog: Catalog, seed: int) -> dict[str, Any]:
    """All runs of one seed; the encoders start with the article's network as printed."""
    trained = {}
    found = {"seed": seed, "processor": processor(), "classifiers": {}, "triplets": {}}
    for plan, recipe in CLASSIFIERS.items():
        torch.manual_seed(seed)
        model = build_classifier(plan, len(catalog.classes))
        trained[plan], found["classifiers"][plan] = run(model, catalog, recipe, seed)
    for name, (recipe, unit) in TRIPLETS.items():
        torch.manual_seed(seed)
        encoder = (encoder_from if unit else plain_encoder)(trained["article"])
        _, found["triplets"][name] = train_siamese(encoder, catalog, recipe, seed)
    return found


def first_loss(catalog: Catalog) -> float:
    """Loss of the first epoch of the article's network: what the chapter runs again."""
    torch.manual_seed(0)
    model = build_classifier("article", len(catalog.classes))
    _, history = train_classifier(model, catalog, replace(ARTICLE_RECIPE, epochs=1), seed=0)
    return history[0]["loss"]


def main() -> None:
    """Run the seeds that are missing, and save after each."""
    runs = measured("article", "runs")
    missing = [seed for seed in SEEDS if seed not in [old["seed"] for old in runs]]
    if not missing:
        return
    catalog = load_catalog("photos")
    recipes = {
        "classifiers": {plan: asdict(recipe) for plan, recipe in CLASSIFIERS.items()},
        "triplets": {name: asdict(recipe) for name, (recipe, _) in TRIPLETS.items()},
    }
    controls = {
        f"{given.name}, {len(given.train)} pictures": first_loss(given)
        for given in (catalog, load_catalog("drawn"))
    }
    for seed in missing:
        runs.append(run_seed(catalog, seed))
        results = {"recipes": recipes, "controls": controls, "runs": runs}
        write_results("article", about_this_run(__file__, catalog) | results)


if __name__ == "__main__":
    main()
