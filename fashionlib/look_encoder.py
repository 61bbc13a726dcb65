"""An encoder in two parts: what a garment is, and how it looks (chapter 3).

Deep layers of a classifier forget colour, since a dress is a dress in any. The first layer has not
forgotten anything yet. So the embedding takes its category from the last layer and its look from
the first. (That early layers hold texture and colour: Gatys et al., CVPR 2016, section 2.)
"""

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.backbone import MobileNetBackbone, Plan

LOOK_SHARE = 0.1  # of the squared length of an embedding


class LookEncoder(nn.Module):
    """Float [N, 3, H, W] to unit vectors float [N, dimensions]: category first, then look.

    The category part is a linear layer on the backbone's features. The look part is one on the
    stem's channels, averaged over the middle of the picture. Both have length 1 before they are
    weighted, so `LOOK_SHARE` says how much of a distance is look: little enough that category
    comes first, and looks decide among garments of one category.
    """

    def __init__(self, backbone: MobileNetBackbone, dimensions: int = 64, look: int = 24) -> None:
        super().__init__()
        channels = backbone.blocks[0][0].out_channels
        self.backbone = backbone
        self.category = nn.Linear(backbone.features, dimensions - look)
        # channels differ in mean and size; a plain average would be ruled by the brightest
        self.look = nn.Sequential(nn.BatchNorm1d(channels, affine=False), nn.Linear(channels, look))

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to embeddings of length 1, float [N, dimensions]."""
        stem, *others = self.backbone.blocks
        early = deep = stem(x)
        for block in others:
            deep = block(deep)
        category = F.normalize(self.category(deep.mean(dim=(2, 3))), dim=1)
        look = F.normalize(self.look(average_of_middle(early)), dim=1)
        shares = (1 - LOOK_SHARE) ** 0.5, LOOK_SHARE**0.5
        return torch.cat([shares[0] * category, shares[1] * look], dim=1)

    def parts(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Take embeddings float [N, dimensions] apart: category and look, each of length 1."""
        look = self.look[1].out_features
        category, look = embeddings[:, :-look], embeddings[:, -look:]
        return F.normalize(category, dim=1), F.normalize(look, dim=1)


def average_of_middle(maps: Tensor) -> Tensor:
    """Float [N, C, H, W] to float [N, C]: a mean that counts the middle most and the rim least.

    The weight falls as a raised cosine in each direction (a Hann window): garments are
    photographed in the middle, sheets and hangers around them.
    """
    height, width = maps.shape[2:]
    weights = hann(height)[:, None] * hann(width)[None, :]
    return (maps * weights.to(maps)).sum(dim=(2, 3))


@cache
def hann(size: int) -> Tensor:
    """Float [size], symmetric, above 0 everywhere, of sum 1."""
    window = torch.hann_window(size + 2, periodic=False)[1:-1]
    return window / window.sum()


def build_look_encoder(
    plan: str | Plan = "fashion", dimensions: int = 64, look: int = 24
) -> LookEncoder:
    """A new one: float [N, 3, H, W] to unit vectors, float [N, dimensions]."""
    return LookEncoder(MobileNetBackbone(plan), dimensions, look)


def look_encoder_from(classifier: nn.Sequential, dimensions: int = 64) -> LookEncoder:
    """One that starts with a *copy* of a trained classifier's backbone."""
    return LookEncoder(copy.deepcopy(classifier.backbone), dimensions)
