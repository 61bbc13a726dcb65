"""Training photos whose label is in doubt (chapter 9): `python tools/measure/doubted_labels.py`.

The training photos are dealt into five parts. Five networks train by the recipe of chapter 2,
each on four parts, and each judges the fifth, which it has never seen. Writes
`pages/results/labels.json`: names of the photos in doubt, the surest first, with their
label and what they might be. The validation and test photos are not looked at.
"""

from dataclasses import asdict, replace

import torch
from recording import about_this_run, write_results
from torch import Tensor

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct
from fashionlib.pages.doubted_labels import doubted, parts
from fashionlib.training import Recipe, train_classifier

PARTS, SEED = 5, 0
RECIPE = Recipe()


def judged_by_others(catalog: Catalog, recipe: Recipe) -> Tensor:
    """Probabilities float [N, C] for each training picture, by networks that have not seen it."""
    train = catalog.train
    found = torch.empty(len(train), len(catalog.classes))
    held = parts(len(train), PARTS, SEED)
    for number, out in enumerate(held):
        rest = torch.cat([part for other, part in enumerate(held) if other != number])
        torch.manual_seed(SEED)
        network = build_classifier("fashion", len(catalog.classes))
        fold = replace(catalog, train=train.at(rest), validation=train.at(out))
        network, history = train_classifier(network, fold, recipe, SEED)
        found[out] = predict(network, fold.validation.images).softmax(1)
        print(f"part {number + 1} of {PARTS}: {history[-1]['validation_accuracy']:.1%}", flush=True)
    return found


def main() -> None:
    """Judge, and write down what is in doubt."""
    catalog = load_catalog("photos")
    train = catalog.train
    probabilities = judged_by_others(catalog, RECIPE)
    places, answers = doubted(probabilities, train.labels)
    rows = [
        {
            "name": train.names[place],
            "label": catalog.classes[train.labels[place]],
            "answer": catalog.classes[answer],
            "probability of the answer": round(float(probabilities[place, answer]), 3),
            "of the label": round(float(probabilities[place, train.labels[place]]), 3),
        }
        for place, answer in zip(places.tolist(), answers.tolist(), strict=True)
    ]
    about = about_this_run(__file__, catalog)
    found = {"parts": PARTS, "seed": SEED, "recipe": asdict(RECIPE)}
    found["right"] = count_correct(probabilities, train.labels)
    write_results("labels", about | found | {"doubted": rows})


if __name__ == "__main__":
    main()
