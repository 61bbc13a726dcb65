"""The training loop of chapter 2: plain PyTorch, the same result for the same seed.

Every training of the library goes through `train_epoch`, whatever is learned: it takes batches and
a loss. What may surround a training (going on after a stop, many processes, teachers) is in
`fashionlib.running`, and changes a `Training` from outside.
"""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.catalog import Catalog, Split
from fashionlib.errors import FashionError
from fashionlib.inference import pick_device, predict
from fashionlib.metrics import accuracy
from fashionlib.settings import progress_bar
from fashionlib.transforms import AUGMENTATIONS, Preparation, augment, to_input


@dataclass(frozen=True)
class Recipe:
    """Everything about the training of a classifier but network, pictures and seed.

    `size` and `evaluation_size` are sides in pixels: a random crop shows a garment larger than
    the whole picture does, so evaluating a little larger than training makes up for it (Touvron
    et al. 2019). `average` is the share of the old average kept at each step, 0 for none.
    """

    epochs: int = 10
    size: int = 112
    evaluation_size: int = 128
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    average: float = 0.98
    augmentation: str = "fashion"
    schedule: str = "one-cycle"


RECIPE = Recipe()
ARTICLE_RECIPE = Recipe(
    size=64,
    evaluation_size=64,
    batch_size=32,
    learning_rate=1e-3,
    weight_decay=0.0,
    label_smoothing=0.0,
    average=0.0,
    augmentation="article",
    schedule="constant",
)


# The loop, and the three functions that it calls


def one_cycle(progress: float, warm_up: float = 0.3) -> float:
    """Share of the largest learning rate at `progress` (0 to 1) of the training: up, then down.

    Two half cosines (Smith and Topin 2018): from 4 % to 1 during the warm-up, then to 0. As
    `torch.optim.lr_scheduler.OneCycleLR`, but for the momentum, which stays as it is.
    """
    if progress < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm_up)) / 2
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


SCHEDULES = {"one-cycle": one_cycle, "constant": lambda progress: 1.0}


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Any, progress: float) -> None:
    """Follow the recipe's schedule; `progress` is the share of all steps that are done."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * SCHEDULES[recipe.schedule](progress)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the averaged weights towards the model's: average = keep · average + (1-keep) · model.

    Batch-norm statistics are averaged too; integer counters are copied. As
    `torch.optim.swa_utils.AveragedModel` with `use_buffers=True`.
    """
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def train_epoch(
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: "Batches",
    loss_of: Callable[..., Tensor],
    recipe: Any,
    epoch: int,
) -> float:
    """One step for each batch of an epoch, whose number counts from 0; returns the mean loss.

    The model and its averaged weights change in place. `loss_of` takes the model and the parts of
    a batch to the loss, a scalar. Of the recipe `epochs`, `learning_rate`, `schedule` and `average`
    are read.
    """
    losses = []
    model.train()
    for step, batch in enumerate(batches, start=epoch * len(batches)):
        set_learning_rate(optimizer, recipe, progress=step / (len(batches) * recipe.epochs))
        loss = loss_of(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(average, model, keep=min(recipe.average, (step + 1) / (step + 10)))
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


# What the loop is given


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of one epoch: their positions are drawn, their pictures loaded one by one."""

    order: Sequence[Tensor]  # positions int64 [B] of each batch
    load: Callable[[Tensor], tuple]  # positions to a batch: what the network sees, then targets

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple]:
        return map(self.load, self.order)


def shuffled(count: int, batch_size: int, keep_last: bool = False) -> Sequence[Tensor]:
    """Positions 0 to count - 1 in a new order, int64 [batch_size] each, from torch's generator.

    Those that do not fill a last batch wait for another epoch. `keep_last` keeps that batch, unless
    it is a single picture, which batch norm cannot normalise. As torch's `BatchSampler` over a
    `RandomSampler`.
    """
    batches = torch.randperm(count).split(batch_size)
    if keep_last and len(batches[-1]) > 1:
        return batches
    return batches[: max(1, count // batch_size)]


def labelled_batches(split: Split, recipe: Recipe) -> Batches:
    """The pictures of a split in batches as `shuffled` makes them, augmented, with their labels.

    A batch is inputs float [B, 3, size, size] and labels int64 [B], both on the device.
    """
    device, transform = pick_device(), AUGMENTATIONS[recipe.augmentation](recipe.size)

    def load(chosen: Tensor) -> tuple[Tensor, Tensor]:
        inputs = to_input(augment(split.images[chosen], transform), device=device)
        return inputs, split.labels[chosen].to(device)

    return Batches(shuffled(len(split), recipe.batch_size), load)


def classification_loss(
    model: nn.Module, inputs: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of inputs float [N, 3, H, W] and labels int64 [N] (or shares float [N, C]).

    With label smoothing the wanted answer is not certainty: the right class gets a little less
    than 1 and the others share the rest (Szegedy et al. 2016, section 7).
    """
    return F.cross_entropy(model(inputs), labels, label_smoothing=label_smoothing)


def make_optimizer(model: nn.Module, recipe: Any) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) that decays matrices and kernels, not norms or biases."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=recipe.weight_decay)


