"""Training with several processes: `torchrun --nproc-per-node 2 -m fashionlib train-classifier`.

Each process has the whole network and takes its share of every batch; their gradients are averaged,
so together they take the step that one process would take (Li et al., "PyTorch Distributed", VLDB
2020, arXiv 2006.15704). They talk through NCCL where there is CUDA, one GPU a process, and through
Gloo elsewhere. Without torchrun there is one process, and `share_training` does nothing.

Batch norm needs a choice, since each process sees but a part of the batch. On CUDA its statistics
are those of the whole batch (`SyncBatchNorm`). On a CPU, where torch has no such layer, each
process normalises by its own share; the running statistics, by which a network is evaluated, are
averaged over the processes after each epoch.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fashionlib.errors import FashionError
from fashionlib.inference import pick_device
from fashionlib.training import Batches, Training

PATIENCE = timedelta(hours=1)  # while the first process downloads or evaluates, the others wait
APART = 1_000_003  # between the seeds of two processes, which augment each in its own way
GRACE = 3.0  # seconds in which torchrun ends a process, if another one failed before it
# Each process keeps its own running statistics in an epoch; newer versions of torch call that so
_NEW, _OLD = "forward_sync_buffers", "broadcast_buffers"
OWN_BUFFERS = {_NEW if _NEW in signature(DistributedDataParallel).parameters else _OLD: False}


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started, for as long as the block lasts.

    All but the first print nothing and show no progress. When one fails, torchrun ends the others
    before they can print that it is gone: one error is shown, the one that matters.

    Raises:
        FashionError: there are more processes than GPUs, or they do not find each other.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    try:
        if torch.cuda.is_available():
            local, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if local >= cards:
                raise FashionError(
                    f"{os.environ['LOCAL_WORLD_SIZE']} processes for {cards} GPUs: give torchrun a "
                    "--nproc-per-node of at most that."
                )
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    except (LookupError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise FashionError(
            f"torchrun's processes were not found ({reason}): start with torchrun, or unset "
            "TORCHELASTIC_RUN_ID."
        ) from error
    if rank() > 0:
        os.environ["TQDM_DISABLE"] = "1"
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end
    try:
        yield
    except Exception:
        if rank() > 0:
            time.sleep(GRACE)
        raise
    dist.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0; the first is the one that speaks and saves."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process goes through the block, then the others: they find what it made."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world_size() > 1:
        dist.barrier()


def from_first(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in the first process; all get what it returns."""
    result = [function(*arguments) if rank() == 0 else None]
    dist.broadcast_object_list(result)
    return result[0]


def agree(batches: Sequence[Tensor]) -> Sequence[Tensor]:
    """The first process's batches of positions int64 [B] for all, instead of their own draws.

    The processes draw differently, so that each augments in its own way. A batch that cannot be
    shared evenly loses its last few pictures, and one with fewer than two pictures for each
    process is left out: batch norm cannot normalise a single one.

    Raises:
        FashionError: no batch has two pictures for every process.
    """
    order = torch.cat(list(batches)).to(pick_device())
    dist.broadcast(order, 0)
    everybodys = order.cpu().split([len(batch) for batch in batches])
    even = [batch[: len(batch) - len(batch) % world_size()] for batch in everybodys]
    even = [batch for batch in even if len(batch) > world_size()]
    if not even:
        raise FashionError(f"{world_size()} processes share too few pictures: start fewer.")
    return even


def share(batch: Tensor) -> Tensor:
    """This process's rows of a batch of `agree`: [B, ...] to [B / processes, ...]."""
    return batch[rank() :: world_size()]


def gather(rows: Tensor) -> Tensor:
    """The opposite of `share`: [B / processes, ...] of each process to [B, ...] on all.

    Takes outputs as well as labels. Gradients go back to each process's own rows, so a loss over
    all pairs of a batch can be computed as if one process had embedded it.
    """
    return _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # All compute the same loss, so each knows its gradient. Of the processes' gradients the
        # mean is taken, but for one loss over the parts of a batch it is their sum that counts.
        return share(gradient) * world_size()


def average_buffers(model: nn.Module) -> None:
    """Give all processes the mean of their running statistics (batch norm), in place."""
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer.div_(world_size())


def share_training(training: Training) -> None:
    """Have all processes take the steps of a training together; call it in each, before it begins.

    Each loads its rows of every batch, in the first one's order and augmented in its own way, and
    gets the outputs and the targets of all rows. The first evaluates. A single process trains as
    ever.
    """
    if world_size() == 1:
        return
    if pick_device().type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(training.model)  # changes the layers in it
    # The loss sees the whole batch, as if one process had computed it; DDP averages the gradients
    training.network = DistributedDataParallel(training.network, **OWN_BUFFERS)
    training.network.register_forward_hook(lambda network, inputs, outputs: gather(outputs))
    training.seed += APART * rank()
    batches, evaluate = training.batches, training.evaluate

    def shared(epoch: int) -> Batches:
        whole = batches(epoch)

        def load(chosen: Tensor) -> tuple:
            inputs, *targets = whole.load(share(chosen))
            return inputs, *map(gather, targets)

        return Batches(agree(whole.order), load)

    def evaluate_once(average: nn.Module) -> dict[str, float]:
        average_buffers(training.model)
        average_buffers(average)
        return from_first(evaluate, average)

    training.batches, training.evaluate = shared, evaluate_once
