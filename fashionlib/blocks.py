"""The inverted residual block (chapter 1).

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
arXiv 1801.04381, section 3 and table 1.
"""

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
    and equal channels (MobileNetV2, section 3.2). `project_skip=True` adds it everywhere, through
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
        """Float [N, in_channels, H, W] to float [N, out_channels, H / stride, W / stride]."""
        out = self.project(self.filter(self.expand(x)))
        return out if self.skip is None else out + self.skip(x)
