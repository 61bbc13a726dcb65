"""The explorer's two faces, Python in Jupyter and JavaScript in the page, count the same."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from fashionlib.blocks import InvertedResidual, conv_bn
from fashionlib.counting import count_macs, count_parameters
from fashionlib.pages.block_explorer import (
    LABELS,
    LIMITS,
    STEPS,
    Setting,
    as_html,
    block_explorer,
    count_block,
    skip_sentence,
    summary,
)

ROOT = Path(__file__).resolve().parents[2]
START, STRIDED = Setting(), Setting(16, 64, 6, stride=2, size=33)
SETTINGS = [
    START,
    Setting(24, 24),
    Setting(24, 24, stride=2),
    STRIDED,
    Setting(72, 72, 1, size=7, depthwise=False),
    Setting(160, 160, 8, stride=2, size=111, depthwise=False),
    Setting(8, 160, 4, size=112),
]


def real_counts(s: Setting) -> dict[tuple[str, str], int]:
    """Counts of modules with memory and weights, one step at a time."""
    block = InvertedResidual(
        s.in_channels, s.out_channels, s.expansion, s.stride, depthwise=s.depthwise
    )
    plain = conv_bn(s.in_channels, s.out_channels, kernel=3, stride=s.stride)
    hidden, small = s.in_channels * s.expansion, -(-s.size // s.stride)
    parts = {
        "expand": (block.expand, s.size, s.in_channels),
        "filter": (block.filter, s.size, hidden),
        "project": (block.project, small, hidden),
        "block": (block, s.size, s.in_channels),
        "plain": (plain, s.size, s.in_channels),
    }
    counts = {}
    for name, (part, size, channels) in parts.items():
        counts[name, "parameters"] = count_parameters(part)
        counts[name, "macs"] = count_macs(part, size, channels)
    return counts


def displayed(html: str) -> dict[tuple[str, str], int]:
    """The numbers in a table of either face."""
    pattern = r'<span data-step="(\w+)" data-count="(\w+)">([\d,]+)</span>'
    return {(m[1], m[2]): int(m[3].replace(",", "")) for m in re.finditer(pattern, html)}


def rows_of(html: str) -> list[list[str]]:
    """The table of either face, its heads first, as its readers see it."""
    rows = re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    cells = [re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


SHAPES = ["96 × 33 × 33", "96 × 17 × 17", *["64 × 17 × 17"] * 3]  # of STRIDED, step by step


def counts_of(setting: Setting) -> list[list[str]]:
    """Parameters and MACs of each step."""
    counts = real_counts(setting)
    return [[f"{counts[step, kind]:,}" for kind in ("parameters", "macs")] for step in STEPS]


def test_each_column_of_the_python_face_has_what_its_head_says():
    heads, *rows = rows_of(as_html(STRIDED))
    assert heads == ["step", "its output", "parameters", "MACs"]
    wanted = zip(STEPS.values(), SHAPES, counts_of(STRIDED), strict=True)
    assert rows == [[name, shape, *counts] for name, shape, counts in wanted]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_python_face_shows_real_counts(setting):
    box = block_explorer()
    *controls, out = box.children
    by_label = {control.description: control for control in controls}
    assert displayed(out.value) == real_counts(START)
    for name, value in asdict(setting).items():
        by_label[LABELS[name]].value = value
    assert displayed(out.value) == real_counts(setting)
    assert summary(setting, count_block(setting)) in out.value


def test_the_longest_bar_of_a_column_is_its_largest_count():
    """With a filter that mixes channels that is the block's, otherwise the plain convolution's."""
    for setting in (Setting(72, 72, 1, size=7, depthwise=False), START):
        page = as_html(setting)
        counts = list(displayed(page).values())
        widths = [float(width) for width in re.findall(r"width:([\d.]+)em", page)]
        assert len(widths) == len(counts)
        for column in (0, 1):  # parameters, MACs
            longest = max(counts[column::2])
            wanted = [10 * count / longest for count in counts[column::2]]
            assert widths[column::2] == pytest.approx(wanted, abs=0.01)


def test_the_start_can_be_reached_and_limits_hold():
    controls = {c.description: c for c in block_explorer().children[:-1]}
    assert set(controls) == set(LABELS.values())
    for name, (least, most, step) in LIMITS.items():
        slider = controls[LABELS[name]]
        assert (slider.min, slider.max, slider.step) == (least, most, step)
        assert least <= getattr(START, name) <= most
        assert (getattr(START, name) - least) % step == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_skip_sentence_agrees_with_the_block(setting):
    block = InvertedResidual(
        setting.in_channels, setting.out_channels, setting.expansion, setting.stride
    )
    assert skip_sentence(setting).startswith("Skip:") == (block.skip is not None)


def test_the_skip_sentence_gives_every_reason():
    both = skip_sentence(Setting(24, 32, stride=2))
    assert both == "No skip: the stride is 2 and 24 channels come in and 32 go out."


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture
def page(chromium, tmp_path):
    static = ROOT / "book" / "_static"
    html = tmp_path / "page.html"
    html.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
        f'<link rel="stylesheet" href="{(static / "book.css").as_uri()}">'
        f'<script defer src="{(static / "block_explorer.js").as_uri()}"></script>'
        '<body style="margin:0"><div class="block-explorer"></div></body></html>'
    )
    # numbers are written as the page is, in English, whatever the browser speaks
    opened = chromium.new_page(viewport={"width": 360, "height": 900}, locale="de-DE")
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(html.as_uri())
    yield opened
    opened.close()
    assert errors == []


def move(page: Page, setting: Setting) -> None:
    """Set every control as a person's drag would: a value, then an input event."""
    for name, value in asdict(setting).items():
        page.locator(f"input[name={name}]").evaluate(
            """(input, value) => {
                if (input.type === "checkbox") input.checked = value;
                else input.value = value;
                input.dispatchEvent(new Event("input", { bubbles: true }));
            }""",
            value,
        )


