"""The inverted residual block, and the backbone, a table of such blocks (chapter 1).

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
arXiv 1801.04381, section 3 and table 1.
"""

from dataclasses import dataclass

from torch import Tensor, nn


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution, batch normalisation and (unless `activation=False`) ReLU6.

    Maps float [N, in_channels, H, W] to [N, out_channels, ceil(H / stride), ceil(W / stride)]
    for odd kernels. The convolution has no bias: the normalisation behind it has one.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
    ]
    if activation:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """Expand, filter each channel on its own, project: narrow, wide, narrow.

    Maps float [N, in_channels, H, W] to [N, out_channels, ceil(H / stride), ceil(W / stride)].

    The input is added to the output only where both have the same shape, that is for stride 1
    and equal channels (MobileNetV2, section 3.3). `project_skip=True` adds it everywhere, through
    a 1×1 convolution where the shapes differ. `depthwise=False` leaves out `groups`, the
    mistake behind the article's parameter count: the wide convolution then mixes all channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int = 6,
        stride: int = 1,
        *,
        depthwise: bool = True,
        project_skip: bool = False,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        groups = hidden if depthwise else 1
        self.expand = conv_bn(in_channels, hidden)
        self.filter = conv_bn(hidden, hidden, kernel=3, stride=stride, groups=groups)
        self.project = conv_bn(hidden, out_channels, activation=False)
        self.skip: nn.Module | None = None
        if stride == 1 and in_channels == out_channels:
            self.skip = nn.Identity()
        elif project_skip:
            self.skip = conv_bn(in_channels, out_channels, stride=stride, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, in_channels, H, W] to [N, out_channels, ceil(H / stride), ceil(W / stride)]."""
        out = self.project(self.filter(self.expand(x)))
        return out if self.skip is None else out + self.skip(x)


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

    def __init__(self, plan: str | Plan) -> None:
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
        self.plan = plan

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, H, W] to float [N, features]: blocks, then the mean over positions."""
        return self.blocks(x).mean(dim=(2, 3))
