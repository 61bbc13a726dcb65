"""All ten classes of the photos, from scratch (chapter 9): `python tools/measure/ten_classes.py`.

The network of chapter 2 with ten answers, by the recipe of `small_networks.py`, sixty epochs a
seed. Writes `pages/results/ten_classes.json`: for each seed the pictures named right, as they
are and with the mean of a picture's and its mirror image's logits; the test pictures of each class
named right; and what is right among the pictures of the seven classes of the book when only those
seven are asked about. An interrupted run goes on where it was; what is in the file already is not
run again, `... 0` keeps to seed 0.
"""

import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from ablation import right
from recording import about_this_run, measured, processor, write_results
from small_networks import RECIPE
from torch import Tensor

from fashionlib.catalog import SEVEN, Catalog, load_catalog
from fashionlib.catalog.photos import PHOTO_CLASSES
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import confusion_matrix, count_correct
from fashionlib.running.runs import run_training
from fashionlib.training import classifier_training
from fashionlib.weights import save_classifier

TEN = (*SEVEN, *(name for name in PHOTO_CLASSES if name not in SEVEN))  # the seven come first
SEEDS = (0, 1, 2)


def seven_of_ten(logits: Tensor, labels: Tensor) -> list[int]:
    """[right, of how many]: pictures of the first seven classes, asked about those alone."""
    known = labels < len(SEVEN)
    return [count_correct(logits[known, : len(SEVEN)], labels[known]), int(known.sum())]


def kept(seed: int) -> Path:
    """Where the network of a seed stays; not shipped."""
    return Path("runs") / f"ten_classes_{seed}.safetensors"


def run_seed(catalog: Catalog, seed: int) -> dict:
    """One seed; the network is kept."""
    torch.manual_seed(seed)
    model = build_classifier("fashion", len(catalog.classes))
    started = time.process_time()
    checkpoint = kept(seed).with_suffix(".checkpoint.safetensors")
    model, history = run_training(classifier_training(model, catalog, RECIPE, seed), checkpoint)
    seconds = time.process_time() - started
    save_classifier(kept(seed), model, catalog.classes)
    judged = {name: catalog.splits[name] for name in ("validation", "test")}
    logits = {name: predict(model, split.images) for name, split in judged.items()}
    answers = logits["test"].argmax(dim=1)
    counts = confusion_matrix(answers, catalog.test.labels, len(catalog.classes))
    return {
        "seed": seed,
        "parameters": count_parameters(model),
        "macs": count_macs(model, RECIPE.evaluation_size),
        "processor": processor(),
        "processor seconds": round(seconds, 1),
        "right": {name: right(model, split) for name, split in judged.items()},
        "seven of ten": {
            name: seven_of_ten(logits[name], split.labels) for name, split in judged.items()
        },
        "test right": dict(zip(catalog.classes, counts.diagonal().tolist(), strict=True)),
        "validation accuracy": [round(row["validation_accuracy"], 4) for row in history],
    }


def main() -> None:
    """Run what is missing, and save after each."""
    catalog = load_catalog("photos", classes=TEN)
    of = {name: len(split) for name, split in catalog.splits.items()}
    test = catalog.test.labels.bincount(minlength=len(TEN)).tolist()
    for seed in [int(given) for given in sys.argv[1:]] or SEEDS:
        if any(old["seed"] == seed for old in measured("ten_classes", "runs")):
            continue
        found = run_seed(catalog, seed)
        print(seed, found["right"], found["seven of ten"], found["processor seconds"], flush=True)
        runs = [*measured("ten_classes", "runs"), found]  # read again: another may have written
        about = about_this_run(__file__, catalog) | {"recipe": asdict(RECIPE), "of": of}
        about |= {"classes": dict(zip(TEN, test, strict=True))}
        write_results("ten_classes", about | {"runs": sorted(runs, key=lambda run: run["seed"])})


if __name__ == "__main__":
    main()
