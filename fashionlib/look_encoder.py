"""An encoder in parts: what a garment is, its cut, its colour and its pattern (chapter 3).

Deep layers of a classifier forget colour, since a dress is a dress in any. Earlier ones have not
forgotten it yet, and the deepest know *where* the garment is. So category and cut come from the
last map. The look comes from one map of each size, at the places that the encoder attends to.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.blocks import MobileNetBackbone, Plan
from fashionlib.errors import FashionError
from fashionlib.heads import DIMENSIONS
from fashionlib.transforms import Preparation

# Of the squared length of an embedding: category, cut; colour, pattern
SHARES = (0.3, 0.1, 0.32, 0.28)
LOOK_SHARE = SHARES[2] + SHARES[3]
NAMELESS = ("",) * 14, ("",) * 7  # colours and patterns that nobody has named
SHARPNESS = 12.0  # a logit is this times a cosine; cosines alone never give a probability near 1


class LookEncoder(nn.Module):
    """Float [N, 3, H, W] to unit vectors float [N, dimensions]: category, cut, colour, pattern.

    The cut is a direction, a linear layer on the backbone's features. Category, colour and pattern
    are the square roots of probabilities, one for each name: of length 1 as well, and two are at
    distance 0 where they say the same, at the square root of 2 where they exclude each other
    (Bhattacharyya 1946). The category follows from the cut: it is nearest to the direction of its
    *proxy*. `SHARES` is how much of a squared distance each part is.

    `names` are categories, colours and patterns, "" where a training gives them no meaning.
    """

    def __init__(
        self,
        backbone: MobileNetBackbone,
        names: Sequence[Sequence[str]],
        dimensions: int = DIMENSIONS,
    ) -> None:
        super().__init__()
        self.preparation = Preparation()  # until it is trained for another
        self.backbone = backbone
        self.categories, self.colours, self.patterns = map(tuple, names)
        cut = dimensions - sum(map(len, names))
        looks = len(self.colours) + len(self.patterns)
        self.sizes = [len(self.categories), cut, len(self.colours), len(self.patterns)]
        self.cut = nn.Linear(backbone.features, cut)
        self.proxies = nn.Linear(cut, len(self.categories), bias=False)
        channels = [channels for _, channels in ends_of_sizes(backbone.plan)]
        deepest = sum(channels[-2:])
        self.where = nn.Sequential(
            nn.BatchNorm2d(deepest, affine=False), nn.Conv2d(deepest, 1, kernel_size=1)
        )
        nn.init.zeros_(self.where[1].weight)  # to begin with it looks at the middle
        # channels differ in mean and size; without a norm the brightest would rule
        self.look = nn.Sequential(
            nn.BatchNorm1d(2 * sum(channels), affine=False), nn.Linear(2 * sum(channels), looks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to embeddings of length 1, float [N, dimensions]."""
        maps = self.maps(x)
        cut = F.normalize(self.cut(maps[-1].mean(dim=(2, 3))), dim=1)
        cosines = F.linear(cut, F.normalize(self.proxies.weight, dim=1))
        attention = self.attention(maps)
        seen = torch.cat([mean_and_deviation(each, attention) for each in maps], dim=1)
        colour, pattern = self.look(seen).split(self.sizes[2:], dim=1)
        parts = root(SHARPNESS * cosines), cut, root(colour), root(pattern)
        return torch.cat([s**0.5 * part for s, part in zip(SHARES, parts, strict=True)], dim=1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The last map of each size: float [N, C, h, w], largest first."""
        ends, found = [block for block, _ in ends_of_sizes(self.backbone.plan)], []
        for number, block in enumerate(self.backbone.blocks):
            x = block(x)
            if number in ends:
                found.append(x)
        return found

    def attention(self, maps: list[Tensor]) -> Tensor:
        """Where to look: float [N, 1, h, w], above 0, of sum 1 for each picture.

        As fine as the last map but one, which shows edges; the last knows what they are of.
        """
        height, width = maps[-2:][0].shape[2:]
        seen = torch.cat([on_grid(each, (height, width)) for each in maps[-2:]], dim=1)
        prior = hann(height)[:, None] * hann(width)[None, :]
        weights = (self.where(seen) + prior.log().to(seen)).flatten(1).softmax(dim=1)
        return weights.view(-1, 1, height, width)

    def parts(self, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take embeddings float [N, dimensions] apart: category, cut, colour, pattern.

        Each of length 1.
        """
        parts = embeddings.split(self.sizes, dim=1)
        return tuple(part / share**0.5 for part, share in zip(parts, SHARES, strict=True))

    def named(self, embeddings: Tensor) -> list[tuple[str, str]]:
        """Colour and pattern of each of embeddings float [N, dimensions], as most probable.

        Raises:
            FashionError: the encoder was trained without names of looks.
        """
        if not self.colours[0]:
            raise FashionError("this encoder has no names for looks: train it on labelled ones.")
        best = [part.argmax(dim=1).tolist() for part in self.parts(embeddings)[2:]]
        return [(self.colours[n], self.patterns[m]) for n, m in zip(*best, strict=True)]

    def blended(self, what: Tensor, look: Tensor, share: float = LOOK_SHARE) -> Tensor:
        """A query for the category and cut of one embedding in the look of another: float [D] each.

        `share` is the weight of look, 0 for the first alone, 1 for the look alone. In a search the
        order is that of distances whose parts were weighted so: it depends on the cosine to each
        embedding, and that is a weighted sum over the parts.
        """
        start = sum(self.sizes[:2])
        kept = what[:start] * ((1 - share) / (1 - LOOK_SHARE))
        return F.normalize(torch.cat([kept, look[start:] * (share / LOOK_SHARE)]), dim=0)


def ends_of_sizes(plan: Plan) -> list[tuple[int, int]]:
    """The last block of each map size, and its channels; blocks count from 0, the stem."""
    ends, block = [(0, plan.stem)], 0
    for _, channels, count, stride in plan.stages:
        if stride == 1:  # its maps are as large as those before, which are no end then
            ends.pop()
        block += count
        ends.append((block, channels))
    return ends


def root(logits: Tensor) -> Tensor:
    """Square roots of the probabilities: logits float [N, C] to unit vectors float [N, C].

    Half of a logarithm is the logarithm of the root. A plain `sqrt` would have an infinite gradient
    where a probability is 0.
    """
    return (logits.log_softmax(dim=1) / 2).exp()


def mean_and_deviation(maps: Tensor, attention: Tensor) -> Tensor:
    """Of each channel where it is attended to: float [N, C, H, W] and [N, 1, h, w] to [N, 2C].

    The mean of a filter that answers to red says how red a garment is, its deviation whether it
    is striped.
    """
    grid = attention.shape[2:]
    mean = (on_grid(maps, grid) * attention).sum(dim=(2, 3))
    square = (on_grid(maps**2, grid) * attention).sum(dim=(2, 3))
    # the root has no gradient at 0
    return torch.cat([mean, (square - mean**2).clamp(min=1e-4).sqrt()], dim=1)


def on_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Means over the cells of a grid, float [N, C, h, w]; a coarser map is repeated."""
    if maps.shape[2] < grid[0]:
        return F.interpolate(maps, grid)
    return F.adaptive_avg_pool2d(maps, grid)


def hann(size: int) -> Tensor:
    """A raised cosine, float [size], above 0 everywhere, of sum 1 (a Hann window).

    Garments are photographed in the middle, sheets and hangers around them.
    """
    window = torch.hann_window(size + 2, periodic=False)[1:-1]
    return window / window.sum()


def look_encoder_from(
    classifier: nn.Sequential, names: Sequence[Sequence[str]], dimensions: int = DIMENSIONS
) -> LookEncoder:
    """One that starts with a *copy* of a trained classifier's backbone."""
    encoder = LookEncoder(copy.deepcopy(classifier.backbone), names, dimensions)
    encoder.preparation = classifier.preparation
    return encoder
