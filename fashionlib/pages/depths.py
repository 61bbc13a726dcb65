"""What a trained network knows at each depth, as encoders of their own (chapters 3 and 4).

They share the network's modules and are never trained, so they are in evaluation mode from the
start: `predict` puts a module back into the mode it was in, and what is inside it too.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.inference import predict


class Features(nn.Module):
    """A classifier's pooled features, made unit vectors: what it knows without any triplets."""

    def __init__(self, classifier: nn.Sequential) -> None:
        super().__init__()
        self.backbone = classifier.backbone
        self.preparation = classifier.preparation
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to float [N, features] of length 1."""
        return F.normalize(self.backbone(x), dim=1)


class UpTo(nn.Module):
    """The first `depth` blocks of a classifier, and the mean of their maps over the picture.

    Each channel is standardised by its mean and deviation over `images`, uint8 [N, 3, H, W]:
    channels differ so much in size that a few would decide every distance.
    """

    def __init__(self, classifier: nn.Sequential, depth: int, images: Tensor) -> None:
        super().__init__()
        self.blocks = classifier.backbone.blocks[:depth]
        self.preparation = classifier.preparation
        device = next(classifier.parameters()).device
        self.register_buffer("mean", torch.zeros((), device=device))
        self.register_buffer("deviation", torch.ones((), device=device))
        self.eval()
        pooled = predict(self, images)
        self.mean = pooled.mean(dim=0).to(device)
        # a channel that is always 0 has a deviation of 0
        self.deviation = pooled.std(dim=0).clamp(min=1e-6).to(device)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to float [N, channels]."""
        return (self.blocks(x).mean(dim=(2, 3)) - self.mean) / self.deviation