# A training, epoch by epoch


@dataclass(eq=False)
class Training:
    """A training under way: all that its next epoch depends on.

    What surrounds it may change its parts before it begins: `batches` and `evaluate`, or
    `network`, through which the steps go (`model` itself to begin with).
    """

    model: nn.Module  # trained in place
    batches: Callable[[int], Batches]  # of the epoch of that number, drawn anew
    loss_of: Callable[..., Tensor]  # see `train_epoch`
    evaluate: Callable[[nn.Module], dict[str, float]]  # figures of the averaged model
    recipe: Any
    seed: int = 0
    about: dict[str, Any] = field(default_factory=dict)  # which pictures: to know the run again

    def __post_init__(self) -> None:
        self.model.to(pick_device())
        self.network = self.model
        self.average = copy.deepcopy(self.model)
        self.optimizer = make_optimizer(self.model, self.recipe)
        self.history: list[dict[str, float]] = []

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train to the end. Gives a row of figures after each epoch, and keeps it in `history`.

        Raises:
            FashionError: the loss is not a number any more.
        """
        for epoch in range(len(self.history), self.recipe.epochs):
            started = time.perf_counter()
            with seeded(self.seed, epoch):
                state = self.network, self.average, self.optimizer
                loss = train_epoch(*state, self.batches(epoch), self.loss_of, self.recipe, epoch)
                if not math.isfinite(loss):
                    raise FashionError(
                        f"the loss became {loss} in epoch {epoch + 1}: take a lower learning rate."
                    )
                row = {"epoch": epoch + 1, "loss": loss, **self.evaluate(self.average)}
            row["seconds"] = time.perf_counter() - started
            self.history.append(row)
            yield row


@contextmanager
def seeded(seed: int, epoch: int) -> Iterator[None]:
    """Draw from a generator of this seed and epoch, then give the caller's own one back.

    Each epoch has draws of its own, so a run that goes on after epoch 3 draws what an
    uninterrupted one would have drawn.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed * 10_007 + epoch)
        yield


def finish(
    training: Training, epochs: Iterable[dict[str, float]] | None = None
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Go through the epochs of a training, behind a progress bar.

    Returns the averaged model in evaluation mode, and one row of figures an epoch. `epochs` are
    `training.epochs()`, or what wraps these.
    """
    done, total = len(training.history), training.recipe.epochs
    epochs = training.epochs() if epochs is None else epochs
    bar = progress_bar(epochs, "training", "epoch", initial=done, total=total)
    for row in bar:
        bar.set_postfix({k: f"{row[k]:.3f}" for k in row if k not in ("epoch", "seconds")})
    return training.average.eval(), training.history


def train_classifier(
    model: nn.Module, catalog: Catalog, recipe: Recipe = RECIPE, seed: int = 0
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train `model` in place; returns the averaged network and one row of figures an epoch.

    A row has `epoch`, `loss` (training, augmented pictures), `validation_loss`,
    `validation_accuracy` (0 to 1, averaged weights, plain pictures) and `seconds`. The test
    pictures are not looked at. From now on the network prepares pictures at the recipe's
    evaluation size.
    """
    return finish(classifier_training(model, catalog, recipe, seed))


def classifier_training(
    model: nn.Module, catalog: Catalog, recipe: Recipe, seed: int = 0
) -> Training:
    """The training that `train_classifier` finishes: for those who surround it with more."""
    model.preparation = Preparation(recipe.evaluation_size)
    model.to(memory_format=torch.channels_last)  # as the pictures are, see `to_input`
    return Training(
        model,
        lambda epoch: labelled_batches(catalog.train, recipe),
        partial(classification_loss, label_smoothing=recipe.label_smoothing),
        lambda average: evaluate(average, catalog.validation),
        recipe,
        seed,
        describe_pictures(catalog),
    )


def describe_pictures(catalog: Catalog) -> dict[str, Any]:
    """What a training learns from and is measured with, wherever it lies, in plain data."""
    digest = hashlib.sha256()
    for split in (catalog.train, catalog.validation):
        digest.update(split.images.contiguous().numpy())
        digest.update(repr((split.labels.tolist(), split.attributes)).encode())
    return {"classes": list(catalog.classes), "pictures": digest.hexdigest()}


def evaluate(model: nn.Module, split: Split) -> dict[str, float]:
    """Loss and accuracy of plain pictures; nan where the split has none."""
    if len(split.labels) == 0:
        return {"validation_loss": math.nan, "validation_accuracy": math.nan}
    logits = predict(model, split.images)
    return {
        "validation_loss": float(F.cross_entropy(logits, split.labels)),
        "validation_accuracy": accuracy(logits, split.labels),
    }
