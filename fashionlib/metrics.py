"""How good is it, and how sure can one be? Counts over pictures, never means over batches."""

import math

import torch
from torch import Tensor


def count_correct(logits: Tensor, labels: Tensor) -> int:
    """How many rows of logits float [N, C] have their largest value at labels int64 [N]."""
    return int((logits.argmax(dim=1) == labels).sum())


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of right pictures, 0 to 1: one count over all N, so batch sizes do not matter.

    Raises:
        ValueError: there are no pictures, so there is no accuracy.
    """
    if len(labels) == 0:
        raise ValueError("accuracy of no pictures is undefined")
    return count_correct(logits, labels) / len(labels)


def wilson_interval(correct: float, total: int, z: float = 1.96) -> tuple[float, float]:
    """Interval for a share, 95 % for z = 1.96 (Wilson 1927): the true share is likely inside.

    Better than ± z·sqrt(p(1-p)/n) near 0 and 1, where that one leaves [0, 1].
    """
    if total == 0:
        return 0.0, 1.0
    share = correct / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def format_accuracy(correct: int, total: int) -> str:
    """A share with its count and its 95 % interval: `86.2% (238 of 276, 81.7% to 89.8%)`."""
    low, high = wilson_interval(correct, total)
    return f"{correct / total:.1%} ({correct} of {total}, {low:.1%} to {high:.1%})"


def against(correct: int, total: int, share: float) -> str:
    """How a count stands to a share stated elsewhere (0 to 1), as words for a sentence.

    "agrees with" it where the share lies in the count's 95 % interval, else "is above" or "is
    below".
    """
    low, high = wilson_interval(correct, total)
    return "is above" if low > share else "is below" if high < share else "agrees with"


def confusion_matrix(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts int64 [C, C]: row = true class, column = predicted class, from two int64 [N]."""
    pairs = labels * classes + predictions
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def majority_baseline(train_labels: Tensor, labels: Tensor) -> float:
    """Accuracy on `labels` of always answering the commonest class of `train_labels`."""
    commonest = int(torch.bincount(train_labels).argmax())
    return float((labels == commonest).float().mean())
