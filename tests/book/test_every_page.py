"""Every page for every reader: the network cut, both themes, a phone, the keyboard, axe-core.

Each page is opened once and looked at in every way; each test reads what one of the ways found.
"""

import re
from collections import defaultdict
from pathlib import Path

import pytest
import vendor
from browsing import opened, overflow
from playwright.sync_api import Page, expect
from test_book import pages

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(__file__).parents[1] / "vendor" / "axe" / "axe.min.js"
LEVEL_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
AUDITS = {"light, desk": ("light", WIDE), "dark, phone": ("dark", NARROW)}
# a colour on its way to another is not what a reader is left with
STILL = "*, *::before, *::after { animation: none !important; transition: none !important; }"

# what scrolls sideways, closed answers opened: its tag, classes and first words
SCROLLERS = """() => [...document.querySelectorAll("*")]
    .filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX))
    .filter(e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1)
    .filter(e => !e.matches("pre") && !e.querySelector(":scope > table"))
    .map(e => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 60)}`)"""

# code that is wider than the page shows: its first line
WIDE_CODE = """() => [...document.querySelectorAll("div.highlight pre")]
    .filter(e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent.trim().slice(0, 60))"""

# icons that are not there: drawn as a question mark that moves, or not at all
NO_ICONS = """() => [...document.querySelectorAll("svg.svg-inline--fa, i[class*=fa-]")]
    .filter(e => !e.querySelector(":scope > path"))
    .map(e => e.outerHTML.slice(0, 160))"""

# the rings around a control, or around the labels that stand for it; empty where there is none
RINGS = """() => { window.rings = e =>
    [[e], [e, "::after"], ...[...(e.labels ?? [])].map(label => [label])]
    .map(part => getComputedStyle(...part))
    .filter(style => Number(style.opacity) > 0)
    .map(style => (style.outlineStyle === "none" || parseFloat(style.outlineWidth) === 0
        ? "" : style.outline) + (style.boxShadow === "none" ? "" : style.boxShadow)).join("") }"""

# leave one piece of code of each colour on each background: axe takes its time for every one
FEW_PIECES = """() => {
    const seen = new Set();
    const kind = e => e.className + getComputedStyle(e.closest("pre")).backgroundColor;
    [...document.querySelectorAll("div.highlight span")].map(e => [e, kind(e)])
        .filter(([, kind]) => seen.size === seen.add(kind).size)
        .forEach(([e]) => e.replaceWith(...e.childNodes));
}"""

# number all that a person can act on or has to scroll; a group of radio buttons is one stop
CONTROLS = """() => {
    const groups = new Set();
    const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowX)
        && e.scrollWidth > e.clientWidth + 1 && !e.querySelector("a, button, input");
    const wanted = [...document.querySelectorAll("*")].filter(e => {
        const control = "a[href], button, input, select, textarea, summary, video[controls]";
        if (!e.matches(control) && !scrolls(e)) return false;
        if (e.matches(":disabled")) return false; // itself, or the fieldset around it
        if (!e.checkVisibility({ visibilityProperty: true })) return false;
        if (e.closest("[inert], dialog:not([open])") || !e.getClientRects().length) return false;
        if (e.type !== "radio") return true;
        return !groups.has(e.name) && groups.add(e.name);
    });
    wanted.forEach((e, number) => {
        e.dataset.control = number;
        e.dataset.rings = rings(e);
    });
    return wanted.map(e => e.outerHTML.slice(0, 160));
}"""

# what has the focus now: its number, and whether a ring that was not there before tells a person so
FOCUSED = """() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const group = e.type === "radio" && document.querySelector(
        `input[type=radio][name="${CSS.escape(e.name)}"][data-control]`);
    return { number: (group || e).dataset.control, html: e.outerHTML.slice(0, 160),
             seen: !["", e.dataset.rings].includes(rings(e)) };
}"""


def listed(by_page: dict[str, list]) -> list[str]:
    """One line a fault, with its page; none when all pages were looked at and are well."""
    assert len(by_page) > 5
    return [f"{page}: {fault}" for page, found in by_page.items() for fault in found]


def audit(page: Page) -> list[str]:
    """What axe-core holds against a page as it stands, one line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    options = {"runOnly": LEVEL_AA, "resultTypes": ["violations"]}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [f"{v['id']}: {n['html'][:200]} ({n['target']})" for v in found for n in v["nodes"]]


def settle(page: Page) -> None:
    """Open what is folded, still what moves, and let the page's scripts see it."""
    engine = ".search-engine"  # on one page; its controls open up once it has loaded
    if page.locator(engine).count():
        page.wait_for_selector(f"{engine}[data-state=ready]")
    page.add_style_tag(content=STILL)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")


