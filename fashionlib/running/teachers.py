"""Other targets than the labels, for any training: mixed pictures, and teachers (distillation).

Sources: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531; Beyer et
al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022, arXiv
2106.05237 (teacher and student see the same augmented picture, for long).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.inference import pick_device
from fashionlib.training import Batches, Training
from fashionlib.weights import weights_hash


def change_batches(training: Training, name: str, change: Callable[..., tuple]) -> None:
    """Change each batch of a training before its step. Several changes follow one another.

    `change` takes inputs float [N, 3, H, W] and labels, and returns both. A checkpoint keeps
    `name`, so that a run without the change does not go on from it. Mixup (Zhang et al. 2018,
    arXiv 1710.09412) with their alpha:

    ```python
    change_batches(training, "mixup 0.2", v2.MixUp(alpha=0.2, num_classes=7))
    ```
    """
    batches = training.batches

    def changed(epoch: int) -> Batches:
        plain = batches(epoch)
        return replace(plain, load=lambda chosen: change(*plain.load(chosen)))

    training.batches = changed
    training.about = {**training.about, "changes": [*training.about.get("changes", []), name]}


def learn_from(training: Training, teachers: Sequence[nn.Module]) -> None:
    """Train a classifier towards the mean of the label and what its teachers answer.

    The teachers see each augmented (and mixed) picture that the student sees. They have to be in
    evaluation mode, and to know the same classes.
    """
    for teacher in teachers:
        teacher.to(pick_device())

    def ask(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        answers = mean_answer(teachers, inputs)
        shares = labels if labels.ndim == 2 else F.one_hot(labels, answers.shape[1])
        return inputs, (shares + answers) / 2

    hashes = ", ".join(map(weights_hash, teachers))
    change_batches(training, f"{len(teachers)} teachers: {hashes}", ask)


@torch.inference_mode()
def mean_answer(teachers: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Mean probabilities of the teachers, float [N, C], for inputs float [N, 3, H, W]."""
    return torch.stack([teacher(inputs).softmax(dim=1) for teacher in teachers]).mean(dim=0)
