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
    ends = s.in_channels, s.out_channels
    with torch.device("meta"):
        block = InvertedResidual(*ends, s.expansion, s.stride, depthwise=s.depthwise)
        plain = conv_bn(*ends, kernel=3, stride=s.stride)
    shape = (s.in_channels, s.size, s.size)
    (whole,) = layer_table(block, shape, depth=0)
    (other,) = layer_table(plain, shape, depth=0)
    steps = [line for line in layer_table(block, shape, depth=1) if line.name in STEPS]
    return [*steps, whole._replace(name="block"), other._replace(name="plain")]


def skip_sentence(setting: Setting) -> str:
    """Whether the input is added to the output, and why."""
    inside, outside = setting.in_channels, setting.out_channels
    reasons = [f"the stride is {setting.stride}"] if setting.stride != 1 else []
    if inside != outside:
        reasons.append(f"{inside} channels come in and {outside} go out")
    if reasons:
        return f"No skip: {' and '.join(reasons)}."
    return "Skip: the input is added to the output, both have the same shape."


def summary(setting: Setting, lines: list[LayerCount]) -> str:
    """The one sentence a screen reader says after a change."""
    block, plain = lines[-2:]
    ours = f"The block has {block.parameters:,} parameters and takes {block.macs:,} MACs"
    other = f"a plain 3×3 convolution has {plain.parameters:,} and takes {plain.macs:,}"
    return f"{ours}; {other}. {skip_sentence(setting)}"


def as_html(setting: Setting) -> str:
    """The counts as a table with bars, under the summary."""
    lines = count_block(setting)
    rows = []
    most = {kind: max(getattr(line, kind) for line in lines) for kind in ("parameters", "macs")}
    for line in lines:
        shape = " × ".join(map(str, line.shape))
        row = f'<th scope="row" {CELL}>{STEPS[line.name]}</th><td {CELL}>{shape}</td>'
        for kind, longest in most.items():
            count = getattr(line, kind)
            bar = f"background:#0072B2;height:6px;width:{10 * count / longest:.2f}em"
            row += f'<td {CELL}><span data-step="{line.name}" data-count="{kind}">{count:,}</span>'
            row += f'<div style="{bar}"></div></td>'
        rows.append(f"<tr>{row}</tr>")
    names = ("step", "its output", "parameters", "MACs")
    head = "".join(f"<th {CELL}>{name}</th>" for name in names)
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
