"""The training loop of chapter 2: plain PyTorch, the same result for the same seed."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from fashionlib.catalog import Catalog, Split
from fashionlib.counting import count_parameters
from fashionlib.errors import FashionError
from fashionlib.inference import pick_device, predict
from fashionlib.metrics import accuracy
from fashionlib.running import processes
from fashionlib.settings import progress_bar
from fashionlib.transforms import AUGMENTATIONS, augment, to_input
from fashionlib.weights import load_tensors, save_tensors

# inputs float [N, 3, H, W], labels int64 [N] or shares float [N, C]; to shares float [N, C]
Teach = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run except the network, the pictures and the seed.

    `size` and `evaluation_size` are sides in pixels: a random crop shows a garment larger than
    the whole picture does, so evaluating a little larger than training makes up for it (Touvron
    et al. 2019). `average` is the share of the old average kept at each step, 0 for none.
    `mixup` blends each picture and its label with another's (Zhang et al. 2018, arXiv 1710.09412;
    their alpha), 0 for never.
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
    mixup: float = 0.0


# For the weights that come with the library: six times as long, so it takes more variety
LONG_RECIPE = Recipe(
    epochs=60, size=128, evaluation_size=144, average=0.995, augmentation="strong", mixup=0.2
)
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


def one_cycle(progress: float, warm_up: float = 0.3) -> float:
    """Share of the largest learning rate at `progress` (0 to 1) of the training: up, then down.

    Two half cosines (Smith and Topin 2018): from 4 % to 1 during the warm-up, then to 0.
    """
    if progress < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm_up)) / 2
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


SCHEDULES = {"one-cycle": one_cycle, "constant": lambda progress: 1.0}


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, progress: float) -> None:
    """Follow the recipe's schedule; `progress` is the share of all steps that are done."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * SCHEDULES[recipe.schedule](progress)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) that decays matrices and kernels, not norms or biases."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the averaged weights towards the model's: average = keep · average + (1-keep) · model.

    Batch-norm statistics are averaged too; integer counters are copied.
    """
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
) -> Tensor:
    """One batch: inputs float [N, 3, H, W], labels int64 [N]; returns the loss, a scalar.

    Labels may also be shares of classes, float [N, C], as mixup makes them.

    With label smoothing the wanted answer is not certainty: the right class gets a little less
    than 1 and the others share the rest (Szegedy et al. 2016, section 7).
    """
    logits = model(inputs)
    loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def train_epoch(
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    split: Split,
    recipe: Recipe,
    epoch: int,
    teach: Teach | None = None,
) -> float:
    """Show the network every picture of `split` once; returns the mean loss.

    `model` and `average` are changed in place. The order and the augmentation are drawn from
    torch's global generator. Pictures that do not fill a last batch wait for another epoch.
    Several processes agree on the order, and each takes its share of every batch: the loss is of
    that share. `teach` may change what is to be answered, see `distillation`.
    """
    device = next(model.parameters()).device
    transform = AUGMENTATIONS[recipe.augmentation](recipe.size)
    mix = v2.MixUp(alpha=recipe.mixup or 1.0, num_classes=int(split.labels.max()) + 1)
    count = max(1, len(split.labels) // recipe.batch_size)
    batches = processes.agree(torch.randperm(len(split.labels)).split(recipe.batch_size)[:count])
    losses = []
    model.train()
    for step, chosen in enumerate(map(processes.share, batches), start=epoch * count):
        set_learning_rate(optimizer, recipe, progress=step / (count * recipe.epochs))
        inputs = to_input(augment(split.images[chosen], transform), device=device)
        labels = split.labels[chosen].to(device)
        if recipe.mixup > 0:
            inputs, labels = mix(inputs, labels)
        if teach is not None:
            labels = teach(inputs, labels)
        losses.append(train_step(model, optimizer, inputs, labels, recipe.label_smoothing))
        update_average(average, model, keep=min(recipe.average, (step + 1) / (step + 10)))
    return float(torch.stack(losses).mean())


@contextmanager
def seeded(seed: int, epoch: int) -> Iterator[None]:
    """Draw from a generator of this seed and epoch, then give the caller's own one back.

    Each epoch has draws of its own, so a run resumed after epoch 3 draws what an uninterrupted
    one would have drawn; and so has each of several processes.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed * 10_007 + epoch + 1_000_000_007 * processes.rank())
        yield