def walk(page: Page) -> tuple[list[str], list[str]]:
    """Controls that the Tab key does not reach, and those that do not show that they have focus."""
    page.evaluate(RINGS)
    wanted = page.evaluate(CONTROLS)
    reached, unseen = set(), []
    for _ in range(2 * len(wanted) + 10):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:  # past the last one
            break
        if focused["number"] is not None:
            reached.add(int(focused["number"]))
        if not focused["seen"]:
            unseen.append(focused["html"])
    return [html for number, html in enumerate(wanted) if number not in reached], unseen


def turn(page: Page, scheme: str, size: dict[str, int]) -> None:
    """Show a page in the other theme, or on another screen, and let its scripts see it."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("s => document.documentElement.dataset.theme === s", arg=scheme)
    if page.viewport_size != size:
        page.set_viewport_size(size)
        page.wait_for_timeout(500)  # it waits for the end of a person's resizing


def test_what_scrolls_in_an_answer_takes_the_focus_once_it_is_opened(chromium, tmp_path):
    """In browsers that give what is closed no size; Chromium gives it one, unless it is told."""
    script = (ROOT / "book" / "_static" / "scroll_focus.js").as_uri()
    (tmp_path / "page.html").write_text(
        "<style>details:not([open]) > div { display: none }</style><script>"
        "window.MathJax = { startup: { promise: new Promise(done => { window.typeset = done }) } }"
        f'</script><script src="{script}"></script><mjx-container></mjx-container>'
        "<details><summary>The answer</summary>"
        '<div class="cell_output" style="width: 99px; overflow-x: auto">'
        '<div style="width: 999px">wide</div></div></details>'
        '<div class="ledger" style="overflow-x: auto"><div style="width: 500px">a</div></div>'
    )
    page = chromium.new_page(viewport=WIDE)
    page.goto((tmp_path / "page.html").as_uri())
    # a formula gets its width late
    page.evaluate(
        """() => { const formula = document.querySelector("mjx-container"); typeset();
            formula.innerHTML = '<div style="width: 999px">x</div>';
            formula.style = "display: block; overflow-x: auto; width: 99px" }"""
    )
    page.wait_for_selector('mjx-container[tabindex="0"]', timeout=5000)
    for size, count in ((NARROW, 1), (WIDE, 0)):  # in a window that got narrower, then wider
        page.set_viewport_size(size)
        expect(page.locator('.ledger[tabindex="0"]')).to_have_count(count)
    assert page.locator(".cell_output[tabindex]").count() == 0
    page.locator("summary").click()
    page.wait_for_selector('.cell_output[tabindex="0"]', timeout=5000)
    page.close()


@pytest.fixture(scope="module")
def faults(book, site, chromium) -> dict[str, dict[str, list]]:
    """All pages' faults by kind and page, everything unfolded."""
    found = defaultdict(dict)
    for path in pages(book):
        name = path.relative_to(book).as_posix()
        settings = {"viewport": WIDE, "color_scheme": "light"}
        with opened(chromium, f"{site}/{name}", **settings) as (page, asked, complaints):
            found["headings"][name] = [] if page.locator("h1").count() else ["no heading"]
            page.wait_for_selector("svg.svg-inline--fa", state="attached")
            settle(page)
            found["icons"][name] = page.evaluate(NO_ICONS)
            found["wide code"][name] = page.evaluate(WIDE_CODE)
            found["out of reach"][name], found["focus not seen"][name] = walk(page)
            page.evaluate(FEW_PIECES)
            for look, (scheme, size) in AUDITS.items():
                turn(page, scheme, size)
                found[look][name] = audit(page)
            wide = [f"the page, by {overflow(page)} px"] if overflow(page) > 0 else []
            found["scrolls sideways"][name] = wide + page.evaluate(SCROLLERS)
            found["network"][name], found["complaints"][name] = list(asked), list(complaints)
    return found


def test_every_page_is_whole_with_the_network_cut(faults):
    assert listed(faults["network"]) == []
    assert listed(faults["complaints"]) == []
    assert listed(faults["headings"]) == []


def test_every_icon_is_drawn(faults):
    assert listed(faults["icons"]) == []


def test_no_code_is_wider_than_a_laptop_shows(faults):
    assert listed(faults["wide code"]) == []


@pytest.mark.parametrize("kind", AUDITS)
def test_axe_finds_nothing_on_any_page(faults, kind):
    assert listed(faults[kind]) == []


def test_the_keyboard_reaches_every_control(faults):
    assert listed(faults["out of reach"]) == []


def test_what_has_the_focus_shows_it(faults):
    assert listed(faults["focus not seen"]) == []


def test_on_a_phone_only_code_and_tables_scroll_sideways(faults):
    assert listed(faults["scrolls sideways"]) == []