def test_the_page_counts_what_python_counts(page):
    for setting in [*SETTINGS, replace(START, depthwise=False)]:
        move(page, setting)
        html = page.locator(".block-explorer").inner_html()
        assert displayed(html) == real_counts(setting), setting
        said = page.locator(".bx-summary").text_content()
        assert said == summary(setting, count_block(setting))


def test_the_page_shows_shapes_and_bars(page):
    move(page, STRIDED)
    heads, *rows = rows_of(page.locator(".block-explorer").inner_html())
    assert heads == ["step", "parameters", "MACs"]
    wanted = zip(STEPS.values(), SHAPES, counts_of(STRIDED), strict=True)
    assert rows == [[f"{name}{shape}", *counts] for name, shape, counts in wanted]
    widths = page.locator(".bx-bar > div").evaluate_all("bars => bars.map(b => b.style.width)")
    assert len(widths) == 2 * len(STEPS)
    assert widths.count("100%") == 2


def test_the_page_has_the_same_controls(page):
    for name, (least, most, step) in LIMITS.items():
        slider = page.get_by_label(LABELS[name], exact=True)
        got = [slider.get_attribute(key) for key in ("type", "min", "max", "step", "value")]
        assert got == ["range", *map(str, (least, most, step, getattr(START, name)))]
    assert page.get_by_label(LABELS["depthwise"]).is_checked()
    titles = page.locator("tbody th").evaluate_all("cells => cells.map(c => c.firstChild.data)")
    assert titles == list(STEPS.values())


def test_the_keyboard_moves_it(page):
    slider = page.get_by_label("expansion")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expected = replace(START, expansion=START.expansion + 1)
    html = page.locator(".block-explorer").inner_html()
    assert displayed(html) == real_counts(expected)
    assert page.locator("output[for$=expansion]").text_content() == str(expected.expansion)
    page.get_by_label("depthwise").focus()
    page.keyboard.press("Space")
    html = page.locator(".block-explorer").inner_html()
    assert displayed(html) == real_counts(replace(expected, depthwise=False))


def test_it_speaks_and_fits_a_narrow_screen(page):
    assert page.locator(".bx-summary").get_attribute("aria-live") == "polite"
    move(page, Setting(160, 160, 8, size=112, depthwise=False))  # the longest numbers
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
