"""Learning from trained networks besides the labels.

Sources: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531; Beyer et
al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022, arXiv
2106.05237 (teacher and student see the same augmented picture, for long).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from fashionlib.catalog import Catalog
from fashionlib.training import (
    Recipe,
    evaluate,
    run_epochs,
    set_learning_rate,
    train_step,
    update_average,
)
from fashionlib.transforms import AUGMENTATIONS, augment, to_input


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

    def learn(average: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> dict:
        device = next(student.parameters()).device
        transform = AUGMENTATIONS[recipe.augmentation](recipe.size)
        mix = v2.MixUp(alpha=recipe.mixup, num_classes=len(catalog.classes))
        images, labels = catalog.train.images, catalog.train.labels
        count = max(1, len(labels) // recipe.batch_size)
        batches = torch.randperm(len(labels)).split(recipe.batch_size)[:count]
        losses = []
        student.train()
        for step, chosen in enumerate(batches, start=epoch * count):
            set_learning_rate(optimizer, recipe, progress=step / (count * recipe.epochs))
            inputs = to_input(augment(images[chosen], transform), device=device)
            inputs, wanted = mix(inputs, labels[chosen].to(device))
            wanted = (wanted + opinion(teachers, inputs)) / 2
            losses.append(train_step(student, optimizer, inputs, wanted, recipe.label_smoothing))
            update_average(average, student, keep=min(recipe.average, (step + 1) / (step + 10)))
        return {"loss": float(torch.stack(losses).mean())}

    def look(average: nn.Module) -> dict:
        return evaluate(average, catalog.validation, recipe.evaluation_size)

    return run_epochs(student, catalog, recipe, seed, checkpoint, learn, look)