def train_classifier(
    model: nn.Module,
    catalog: Catalog,
    recipe: Recipe,
    seed: int = 0,
    checkpoint: Path | None = None,
    teach: Teach | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train `model` in place; returns the averaged network and one row of figures an epoch.

    A row has `epoch`, `loss` (training, augmented pictures), `validation_loss`,
    `validation_accuracy` (0 to 1, averaged weights, plain pictures) and `seconds`. The test
    pictures are not looked at. With `checkpoint`, the state is saved after each epoch and a run
    that was interrupted goes on from there, with the result of an uninterrupted one. In several
    processes (`distributed`) all get the same result; call it with the same weights in each.

    Raises:
        FashionError: the checkpoint belongs to another run, or cannot be written.
    """

    def learn(network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer,
              epoch: int) -> dict:  # fmt: skip
        train = catalog.train
        loss = train_epoch(network, average, optimizer, train, recipe, epoch, teach)
        return {"loss": processes.mean(loss)}

    def look(average: nn.Module) -> dict:
        return evaluate(average, catalog.validation, recipe.evaluation_size)

    return run_epochs(model, catalog, recipe, seed, checkpoint, learn, look)


def run_epochs(
    model: nn.Module,
    catalog: Catalog,
    recipe: Any,
    seed: int,
    checkpoint: Path | None,
    learn: Callable[[nn.Module, nn.Module, torch.optim.Optimizer, int], dict[str, float]],
    look: Callable[[nn.Module], dict[str, float]],
    optimize: Callable[[nn.Module, Any], torch.optim.Optimizer] = make_optimizer,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """What all trainings share: the average, the seed, the bar, and going on after a stop.

    `learn(network, average, optimizer, epoch)` shows all pictures once, to `model` as `wrap` makes
    it, and `look(average)` evaluates, in the first process alone; both return figures for the
    epoch's row. `optimize(model, recipe)` makes the optimizer. Returns the averaged network and the
    rows.
    """
    device = pick_device()
    model.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimizer = optimize(model, recipe)
    run = describe_run(model, catalog, recipe, seed)
    history: list[dict[str, float]] = []
    with processes.first_alone():
        if checkpoint is not None and checkpoint.exists():
            history = load_checkpoint(checkpoint, model, average, optimizer, run)
    network = processes.wrap(model, device)
    left = range(len(history), recipe.epochs)
    bar = progress_bar(left, "training", "epoch", initial=len(history), total=recipe.epochs)
    for epoch in bar:
        started = time.perf_counter()
        with seeded(seed, epoch):
            row = {"epoch": epoch + 1, **learn(network, average, optimizer, epoch)}
            processes.average_buffers(model)
            processes.average_buffers(average)
            row |= processes.from_first(look, average)
        row["seconds"] = time.perf_counter() - started
        history.append(row)
        shown = {name: f"{row[name]:.3f}" for name in row if name not in ("epoch", "seconds")}
        bar.set_postfix(shown)
        if checkpoint is not None and processes.rank() == 0:
            save_checkpoint(checkpoint, model, average, optimizer, run, history)
    return average.eval(), history


def describe_run(model: nn.Module, catalog: Catalog, recipe: Any, seed: int) -> dict[str, Any]:
    """What makes a run this run: a checkpoint of another one must not be gone on with."""
    count = processes.world_size()
    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "catalog": catalog.name,
        "classes": list(catalog.classes),
        "pictures": len(catalog.train),
        "parameters": count_parameters(model),
        **({"processes": count} if count > 1 else {}),
    }


def evaluate(model: nn.Module, split: Split, size: int) -> dict[str, float]:
    """Loss and accuracy of plain pictures; nan where the split has none."""
    if len(split.labels) == 0:
        return {"validation_loss": math.nan, "validation_accuracy": math.nan}
    logits = predict(model, split.images, size)
    return {
        "validation_loss": float(F.cross_entropy(logits, split.labels)),
        "validation_accuracy": accuracy(logits, split.labels),
    }


def save_checkpoint(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    run: dict[str, Any],
    history: list[dict[str, float]],
) -> None:
    """All that the next epoch depends on, in one safetensors file."""
    tensors: dict[str, Tensor] = {}
    tensors |= {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in values.items()}
    save_tensors(path, tensors, {"kind": "checkpoint", "run": run, "history": history})


def load_checkpoint(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    run: dict[str, Any],
) -> list[dict[str, float]]:
    """Put a saved state back; returns the rows of the epochs that are done."""
    tensors, metadata = load_tensors(path)
    if metadata.get("run") != run:
        raise FashionError(f"{path} is of a run with other settings: delete it to start anew.")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    model.load_state_dict(parts["model"])
    average.load_state_dict(parts["average"])
    saved = optimizer.state_dict()
    for name, tensor in parts["optimizer"].items():
        number, _, key = name.partition(".")
        saved["state"].setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict(saved)
    return metadata["history"]
