"""What sits on top of the backbone; one backbone, several heads."""

from collections import OrderedDict

from torch import Tensor, nn

from fashionlib.backbone import MobileNetBackbone, Plan


class ClassificationHead(nn.Module):
    """One linear layer: features float [N, features] to logits float [N, classes]."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Float [N, features] to logits, float [N, classes]; softmax is left to the loss."""
        return self.linear(features)


def build_classifier(plan: str | Plan = "fashion", classes: int = 7) -> nn.Sequential:
    """Backbone and classification head: float [N, 3, H, W] to logits, float [N, classes].

    The two parts are `model.backbone` and `model.head`, so that chapter 3 can take the backbone.
    """
    backbone = MobileNetBackbone(plan)
    head = ClassificationHead(backbone.features, classes)
    return nn.Sequential(OrderedDict(backbone=backbone, head=head))
