"""Does a change of code change what is computed? `python tools/measure/weight_hashes.py > after`.

Prints a hash of the weights after each of several short trainings, on one thread and on two: the
classifier, with mixup, each objective of chapter 3, a teacher, the detection head; and the same
when it was stopped after an epoch and went on. Run it before and after a change, on one machine,
and compare the two: `PYTHONPATH=/the/other/checkout python tools/measure/weight_hashes.py`. It
finds what it calls by name, wherever in the library that stands.
"""

import hashlib
import importlib
import inspect
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import torch
from torch import nn
from torchvision.transforms import v2

import fashionlib


def find(name: str) -> Any:
    """The function or class of that name, from the module of the library that defines it."""
    for module in pkgutil.walk_packages(fashionlib.__path__, "fashionlib."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        thing = vars(loaded).get(name)
        if thing is not None and getattr(thing, "__module__", module.name) == module.name:
            return thing
    raise LookupError(name)


def weights_hash(model: nn.Module) -> str:
    """Of all parameters and running statistics, with their names."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def small_catalog() -> Any:
    """Drawn garments of 48 pixels: 112 to train with, 42 to validate with."""
    catalog_type, split_type, classes = find("Catalog"), find("Split"), find("SEVEN")
    splits = {}
    for seed, (name, count) in enumerate({"train": 112, "validation": 42, "test": 14}.items(), 1):
        images, garments = find("drawn_pictures")(count, seed, 48)
        labels = torch.tensor([classes.index(garment.category) for garment in garments])
        names = tuple(f"{name}/{n}" for n in range(count))
        attributes = {"colour": tuple(garment.colour for garment in garments)}
        splits[name] = split_type(torch.from_numpy(images), labels, names, attributes)
    return catalog_type("tiny", classes, **splits)


def classifier(taught: bool = False, mixup: float = 0.0, **changes: Any) -> Callable:
    """A training of a classifier, with a teacher or without."""

    def run(checkpoint: Path | None) -> nn.Module:
        torch.manual_seed(1)
        teachers = [find("build_classifier")("article").eval()] if taught else []
        model = find("build_classifier")("fashion")
        recipe = find("Recipe")(epochs=2, size=40, evaluation_size=48, **changes)
        if hasattr(recipe, "mixup"):  # until f519cf9, all in one loop
            recipe = replace(recipe, mixup=mixup)
            if taught:
                return find("distil_classifier")(model, teachers, CATALOG, recipe, 3, checkpoint)[0]
            return find("train_classifier")(model, CATALOG, recipe, 3, checkpoint)[0]
        training = find("classifier_training")(model, CATALOG, recipe, 3)
        if mixup:
            find("change_batches")(training, "mixup", v2.MixUp(alpha=mixup, num_classes=7))
        if taught:
            find("learn_from")(training, teachers)
        return find("run_training")(training, checkpoint)[0]

    return run


def encoder(objective: str) -> Callable:
    """A training of an encoder, on the backbone of an untrained classifier."""

    def run(checkpoint: Path | None) -> nn.Module:
        torch.manual_seed(2)
        start = find("encoder_for")(objective, find("build_classifier")("fashion"))
        recipe = find("SiameseRecipe")(
            objective, epochs=2, size=40, evaluation_size=48, batch_size=28, margin=0.5
        )
        train = find("train_siamese")
        if "checkpoint" in inspect.signature(train).parameters:  # until f519cf9
            return train(start, CATALOG, recipe, 3, checkpoint)[0]
        return find("run_training")(
            find("siamese_training")(start, CATALOG, recipe, 3), checkpoint
        )[0]

    return run


def detection_head(_: None) -> nn.Module:
    """A training of a detection head over maps of random numbers."""
    torch.manual_seed(4)
    answers = find("Answers")
    data = [
        answers(torch.randn(n, 24, 6, 6), torch.randint(7, (n,)), 0.3 + 0.2 * torch.rand(n, 4))
        for n in (70, 30)
    ]
    head = find("DetectionHead")(24, 7)
    return find("train_head")(head, *data, find("DetectionRecipe")(epochs=2), 3)[0]


TRAININGS: dict[str, Callable] = {
    "classifier": classifier(),
    "classifier, article's augmentation": classifier(augmentation="article"),
    "classifier, mixup and strong": classifier(augmentation="strong", mixup=0.2),
    "distillation": classifier(taught=True),
    "distillation, mixup": classifier(taught=True, mixup=0.2),
    **{name: encoder(name) for name in find("OBJECTIVES")},
    "detection head": detection_head,
}


def stopped_and_resumed(run: Callable, steps: int) -> nn.Module:
    """Stop it after so many steps, which is in its second epoch, and let it go on."""
    step, taken = torch.optim.AdamW.step, 0

    def counted(self, *arguments):
        nonlocal taken
        taken += 1
        if taken > steps:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "run.safetensors"
        torch.optim.AdamW.step = counted
        try:
            run(checkpoint)
            raise RuntimeError("it was not stopped")
        except KeyboardInterrupt:
            pass
        finally:
            torch.optim.AdamW.step = step
        assert checkpoint.exists()
        return run(checkpoint)


CATALOG = small_catalog()

if __name__ == "__main__":
    print(f"# {fashionlib.__path__[0]}", file=sys.stderr)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, run in TRAININGS.items():
            print(f"{threads} threads, {name}: {weights_hash(run(None))}", flush=True)
            if run is not detection_head:
                again = stopped_and_resumed(run, 6 if name in find("OBJECTIVES") else 10)
                print(f"{threads} threads, {name}, resumed: {weights_hash(again)}", flush=True)
