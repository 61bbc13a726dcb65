"""What a network costs and what it sees: parameters, multiply-accumulates, receptive field.

Everything is counted on the network itself, so that no formula in the text has to be believed.
"""

import copy
import math
from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor, nn


class LayerCount(NamedTuple):
    """One line of `layer_table`: the output shape is without the batch."""

    name: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


class Field(NamedTuple):
    """One line of `receptive_fields`: `size` input pixels seen, `step` between two neighbours."""

    name: str
    kernel: int
    stride: int
    size: int
    step: int


def count_parameters(module: nn.Module) -> int:
    """Numbers that training changes, BatchNorm's scale and shift included."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, size: int | tuple[int, int], channels: int = 3) -> int:
    """Multiply-accumulates of one forward pass of one picture, float [1, channels, *size].

    Convolutions and linear layers count, as in papers. What is left out is small: additions of a
    bias or a skip, activations, and batch normalisation (which can be folded into the
    convolution before it once training is over).
    """
    height, width = (size, size) if isinstance(size, int) else size
    return sum(line.macs for line in layer_table(module, (channels, height, width)))


def layer_table(
    module: nn.Module, input_shape: tuple[int, ...], depth: int | None = None
) -> list[LayerCount]:
    """One line for each layer, in the order of the code, for one input [1, *input_shape].

    With `depth`, modules that many levels down are one line each, with all that is inside them:
    `depth=1` gives the steps of a block, or the blocks of a `nn.Sequential`.
    """
    shapes: dict[nn.Module, tuple[int, ...]] = {}
    macs: Counter[nn.Module] = Counter()

    def observe(part: nn.Module, _: object, out: object) -> None:
        if isinstance(out, Tensor):
            shapes[part] = tuple(out.shape[1:])
        if isinstance(part, nn.Conv2d):
            inside = part.in_channels // part.groups
            macs[part] += inside * math.prod(part.kernel_size) * out.numel()
        elif isinstance(part, nn.Linear):
            macs[part] += part.in_features * out.numel()

    twin = copy.deepcopy(module).eval()  # the module itself is left as it is
    for part in twin.modules():
        part.register_forward_hook(observe)
    parameter = next(twin.parameters(), torch.empty(0))
    with torch.no_grad():
        twin(torch.zeros(1, *input_shape, device=parameter.device, dtype=parameter.dtype))
    lines = []
    for name, part in twin.named_modules():
        level = name.count(".") + 1 if name else 0
        leaf = not any(part.children())
        if part in shapes and (level == depth or (leaf and (depth is None or level < depth))):
            inside = sum(macs[layer] for layer in part.modules())
            lines.append(LayerCount(name, shapes[part], count_parameters(part), inside))
    return lines


def receptive_fields(module: nn.Module) -> list[Field]:
    """How much of the input one output position depends on, after each convolution.

    A convolution of kernel k adds (k - 1) times the distance, in input pixels, between two
    neighbours of its input; a stride multiplies that distance. Follows the convolutions one after
    another, without what is called `skip` (a skip sees less than the path beside it).
    """
    fields = []
    size = step = 1
    for name, conv in module.named_modules():
        if not isinstance(conv, nn.Conv2d) or "skip" in name.split("."):
            continue
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        size += (kernel - 1) * step
        step *= stride
        fields.append(Field(name, kernel, stride, size, step))
    return fields


def receptive_field(module: nn.Module) -> int:
    """Side, in input pixels, of the square that one position of the last map depends on."""
    return receptive_fields(module)[-1].size


def footprint(module: nn.Module, size: int | None = None) -> Tensor:
    """How strongly each pixel moves the middle of the last map: float64 [size, size].

    The absolute gradient of the middle position (summed over its channels) with respect to a
    random picture, summed over the picture's three channels. Zero means: no influence at all. In
    double precision, since far pixels count little, and with BatchNorm as in use, since in
    training it makes every pixel depend on every other.

    `module` are the blocks of a backbone, without the average over positions; `size` is by default
    the least that shows the whole footprint.
    """
    if size is None:
        field, step = receptive_fields(module)[-1][-2:]
        size = (math.ceil(field / step) + 2) * step
    twin = copy.deepcopy(module).cpu().double().eval()
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(1, 3, size, size, generator=generator, dtype=torch.float64)
    out = twin(picture.requires_grad_())
    middle = out[0, :, out.shape[2] // 2, out.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, picture)
    return gradient[0].abs().sum(dim=0)


def measured_receptive_field(module: nn.Module, size: int | None = None) -> int:
    """The side of the square of pixels that `footprint` finds to matter.

    In a picture too small for the whole footprint the answer is too small.
    """
    touched = footprint(module, size) != 0
    return max(int(touched.any(dim=side).sum()) for side in (0, 1))
