"""How long does one picture take, beside another network? (chapter 5)

Times of one machine say little about another, and a busy moment spoils a single one. So networks
take turns, and what is compared is the ratio of their times within a round.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

Rounds = dict[Any, list[float]]  # by what was run, a number for each round


def take_turns(runs: Mapping[Any, Callable[[], object]], rounds: int) -> tuple[Rounds, Rounds]:
    """Milliseconds of each run in each round, by the clock and of the processor.

    All run once a round, after one round to warm up. A run that is made to wait, by other work on
    the machine, takes longer by the clock alone.
    """
    clock: Rounds = {name: [] for name in runs}
    processor: Rounds = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            started, used = time.perf_counter(), time.process_time()
            run()
            if turn:
                processor[name].append(1000 * (time.process_time() - used))
                clock[name].append(1000 * (time.perf_counter() - started))
    return clock, processor


def eager(network: nn.Module, batch: int, size: int) -> Callable[[], object]:
    """A run of `network` in PyTorch, on `batch` pictures of `size` pixels, ready for `take_turns`.

    Both the network and the pictures are stored channels-last, which is faster on a CPU.
    """
    network = network.eval().to(memory_format=torch.channels_last)
    pictures = torch.zeros(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    return torch.inference_mode()(lambda: network(pictures))


def middle(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile: half of the values lie between."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def rounds_of(latency: Mapping[str, Any], network: str) -> Rounds:
    """Recorded milliseconds of a network in each setting, such as `64 px, batch 1, eager`."""
    return {
        f"{row['size']} px, batch {row['batch']}, {row['way']}": row["milliseconds"]
        for row in latency["rows"]
        if row["network"] == network
    }


def ratios(latency: Mapping[str, Any], slow: str, fast: str) -> Rounds:
    """How many times as long `slow` took as `fast`, in each round of each setting."""
    one, other = rounds_of(latency, slow), rounds_of(latency, fast)
    return {name: [a / b for a, b in zip(one[name], other[name], strict=True)] for name in one}
