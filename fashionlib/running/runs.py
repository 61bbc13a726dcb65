"""A training as the command line runs it: on what the machine has, and going on after a stop.

`finish(classifier_training(…))` trains; `run_training(classifier_training(…), checkpoint)` trains
the same, in bfloat16 on CUDA cards that have it, shared among the processes that torchrun started,
and saved after each epoch.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fashionlib.errors import FashionError
from fashionlib.files import taking_apart
from fashionlib.running import processes
from fashionlib.training import Training, finish
from fashionlib.weights import are_numbers, load_tensors, save_tensors, weights_hash


def run_training(
    training: Training, checkpoint: Path | None = None
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Finish a training: the averaged model and the rows, as `training.finish` returns them.

    With `checkpoint`, the state is saved after each epoch and a run that was interrupted goes on
    from there, with the result of an uninterrupted one. In several processes (`processes`) all
    get the same result; call it with the same weights in each.

    Raises:
        FashionError: the checkpoint belongs to another run, or cannot be written.
    """
    # a checkpoint has to agree with all of this: another run must not go on from it
    about = {
        "recipe": asdict(training.recipe),
        "seed": training.seed,
        "start": weights_hash(training.model),
        "processes": processes.world_size(),
        **training.about,
    }
    with processes.first_alone():
        if checkpoint is not None and checkpoint.exists():
            load_checkpoint(checkpoint, training, about)
    if torch.cuda.is_bf16_supported(including_emulation=False):  # CUDA, from Ampere on
        training.network = InBfloat16(training.network)
    processes.share_training(training)
    return finish(training, None if checkpoint is None else _kept(training, checkpoint, about))


def _kept(training: Training, checkpoint: Path, about: dict[str, Any]) -> Iterator[dict]:
    """The epochs of a training, each saved when it is done."""
    for row in training.epochs():
        if processes.rank() == 0:
            save_checkpoint(checkpoint, training, about)
        yield row


class InBfloat16(nn.Module):
    """A network whose forward pass uses bfloat16 where it is safe; the result is float32.

    Half the memory and the tensor cores of a GPU; weights, loss and gradients stay float32. With
    the exponents of float32, nothing has to be scaled (Kalamkar et al. 2019, arXiv 1905.12322).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        """As the network's own: float32 [N, 3, H, W] to float32 [N, outputs]."""
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return self.module(inputs).float()


def save_checkpoint(path: Path, training: Training, about: dict[str, Any]) -> None:
    """All that the next epoch depends on, in one safetensors file."""
    parts = {"model": training.model.state_dict(), "average": training.average.state_dict()}
    for number, values in training.optimizer.state_dict()["state"].items():
        parts[f"optimizer.{number}"] = values
    tensors = {f"{part}.{name}": t for part, values in parts.items() for name, t in values.items()}
    save_tensors(path, tensors, {"kind": "checkpoint", "run": about, "history": training.history})


def _check_state(optimizer: torch.optim.Optimizer) -> None:
    """Fails unless each weight that is trained has a state of its own shape."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in filter(lambda weight: weight.requires_grad, weights):
        state = optimizer.state[weight]
        shapes = {value.shape for name, value in state.items() if name != "step"}
        if state["step"] < 0 or shapes != {weight.shape}:
            raise ValueError("no state of this weight")


def load_checkpoint(path: Path, training: Training, about: dict[str, Any]) -> None:
    """Put a saved state back, with the rows of the epochs that are done.

    Raises:
        FashionError: it is of another run, or damaged.
    """
    tensors, metadata = load_tensors(path)
    with taking_apart(path):
        run = metadata.get("run") or {}
        different = sorted(part for part in {*run, *about} if run.get(part) != about.get(part))
        if different:
            raise FashionError(
                f"{path} is of another run, with other {', '.join(different)}: "
                "move it away to start anew."
            )
        if metadata["kind"] != "checkpoint" or not are_numbers(tensors):
            raise ValueError("no checkpoint, or weights that are no numbers")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        training.model.load_state_dict(parts["model"])
        training.average.load_state_dict(parts["average"])
        saved = training.optimizer.state_dict()
        for name, tensor in parts["optimizer"].items():
            number, _, key = name.partition(".")
            saved["state"].setdefault(int(number), {})[key] = tensor
        training.optimizer.load_state_dict(saved)
        _check_state(training.optimizer)
        training.history[:] = [dict(row) for row in metadata["history"]]
        sum(row["seconds"] + sum(row.values()) for row in training.history)  # figures, all of them
        epochs = [row["epoch"] for row in training.history]
        if not epochs or epochs != list(range(1, training.recipe.epochs + 1))[: len(epochs)]:
            raise ValueError("rows of other epochs")
