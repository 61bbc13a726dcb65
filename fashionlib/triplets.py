"""Triplets: an anchor, a positive of its class, a negative of another (chapter 3).

Source: Schroff et al., "FaceNet", CVPR 2015, arXiv 1503.03832, section 3.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from fashionlib.errors import FashionError


class TripletDataset(Dataset):
    """One triplet for each picture as anchor; picked from labels alone, no picture is touched.

    Pictures uint8 [N, 3, H, W], or anything that `[index]` reads one from; labels int64 [N]. The
    seed, the epoch and the index decide a triplet, so any number of workers gives the same ones.

    Raises:
        FashionError: a class has a single picture (no positive for it), or there is one class.
    """

    def __init__(self, images: Tensor, labels: Tensor, seed: int = 0) -> None:
        self.images, self.labels = images, labels
        self.seed, self.epoch = seed, 0
        self.of_class = positions_of_classes(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, index: int) -> tuple[int, int, int]:
        """Positions of anchor, positive and negative.

        The positive is any other picture of the anchor's class. For the negative a class is drawn
        first and then a picture of it, so that a large class is not met more often.
        """
        rng = np.random.default_rng([self.seed, self.epoch, index])
        label = int(self.labels[index])
        same = self.of_class[label]
        place = int(np.searchsorted(same, index))
        positive = same[(place + 1 + rng.integers(len(same) - 1)) % len(same)]
        others = [other for other in self.of_class if other != label]
        negative = rng.choice(self.of_class[others[rng.integers(len(others))]])
        return index, int(positive), int(negative)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Three pictures, uint8 [3, H, W] each: anchor, positive, negative."""
        anchor, positive, negative = self.indices(index)
        return self.images[anchor], self.images[positive], self.images[negative]


def positions_of_classes(labels: Tensor) -> dict[int, np.ndarray]:
    """Where each class is in labels int64 [N]: ascending positions, int64, by label.

    Raises:
        FashionError: they allow no triplet: a class has a single picture, or there is one class.
    """
    found = {int(label): torch.nonzero(labels == label)[:, 0].numpy() for label in labels.unique()}
    if len(found) < 2:
        raise FashionError("triplets need two classes or more: there is no negative.")
    for label, positions in found.items():
        if len(positions) < 2:
            raise FashionError(
                f"class {label} has a single picture: add another, or leave the class out."
            )
    return found


def triplet_losses(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0
) -> Tensor:
    """Of each triplet max(0, d(anchor, positive) - d(anchor, negative) + margin), float [N].

    Embeddings float [N, D] each; d is the Euclidean distance (FaceNet squares it; the article and
    `torch.nn.TripletMarginLoss` do not). The mean of these is what `TripletMarginLoss` gives.
    """
    near = F.pairwise_distance(anchor, positive)
    far = F.pairwise_distance(anchor, negative)
    return F.relu(near - far + margin)


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """The mean of `triplet_losses`, a scalar."""
    return triplet_losses(anchor, positive, negative, margin).mean()
