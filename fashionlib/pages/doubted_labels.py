"""Which labels of training pictures are in doubt (chapter 9).

Source: Northcutt et al., "Confident Learning", JAIR 2021, arXiv 1911.00068, section 3.
"""

import torch
from torch import Tensor


def parts(count: int, number: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Positions 0 to count - 1, shuffled, in that many parts of nearly equal size: int64 each."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator).tensor_split(number)


def doubted(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of doubtful labels, the surest first, and what they might be: int64 [M] each.

    `probabilities` float [N, C] must come from a network that was not trained on these pictures,
    `labels` are int64 [N]. A class is likely for a picture if its probability is at least what
    pictures with that label get on average, so that a class of which the network is never sure
    counts for no less. A label is in doubt where another class is likely, and more probable.
    """
    classes = range(probabilities.shape[1])
    usual = torch.stack([probabilities[labels == c, c].mean() for c in classes])
    likely = probabilities.where(probabilities >= usual, 0.0)
    sureness, answers = likely.max(dim=1)
    own = probabilities.gather(1, labels[:, None])[:, 0]
    found = ((answers != labels) & (sureness > own)).nonzero()[:, 0]
    found = found[(sureness - own)[found].argsort(descending=True, stable=True)]
    return found, answers[found]
