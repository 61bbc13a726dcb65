"""Learning from trained networks besides the labels.

Sources: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531; Beyer et
al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022, arXiv
2106.05237 (teacher and student see the same augmented picture, for long).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.catalog import Catalog
from fashionlib.training import Recipe, train_classifier


@torch.inference_mode()
def opinion(teachers: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Mean probabilities of the teachers, float [N, C], for inputs float [N, 3, H, W]."""
    return torch.stack([teacher(inputs).softmax(dim=1) for teacher in teachers]).mean(dim=0)


def distil_classifier(
    student: nn.Module,
    teachers: Sequence[nn.Module],
    catalog: Catalog,
    recipe: Recipe,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """As `train_classifier`, but half of what the student is to answer comes from teachers.

    The teachers, in evaluation mode and with the catalog's classes, look at each augmented and
    mixed picture that the student sees; their mean answer and the label count the same.

    Raises:
        FashionError: the checkpoint belongs to another run, or cannot be written.
    """

    def teach(inputs: Tensor, labels: Tensor) -> Tensor:
        answers = opinion(teachers, inputs)
        shares = labels if labels.ndim == 2 else F.one_hot(labels, answers.shape[1])
        return (shares + answers) / 2

    return train_classifier(student, catalog, recipe, seed, checkpoint, teach)
