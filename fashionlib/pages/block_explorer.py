"""The block explorer: move a block's settings, see what it costs (chapter 1).

It has two faces. This one runs in Jupyter and counts real modules. The one in the built page,
`book/_static/block_explorer.js`, has no Python behind it and uses formulas; a test holds them
equal.
"""

from dataclasses import asdict, dataclass

import torch

from fashionlib.blocks import InvertedResidual, conv_bn
from fashionlib.counting import LayerCount, layer_table

LABELS = {
    "in_channels": "channels in", "out_channels": "channels out", "expansion": "expansion",
    "stride": "stride", "size": "map size", "depthwise": "depthwise",
}  # fmt: skip
# least, most, step
LIMITS = {
    "in_channels": (8, 160, 8), "out_channels": (8, 160, 8), "expansion": (1, 8, 1),
    "stride": (1, 2, 1), "size": (7, 112, 1),
}  # fmt: skip
STEPS = {
    "expand": "expand 1×1", "filter": "filter 3×3", "project": "project 1×1",
    "block": "whole block", "plain": "plain 3×3 convolution",
}  # fmt: skip

CELL = 'style="text-align:left;vertical-align:top;padding:0.3em 1.2em 0.3em 0"'


@dataclass(frozen=True)
class Setting:
    """One position of all the sliders. `size` is the side of the square map that comes in."""

    in_channels: int = 24
    out_channels: int = 32
    expansion: int = 3
    stride: int = 1
    size: int = 32
    depthwise: bool = True


def count_block(setting: Setting) -> list[LayerCount]:
    """Lines named as in `STEPS`, counted on modules without memory ("meta"), so in no time."""
    s = setting
    with torch.device("meta"):
        block = InvertedResidual(
            s.in_channels, s.out_channels, s.expansion, s.stride, depthwise=s.depthwise
        )
        plain = conv_bn(s.in_channels, s.out_channels, kernel=3, stride=s.stride)
    shape = (s.in_channels, s.size, s.size)
    (whole,) = layer_table(block, shape, depth=0)
    (other,) = layer_table(plain, shape, depth=0)
    steps = [line for line in layer_table(block, shape, depth=1) if line.name in STEPS]
    return [*steps, whole._replace(name="block"), other._replace(name="plain")]


def skip_sentence(setting: Setting) -> str:
    """Whether the input is added to the output, and why."""
    reasons = []
    if setting.stride != 1:
        reasons.append(f"the stride is {setting.stride}")
    if setting.in_channels != setting.out_channels:
        reasons.append(f"{setting.in_channels} channels come in and {setting.out_channels} go out")
    if reasons:
        return f"No skip: {' and '.join(reasons)}."
    return "Skip: the input is added to the output, both have the same shape."


def summary(setting: Setting, lines: list[LayerCount]) -> str:
    """The one sentence a screen reader says after a change."""
    block, plain = lines[-2:]
    return (
        f"The block has {block.parameters:,} parameters and takes {block.macs:,} MACs; a plain "
        f"3×3 convolution has {plain.parameters:,} and takes {plain.macs:,}. "
        f"{skip_sentence(setting)}"
    )


def as_html(setting: Setting) -> str:
    """The counts as a table with bars, under the summary."""
    lines = count_block(setting)
    rows = []
    for line in lines:
        shape = " × ".join(map(str, line.shape))
        cells = [f'<th scope="row" {CELL}>{STEPS[line.name]}</th><td {CELL}>{shape}</td>']
        for kind in ("parameters", "macs"):
            count = getattr(line, kind)
            width = 100 * count / max(getattr(other, kind) for other in lines)
            cells.append(
                f'<td {CELL}><span data-step="{line.name}" data-count="{kind}">'
                f'{count:,}</span><div style="background:#0072B2;height:6px;'
                f'width:{width / 10:.2f}em"></div></td>'
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(
        f"<th {CELL}>{name}</th>" for name in ("step", "its output", "parameters", "MACs")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<p>{summary(setting, lines)}</p>{table}"


def block_explorer():
    """Sliders over a table of counts, as an ipywidgets VBox: for a running notebook."""
    import ipywidgets  # noqa: PLC0415 - part of the notebooks extra; the library works without it

    start = asdict(Setting())
    wide = {"style": {"description_width": "7em"}, "layout": {"width": "min(32em, 98%)"}}
    controls = {
        name: ipywidgets.IntSlider(start[name], *limits, description=LABELS[name], **wide)
        for name, limits in LIMITS.items()
    }
    style, label = wide["style"], LABELS["depthwise"]
    controls["depthwise"] = ipywidgets.Checkbox(start["depthwise"], description=label, style=style)
    out = ipywidgets.HTML()

    def update(_: object = None) -> None:
        out.value = as_html(Setting(**{name: control.value for name, control in controls.items()}))

    for control in controls.values():
        control.observe(update, names="value")
    update()
    return ipywidgets.VBox([*controls.values(), out])
