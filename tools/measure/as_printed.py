"""The article's code to the letter (chapter 5): `python tools/measure/as_printed.py`.

Its block ends in a ReLU after the sum, and has ReLU where ours has ReLU6. Four networks, which
differ in one thing each: a linear end as in the MobileNetV2 paper; a ReLU after the sum; ReLU
everywhere too, which is the article's block; and that without `groups`. Ten epochs by its recipe.
The last two then go on as its triplet example does: pooled features as embeddings, random triplets
of margin 1, and the backbone *shared* with the classifier, not copied. What the article leaves out
(64 pixels, flips, ten degrees, Adam with 0.001, then 0.0001) is as in the repository that holds it,
https://github.com/niranjanaambadi/Fashion_search_engine at 65facdb.

Writes `pages/results/as_printed.json`: validation pictures named right, before and after the
triplets, and every epoch's figures. The test pictures are not looked at. What is in the file
already is not run again. The first network is that of `article.json`, and on one kind of processor
its losses are the same to the last digit.
"""

from collections import OrderedDict
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from recording import about_this_run, measured, processor, write_results
from torch import nn

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.counting import count_parameters
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct
from fashionlib.siamese import SiameseRecipe, evaluate_encoder, train_siamese
from fashionlib.training import ARTICLE_RECIPE, train_classifier

SEEDS = (0, 1, 2)
TRIPLETS = SiameseRecipe(
    "random", epochs=15, size=64, evaluation_size=64, batch_size=32, learning_rate=1e-4,
    weight_decay=0.0, average=0.0, augmentation="article", schedule="constant", margin=1.0,
)  # fmt: skip


class Network(NamedTuple):
    """What one of the four is made of."""

    plan: str = "article"
    relu_after_sum: bool = True
    relu6: bool = False
    triplets: bool = True


NETWORKS = {
    "linear end": Network(relu_after_sum=False, relu6=True, triplets=False),
    "ReLU after the sum": Network(relu6=True, triplets=False),
    "to the letter": Network(),
    "to the letter, without groups": Network("article-dense"),
}


def build(kind: Network, classes: int) -> nn.Sequential:
    """A classifier of that kind; weights begin as those of its plan do."""
    model = build_classifier(kind.plan, classes)
    stem, *blocks = model.backbone.blocks
    if kind.relu_after_sum:
        blocks = [nn.Sequential(block, nn.ReLU()) for block in blocks]
    model.backbone.blocks = nn.Sequential(stem, *blocks)
    for module in [] if kind.relu6 else list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.ReLU(inplace=True))
    return model


def right(model: nn.Module, catalog: Catalog) -> int:
    """Validation pictures named right."""
    return count_correct(predict(model, catalog.validation.images), catalog.validation.labels)


def run(name: str, seed: int, catalog: Catalog) -> dict[str, Any]:
    """One network with one seed."""
    kind = NETWORKS[name]
    torch.manual_seed(seed)
    model = build(kind, len(catalog.classes))
    parameters = count_parameters(model)
    model, history = train_classifier(model, catalog, ARTICLE_RECIPE, seed)
    found = {
        "network": name,
        "seed": seed,
        "parameters": parameters,
        "processor": processor(),
        "right": right(model, catalog),
        "losses": [round(row["loss"], 4) for row in history],
    }
    return found | (triplets(model, catalog, seed) if kind.triplets else {})


def triplets(model: nn.Sequential, catalog: Catalog, seed: int) -> dict[str, Any]:
    """The search trained on the classifier's own backbone, and what that leaves of the classifier.

    Steps with Adam at 0.0001; of no average and no weight decay AdamW is Adam.
    """
    encoder = nn.Sequential(OrderedDict(backbone=model.backbone))
    encoder.preparation = model.preparation
    before = evaluate_encoder(encoder, catalog)
    _, history = train_siamese(encoder, catalog, TRIPLETS, seed)
    keys = ("loss", "active", "precision@5", "mAP")
    rows = [{key: round(row[key], 4) for key in keys} for row in history]
    return {
        "precision@5 before": round(before["precision@5"], 4),
        "triplets": rows,
        "right after triplets": right(model, catalog),
    }


def main() -> None:
    """Run what is missing, and save after each."""
    catalog = load_catalog("photos")
    recipes = {"classifier": asdict(ARTICLE_RECIPE), "triplets": asdict(TRIPLETS)}
    for seed in SEEDS:
        for name in NETWORKS:
            runs = measured("as_printed", "runs")
            if any(old["network"] == name and old["seed"] == seed for old in runs):
                continue
            found = run(name, seed, catalog)
            print(name, seed, found["right"], found.get("right after triplets"), flush=True)
            about = about_this_run(__file__, catalog)
            of = len(catalog.validation)
            results = {"recipes": recipes, "validation": of, "runs": [*runs, found]}
            write_results("as_printed", about | results)


if __name__ == "__main__":
    main()
