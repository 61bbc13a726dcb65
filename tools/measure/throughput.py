"""Pictures a second in training, and where the time goes: `python tools/measure/throughput.py`.

Our loop, with the pictures decoded once, and the usual one, torchvision's `ImageFolder` in a
`DataLoader` that decodes them in each epoch, with and without workers; same network, augmentation
and step. They take turns, some batches each. Then the parts of one of our steps. Writes
`pages/results/throughput.json` (chapter 9); run it on a quiet machine.
"""

import copy
import time
from collections.abc import Callable, Iterator

import torch
from recording import about_this_run, quartiles, write_results
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from fashionlib.catalog import load_catalog
from fashionlib.heads import build_classifier
from fashionlib.pages.latency import take_turns
from fashionlib.training import (
    Batches,
    Recipe,
    classification_loss,
    make_optimizer,
    train_epoch,
    update_average,
)
from fashionlib.transforms import AUGMENTATIONS, augment, to_input

RECIPE = Recipe()
ROUNDS, BATCHES = 7, 20
Endless = Iterator[tuple[Tensor, Tensor]]  # pictures uint8 and labels, epoch after epoch


def main() -> None:
    """Measure both and write."""
    catalog = load_catalog("photos")
    transform = AUGMENTATIONS[RECIPE.augmentation](RECIPE.size)
    folder = ImageFolder(str(catalog.root / "train"), v2.Compose([v2.PILToTensor(), transform]))
    classes = len(folder.classes)  # all of the folder's, so that both have the same last layer
    ways = {
        "ours": from_memory(catalog.train.images, transform),
        "ImageFolder, no workers": from_files(folder, 0),
        "ImageFolder, 2 workers": from_files(folder, 2),
    }
    runs = {name: trainer(classes, batches) for name, batches in ways.items()}
    clock, _ = take_turns(runs, ROUNDS)
    pictures = BATCHES * RECIPE.batch_size
    found = {
        "size": RECIPE.size,
        "batch": RECIPE.batch_size,
        "rates": {name: [1000 * pictures / ms for ms in rounds] for name, rounds in clock.items()},
        "ratios": {
            name: quartiles([ms / ours for ms, ours in zip(rounds, clock["ours"], strict=True)])
            for name, rounds in clock.items()
        },
        "parts": parts_of_a_step(catalog.train.images, transform, classes),
    }
    write_results("throughput", about_this_run(__file__, catalog) | found)


def from_memory(images: Tensor, transform: v2.Transform) -> Endless:
    """Batches as our loop takes them."""
    while True:
        for chosen in torch.randperm(len(images)).split(RECIPE.batch_size)[:-1]:
            yield augment(images[chosen], transform), chosen % 7


def from_files(folder: ImageFolder, workers: int) -> Endless:
    """Batches of a `DataLoader`, epoch after epoch."""
    loader = DataLoader(
        folder, RECIPE.batch_size, shuffle=True, num_workers=workers, drop_last=True
    )
    while True:
        yield from loader


def beginning(classes: int) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    """A new network, its average and its optimizer; the same at each call."""
    torch.manual_seed(0)
    model = build_classifier("fashion", classes).to(memory_format=torch.channels_last).train()
    return model, copy.deepcopy(model), make_optimizer(model, RECIPE)


def trainer(classes: int, batches: Endless) -> Callable[[], None]:
    """Trains a network of its own for some batches at each call."""
    state = beginning(classes)
    some = Batches(range(BATCHES), lambda _: next(batches))

    def loss_of(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return classification_loss(model, to_input(images), labels, RECIPE.label_smoothing)

    return lambda: train_epoch(*state, some, loss_of, RECIPE, epoch=0)


def parts_of_a_step(images: Tensor, transform: v2.Transform, classes: int) -> dict[str, list]:
    """Milliseconds of each part of a step: quartiles."""
    model, average, optimizer = beginning(classes)
    spent: dict[str, list[float]] = {}

    def timed(name: str, part: Callable) -> object:
        started = time.perf_counter()
        result = part()
        spent.setdefault(name, []).append(1000 * (time.perf_counter() - started))
        return result

    for _ in range(2 * BATCHES):
        chosen = torch.randint(len(images), (RECIPE.batch_size,))
        small = timed("augment", lambda chosen=chosen: augment(images[chosen], transform))
        inputs = timed("to floats", lambda small=small: to_input(small))
        logits = timed("forward", lambda inputs=inputs: model(inputs))
        loss = F.cross_entropy(logits, chosen % classes)
        optimizer.zero_grad()
        timed("backward", loss.backward)
        timed("optimizer", optimizer.step)
        timed("average", lambda: update_average(average, model, RECIPE.average))
    return {name: quartiles(values[5:]) for name, values in spent.items()}


if __name__ == "__main__":
    main()
