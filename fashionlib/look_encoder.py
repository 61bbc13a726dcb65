"""An encoder in two parts: what a garment is, and how it looks (chapter 3).

Deep layers of a classifier forget colour, since a dress is a dress in any. The first layer has
forgotten nothing yet. So an embedding takes its category from the last layer, its look from the
first, and the last one says *where* to look.
"""

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.blocks import MobileNetBackbone, Plan
from fashionlib.heads import DIMENSIONS
from fashionlib.transforms import Preparation

LOOK_SHARE = 0.2  # of the squared length of an embedding


class LookEncoder(nn.Module):
    """Float [N, 3, H, W] to unit vectors float [N, dimensions]: category first, then look.

    The category part is a linear layer on the backbone's features. The look part is one on mean
    and deviation of the stem's channels over the places it attends to. Both have length 1 before
    they are weighted. `LOOK_SHARE` is how much of a distance is look: little enough that category
    comes first, so looks decide among garments of one category.
    """

    def __init__(
        self, backbone: MobileNetBackbone, dimensions: int = DIMENSIONS, look: int = 24
    ) -> None:
        super().__init__()
        channels = backbone.blocks[0][0].out_channels
        self.preparation = Preparation()  # until it is trained for another
        self.backbone = backbone
        self.category = nn.Linear(backbone.features, dimensions - look)
        self.where = nn.Sequential(
            nn.BatchNorm2d(backbone.features, affine=False), nn.Conv2d(backbone.features, 1, 1)
        )
        nn.init.zeros_(self.where[1].weight)  # to begin with it looks at the middle
        # channels differ in mean and size; without a norm the brightest would rule
        self.look = nn.Sequential(
            nn.BatchNorm1d(2 * channels, affine=False), nn.Linear(2 * channels, look)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to embeddings of length 1, float [N, dimensions]."""
        early, deep = self.maps(x)
        category = F.normalize(self.category(deep.mean(dim=(2, 3))), dim=1)
        look = F.normalize(self.look(mean_and_deviation(early, self.attention(deep))), dim=1)
        shares = (1 - LOOK_SHARE) ** 0.5, LOOK_SHARE**0.5
        return torch.cat([shares[0] * category, shares[1] * look], dim=1)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of the stem, float [N, C, H/2, W/2], and of the last block, float [N, features, h, w]."""
        stem, *blocks = self.backbone.blocks
        early = deep = stem(x)
        for block in blocks:
            deep = block(deep)
        return early, deep

    def attention(self, deep: Tensor) -> Tensor:
        """Where to look: float [N, 1, h, w], above 0, of sum 1 for each picture.

        What decides looks must not bend what tells categories, so no gradient goes on to `deep`.
        """
        height, width = deep.shape[2:]
        middle = (hann(height)[:, None] * hann(width)[None, :]).log().to(deep)
        weights = (self.where(deep.detach()) + middle).flatten(1).softmax(dim=1)
        return weights.view(-1, 1, height, width)

    def parts(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Take embeddings float [N, dimensions] apart: category and look, each of length 1."""
        look = self.look[1].out_features
        category, look = embeddings[:, :-look], embeddings[:, -look:]
        return F.normalize(category, dim=1), F.normalize(look, dim=1)


def mean_and_deviation(maps: Tensor, attention: Tensor) -> Tensor:
    """Of each channel where it is attended to: float [N, C, H, W] and [N, 1, h, w] to [N, 2C].

    The mean of a filter that answers to red says how red a garment is, its deviation whether it
    is striped.
    """
    cells = attention.shape[2:]
    mean = (F.adaptive_avg_pool2d(maps, cells) * attention).sum(dim=(2, 3))
    square = (F.adaptive_avg_pool2d(maps**2, cells) * attention).sum(dim=(2, 3))
    # the root has no gradient at 0
    return torch.cat([mean, (square - mean**2).clamp(min=1e-4).sqrt()], dim=1)


@cache
def hann(size: int) -> Tensor:
    """A raised cosine, float [size], above 0 everywhere, of sum 1 (a Hann window).

    Garments are photographed in the middle, sheets and hangers around them.
    """
    window = torch.hann_window(size + 2, periodic=False)[1:-1]
    return window / window.sum()


def build_look_encoder(
    plan: str | Plan = "fashion", dimensions: int = DIMENSIONS, look: int = 24
) -> LookEncoder:
    """A new one: float [N, 3, H, W] to unit vectors, float [N, dimensions]."""
    return LookEncoder(MobileNetBackbone(plan), dimensions, look)


def look_encoder_from(
    classifier: nn.Sequential, dimensions: int = DIMENSIONS, look: int = 24
) -> LookEncoder:
    """One that starts with a *copy* of a trained classifier's backbone."""
    encoder = LookEncoder(copy.deepcopy(classifier.backbone), dimensions, look)
    encoder.preparation = classifier.preparation
    return encoder
