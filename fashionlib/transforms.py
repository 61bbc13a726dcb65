"""From stored pictures to what a network sees: augmented for training, plain for evaluation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2


def to_input(images: Tensor, size: int | None = None, device: torch.device | str = "cpu") -> Tensor:
    """Pictures uint8 [N, 3, H, W] to float32 [N, 3, size, size] from -1 to 1, on `device`.

    `size=None` keeps H and W. Nothing random happens here: evaluation uses only this function,
    so the same picture gives the same input every time. The result is stored channels-last,
    which makes convolutions on a CPU about twice as fast and changes no value.
    """
    images = images.to(device)
    if size is not None and images.shape[-2:] != (size, size):
        images = v2.functional.resize(images, [size, size], antialias=True)
    floats = images.float().div_(127.5).sub_(1.0)
    return floats.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Preparation:
    """How pictures become the input of one network: squares of `size` pixels, in a range.

    A network answers well only to pictures that are prepared as in its evaluation, so it carries
    this as `preparation`; `predict`, an index and an exported file read it there. `range` and
    `resize` say what `to_input` and `to_square` do: they are saved with the weights, so that
    weights of a version that does otherwise are refused.
    """

    size: int = 128
    range: tuple[float, float] = (-1.0, 1.0)
    resize: str = "square"

    def __call__(self, images: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Pictures uint8 [N, 3, H, W] to float32 [N, 3, size, size] on `device`."""
        return to_input(images, self.size, device)


def cropped(size: int, least: float, *more: v2.Transform) -> v2.Transform:
    """A random crop of at least that share of a picture, at `size` × `size`; a flip; and `more`."""
    crop = v2.RandomResizedCrop(size, scale=(least, 1.0), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), *more])


LIGHT = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)
PART_GREYED = v2.RandomErasing(0.2, scale=(0.02, 0.2), value=127)

# By name, from the side of the pictures, in pixels, to what happens to each of them
AUGMENTATIONS: dict[str, Callable[[int], v2.Transform]] = {
    # the article's: a flip and a rotation by up to 10 degrees
    "article": lambda size: v2.Compose(
        [
            v2.Resize([size, size], antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(10, fill=127),
        ]
    ),
    # ours: a crop, a flip and a change of light
    "fashion": lambda size: cropped(size, 0.6, LIGHT),
    # for long training: smaller crops, and now and then a part greyed out
    "strong": lambda size: cropped(size, 0.35, LIGHT, PART_GREYED),
    # no change of light: two views of a garment share its colours
    "views": lambda size: cropped(size, 0.5),
}


def augment(images: Tensor, augmentation: v2.Transform) -> Tensor:
    """Each picture of uint8 [N, 3, H, W] on its own draw: uint8 [N, 3, size, size].

    torchvision draws once for a whole batch; a batch in which every picture is flipped, or none,
    teaches less, so this goes picture by picture. Draws come from torch's global generator.
    """
    return torch.stack([augmentation(image) for image in images])


def swap_frames(images: Tensor) -> Tensor:
    """Each picture's middle on another's edges: uint8 [N, 3, H, W], or a float tensor, to the same.

    Garments are photographed in the middle. What is around them, a sheet or a hanger, is to tell
    the encoder nothing, so it is taken from another picture of the batch. The middle is a rounded
    box of random size; its edge cuts off a sleeve now and then, as a crop does. Draws come from
    torch's global generator.
    """
    count, _, height, width = images.shape
    half = torch.empty(2, count, 1, 1, 1).uniform_(0.55, 1.0)
    shift = torch.empty(2, count, 1, 1, 1).uniform_(-0.1, 0.1)
    across = torch.linspace(-1, 1, width)[None, None, None, :]
    down = torch.linspace(-1, 1, height)[None, None, :, None]
    inside = ((across - shift[0]) / half[0]) ** 4 + ((down - shift[1]) / half[1]) ** 4 < 1
    return torch.where(inside.to(images.device), images, images.roll(1, dims=0))
