"""What sits on top of the backbone; one backbone, several heads."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.backbone import MobileNetBackbone, Plan

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


def build_classifier(plan: str | Plan = "fashion", classes: int = 7) -> nn.Sequential:
    """Backbone and classification head: float [N, 3, H, W] to logits, float [N, classes].

    The two parts are `model.backbone` and `model.head`, so that chapter 3 can take the backbone.
    """
    backbone = MobileNetBackbone(plan)
    head = ClassificationHead(backbone.features, classes)
    return nn.Sequential(OrderedDict(backbone=backbone, head=head))


def build_encoder(plan: str | Plan = "fashion", dimensions: int = DIMENSIONS) -> nn.Sequential:
    """Backbone and embedding head: float [N, 3, H, W] to unit vectors, float [N, dimensions]."""
    backbone = MobileNetBackbone(plan)
    head = EmbeddingHead(backbone.features, dimensions)
    return nn.Sequential(OrderedDict(backbone=backbone, head=head))
