"""Training a detection head over a frozen backbone, and judging its boxes (chapter 7).

The head itself is `heads.DetectionHead`. Boxes are (centre x, centre y, width, height) in shares of
the picture, float [N, 4].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou_loss

from fashionlib.errors import FashionError
from fashionlib.heads import DetectionHead
from fashionlib.inference import pick_device, predict
from fashionlib.training import Batches, Training, finish, shuffled
from fashionlib.transforms import Preparation


class Answers(NamedTuple):
    """What a head sees and what it is to say of it, for N pictures."""

    maps: Tensor  # float32 [N, features, h, w], of a frozen backbone
    labels: Tensor  # int64 [N]
    boxes: Tensor  # float32 [N, 4]


@dataclass(frozen=True)
class DetectionRecipe:
    """Everything about the training of a head except the head, the maps and the seed."""

    epochs: int
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    average: float = 0.98
    schedule: str = "one-cycle"


class MapsAt(nn.Module):
    """The maps behind some blocks of a backbone, joined along the channels.

    They must have one height and width; block 1 is the first one after the stem.
    """

    def __init__(
        self, backbone: nn.Module, depths: Sequence[int], preparation: Preparation
    ) -> None:
        super().__init__()
        self.blocks, self.depths = backbone.blocks[: max(depths) + 1], tuple(depths)
        self.preparation = preparation
        self.train(backbone.training)  # the mode that `predict` puts it back into

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to float [N, channels, h, w], shallow maps first."""
        maps = []
        for depth, block in enumerate(self.blocks):
            x = block(x)
            if depth in self.depths:
                maps.append(x)
        return torch.cat(maps, dim=1)


def frozen_maps(
    classifier: nn.Sequential, images: Tensor, depths: Sequence[int]
) -> dict[int, Tensor]:
    """The maps of a classifier's backbone behind some blocks: float32 [N, channels, h, w] each.

    Pictures are uint8 [N, 3, H, W], seen at their own size. The backbone answers in evaluation
    mode and without gradients, so nothing of it changes, batch-norm's statistics included; and
    since it does not change, each picture has to be shown to it only once. Block 1 is the first
    one after the stem.

    Raises:
        FashionError: a depth that the backbone does not have.
    """
    blocks = classifier.backbone.blocks
    depths = sorted(set(depths))
    if not depths or depths[0] < 1 or depths[-1] >= len(blocks):
        raise FashionError(f"no such depth: choose from 1 to {len(blocks) - 1}.")
    norms = [[x for x in blocks[d].modules() if isinstance(x, nn.BatchNorm2d)] for d in depths]
    channels = [of_block[-1].num_features for of_block in norms]  # a block's last norm has them
    as_they_are = Preparation(images.shape[-1])
    joined = predict(MapsAt(classifier.backbone, depths, as_they_are), images)
    # a clone, since what inference mode made cannot be trained on
    return {d: part.clone() for d, part in zip(depths, joined.split(channels, dim=1), strict=True)}


def detection_loss(logits: Tensor, found: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """Class and box of a batch, a scalar: logits float [N, C], labels int64 [N], boxes [N, 4].

    The weights 5 and 2 are DETR's (Carion et al. 2020, arXiv 2005.12872, section A.4). L1 pulls a
    box that is far off; GIoU (Rezatofighi et al. 2019, arXiv 1902.09630) is like the IoU judged.
    """
    corners = [box_convert(b, "cxcywh", "xyxy") for b in (found, boxes)]
    overlap = generalized_box_iou_loss(*corners, reduction="mean")
    return F.cross_entropy(logits, labels) + 5 * F.l1_loss(found, boxes) + 2 * overlap


def train_head(
    head: DetectionHead, train: Answers, validation: Answers, recipe: DetectionRecipe, seed: int = 0
) -> tuple[DetectionHead, list[dict[str, float]]]:
    """Train `head` in place; returns the averaged head, on the CPU, and one row an epoch.

    A row has `epoch`, `loss`, `seconds`, and of the validation pictures `iou` (mean) and `right`
    (the share with the right class and an IoU of at least one half). The same seed gives the same
    head.
    """

    def batches(_: int) -> Batches:
        order, device = shuffled(len(train.labels), recipe.batch_size), pick_device()
        return Batches(order, lambda chosen: tuple(part[chosen].to(device) for part in train))

    def figures(average: DetectionHead) -> dict[str, float]:
        logits, found = detect(average, validation.maps)
        right = is_right(logits, found, validation.labels, validation.boxes)
        overlap = iou(found, validation.boxes)
        return {"iou": float(overlap.mean()), "right": float(right.float().mean())}

    def loss_of(network: DetectionHead, maps: Tensor, *wanted: Tensor) -> Tensor:
        return detection_loss(*network(maps), *wanted)

    average, history = finish(Training(head, batches, loss_of, figures, recipe, seed))
    return average.cpu(), history


@torch.inference_mode()
def detect(head: DetectionHead, maps: Tensor, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """A head's logits float32 [N, C] and boxes float32 [N, 4] for maps, on the CPU.

    In evaluation mode; the head is left in the mode it was in.
    """
    device, was_training = next(head.parameters()).device, head.training
    head.eval()
    answers = [head(batch.to(device)) for batch in maps.split(batch_size)]
    head.train(was_training)
    logits, boxes = zip(*answers, strict=True)
    return torch.cat(logits).cpu(), torch.cat(boxes).cpu()


def iou(found: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of each pair of boxes, float [N, 4] and [N, 4] to float [N], 0 to 1.

    One box, float [1, 4], is compared with all.
    """
    a, b = (box_convert(part, "cxcywh", "xyxy") for part in (found, boxes))
    shared = (torch.minimum(a, b)[:, 2:] - torch.maximum(a, b)[:, :2]).clamp(min=0).prod(dim=1)
    return shared / (found[:, 2:].prod(dim=1) + boxes[:, 2:].prod(dim=1) - shared)


def is_right(logits: Tensor, found: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """Whether class and box are right, bool [N]: an IoU of at least one half (PASCAL VOC)."""
    return (logits.argmax(dim=1) == labels) & (iou(found, boxes) >= 0.5)
