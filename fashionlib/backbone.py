"""A backbone is a table of inverted residual blocks (chapters 1 and 2)."""

from dataclasses import dataclass

from torch import Tensor, nn

from fashionlib.blocks import InvertedResidual, conv_bn


@dataclass(frozen=True)
class Plan:
    """A network as data, in the notation of MobileNetV2's table 2.

    `stem` is the number of channels after the first 3×3 convolution (stride 2). Each stage is
    `(t, c, n, s)`: n blocks with expansion t and c output channels; the first has stride s.
    """

    stem: int
    stages: tuple[tuple[int, int, int, int], ...]
    depthwise: bool = True
    project_skip: bool = False


PLANS = {
    # the article's three blocks, with a projected skip so that its additions have equal shapes
    "article": Plan(16, ((3, 24, 1, 2), (3, 32, 1, 2), (6, 64, 1, 2)), project_skip=True),
    # the same without `groups`: what its headline number counts
    "article-dense": Plan(
        16, ((3, 24, 1, 2), (3, 32, 1, 2), (6, 64, 1, 2)), depthwise=False, project_skip=True
    ),
    # the same budget spent on depth
    "fashion": Plan(24, ((3, 32, 2, 2), (6, 40, 3, 2), (6, 64, 7, 2))),
}


class MobileNetBackbone(nn.Module):
    """Pictures in, one feature vector each out: float [N, 3, H, W] to float [N, features].

    `plan` is a name from `PLANS` or a `Plan`. `features` is the last stage's channel count (64
    in all our plans). Any H and W of at least 1 work; the average over positions makes the
    output size independent of them.
    """

    def __init__(self, plan: str | Plan = "article") -> None:
        super().__init__()
        plan = PLANS[plan] if isinstance(plan, str) else plan
        blocks: list[nn.Module] = [conv_bn(3, plan.stem, kernel=3, stride=2)]
        channels = plan.stem
        options = {"depthwise": plan.depthwise, "project_skip": plan.project_skip}
        for t, c, n, s in plan.stages:
            for i in range(n):
                blocks.append(InvertedResidual(channels, c, t, s if i == 0 else 1, **options))
                channels = c
        self.blocks = nn.Sequential(*blocks)
        self.features = channels

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to float [N, features]: blocks, then the mean over positions."""
        return self.blocks(x).mean(dim=(2, 3))