@pytest.mark.parametrize(("scheme", "size"), [("dark", WIDE), ("light", NARROW)])
def test_axe_finds_nothing_in_the_two_other_ways(site, chromium, scheme, size):
    """What is around the text is the same on all pages, so two are enough for it."""
    for name in ("index", "chapters/04_visual_search"):
        address = f"{site}/{name}.html"
        with opened(chromium, address, viewport=size, color_scheme=scheme) as (page, _, _):
            settle(page)
            assert audit(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_what_opens_over_a_page(site, chromium, scheme):
    address = f"{site}/index.html"
    with opened(chromium, address, viewport=NARROW, color_scheme=scheme) as (page, _, _):
        settle(page)
        page.locator(".primary-toggle:visible").first.click()
        page.wait_for_selector("dialog#pst-primary-sidebar-modal[open]")
        assert audit(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.wait_for_selector("#pst-search-dialog[open]")
        assert audit(page) == []


@pytest.mark.parametrize(
    ("planted", "rule"),
    [
        ('<img src="data:,">', "image-alt"),
        ('<p style="color: #999; background: #fff">a pale sentence</p>', "color-contrast"),
        ('<input type="text">', "label"),
        ('<div style="overflow: auto; height: 2rem"><p style="height: 90rem">long</p></div>',
         "scrollable-region-focusable"),
    ],
)  # fmt: skip
def test_axe_finds_a_planted_fault(chromium, planted, rule):
    with opened(chromium, "about:blank") as (page, _, _):
        page.set_content(f"<html lang=en><title>x</title><main><h1>x</h1>{planted}</main></html>")
        assert [line.split(":")[0] for line in audit(page)] == [rule]


def test_a_pale_colour_of_code_is_found_once_on_each_background(chromium):
    code = '<span class="k">if</span> <span class="n">pale</span> <span class="n">twice</span>'
    blocks = "".join(
        f'<div class="highlight"><pre style="color: #000; background: {behind}">{code}</pre></div>'
        for behind in ("#fff", "#fff", "#eee")
    )
    with opened(chromium, "about:blank") as (page, _, _):
        page.set_content(
            "<html lang=en><title>x</title><style>.n { color: #999 }</style>"
            f"<main><h1>x</h1>{blocks}</main></html>"
        )
        text = page.inner_text("main")
        page.evaluate(FEW_PIECES)
        assert page.inner_text("main") == text
        assert [re.sub("<.*?>", "", line)[:20] for line in audit(page)] == [
            "color-contrast: pale"
        ] * 2


def test_axe_is_the_version_that_vendor_fetches():
    version = re.search(r"axe v([\d.]+)", AXE.read_text()[:200])[1]
    assert f"axe-core@{version}" in vendor.PACKAGES
    assert "Mozilla Public License" in (AXE.parent / "LICENSE").read_text()


@pytest.mark.parametrize(
    ("planted", "missed", "unseen"),
    [
        ('<button tabindex="-1">one</button>', 1, 0),
        ('<button style="outline: none">two</button>', 0, 1),
        ('<button style="opacity: 0">three</button>', 0, 1),
        ('<button style="outline: solid">four</button>', 0, 1),
        ("<button>five</button>", 0, 0),
    ],
)
def test_a_control_out_of_reach_is_noticed(chromium, planted, missed, unseen):
    with opened(chromium, "about:blank") as (page, _, _):
        page.set_content(planted)
        found = walk(page)
        assert (len(found[0]), len(found[1])) == (missed, unseen)


def test_the_first_tab_offers_to_skip_to_the_text(site, chromium):
    with opened(chromium, f"{site}/chapters/02_train_a_classifier.html") as (page, _, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "Skip to main content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        inside = "document.querySelector('#main-content').contains(document.activeElement)"
        assert page.evaluate(inside)


def test_a_missing_icon_and_wide_code_are_noticed(chromium):
    with opened(chromium, "about:blank", viewport=NARROW) as (page, _, _):
        page.set_content(
            '<i class="fa-solid fa-sun"></i><svg class="svg-inline--fa"><g></g></svg>'
            '<div class="highlight"><pre style="overflow: auto">' + "wide " * 100
        )
        assert len(page.evaluate(NO_ICONS)) == 2
        assert page.evaluate(WIDE_CODE) == ["wide " * 12]


def test_a_wide_formula_is_noticed(chromium):
    with opened(chromium, "about:blank", viewport=NARROW) as (page, _, _):
        page.set_content('<div style="overflow: auto"><p style="width: 40rem">wide</p></div>')
        assert page.evaluate(SCROLLERS) == ["DIV.: wide"]


def test_what_scrolls_takes_the_focus_and_only_then(site, chromium):
    """The claims ledger is wider than a phone and narrower than a desk."""
    with opened(chromium, f"{site}/index.html", viewport=NARROW) as (page, _, _):
        page.evaluate(
            "document.querySelector('article').innerHTML ="
            " '<div class=ledger><table><tr><td>a claim</table></div>'"
        )
        for size, index in ((NARROW, 0), (WIDE, -1), (NARROW, 0)):
            page.set_viewport_size({"width": 800, "height": 800})
            page.set_viewport_size(size)
            page.wait_for_timeout(200)
            assert page.evaluate("document.querySelector('.ledger').tabIndex") == index
