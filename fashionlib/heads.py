"""What sits on top of the backbone; one backbone, several heads."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert

from fashionlib.blocks import MobileNetBackbone, Plan, conv_bn
from fashionlib.transforms import Preparation

DIMENSIONS = 64  # of an embedding, as in the article


class ClassificationHead(nn.Module):
    """One linear layer: features float [N, features] to logits float [N, classes]."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Float [N, features] to logits, float [N, classes]; softmax is left to the loss."""
        return self.linear(features)


class EmbeddingHead(nn.Module):
    """One linear layer, then length 1: features float [N, features] to float [N, dimensions].

    On the unit sphere a distance depends on the angle alone, from 0 to 2, so a margin means the
    same everywhere and no picture is near to all others by being short (FaceNet, section 3).
    """

    def __init__(self, features: int, dimensions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, dimensions)

    def forward(self, features: Tensor) -> Tensor:
        """Float [N, features] to embeddings of length 1, float [N, dimensions]."""
        return F.normalize(self.linear(features), dim=1)


class DetectionHead(nn.Module):
    """What is in a picture, and where: maps float [N, features, h, w] to class and one box.

    Boxes are (centre x, centre y, width, height) in shares of the picture. Each cell of the map
    says how far the object reaches from the cell's own centre to the left, top, right and bottom
    (as in FCOS, Tian et al. 2019, arXiv 1904.01355), and how much it is to be trusted. The box is
    the mean of what the cells say, weighted by trust; the class comes from the same cells.
    """

    def __init__(self, features: int, classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.BatchNorm2d(features, affine=False),
            conv_bn(features, hidden, kernel=3),
            conv_bn(hidden, hidden, kernel=3),
        )
        self.votes = nn.Conv2d(hidden, 5, kernel_size=1)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Float [N, features, h, w] to logits float [N, classes] and boxes float [N, 4]."""
        mixed, trust, corners = self.ask_cells(maps)
        box = (corners * trust).sum(dim=2)
        return self.linear((mixed * trust).sum(dim=2)), box_convert(box, "xyxy", "cxcywh")

    def ask_cells(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [N, hidden, h·w], trust of sum 1 [N, 1, h·w], and boxes of cells [N, 4, h·w]."""
        mixed = self.mix(maps)
        trust, sides = self.votes(mixed).flatten(2).split([1, 4], dim=1)
        sides = F.softplus(sides - 1)
        centres = cell_centres(*maps.shape[2:]).to(maps)
        corners = torch.cat([centres - sides[:, :2], centres + sides[:, 2:]], dim=1)
        return mixed.flatten(2), trust.softmax(dim=2), corners


def cell_centres(height: int, width: int) -> Tensor:
    """Centres x, y of a map's cells in shares of the picture, row by row: float32 [2, h·w]."""
    down, across = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    y, x = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x, y]).flatten(1)


def build_classifier(plan: str | Plan = "fashion", classes: int = 7) -> nn.Sequential:
    """Backbone and classification head: float [N, 3, H, W] to logits, float [N, classes].

    The two parts are `model.backbone` and `model.head`, so that chapter 3 can take the backbone.
    """
    return _joined(plan, ClassificationHead, classes)


def build_encoder(plan: str | Plan = "fashion", dimensions: int = DIMENSIONS) -> nn.Sequential:
    """Backbone and embedding head: float [N, 3, H, W] to unit vectors, float [N, dimensions]."""
    return _joined(plan, EmbeddingHead, dimensions)


def _joined(plan: str | Plan, head: type[nn.Module], outputs: int) -> nn.Sequential:
    backbone = MobileNetBackbone(plan)
    model = nn.Sequential(OrderedDict(backbone=backbone, head=head(backbone.features, outputs)))
    model.preparation = Preparation()  # until it is trained for another
    return model
