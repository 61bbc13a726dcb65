"""Both faces of the search explorer show what the index says, to eyes, ears and keyboards."""

import base64
import html
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pydata_sphinx_theme
import pytest
import sphinx_book_theme
import torch
from browsing import LUMINANCE, opened, overflow
from PIL import Image
from playwright.sync_api import Page
from serving import served
from tiny import small_look_encoder, tiny_catalog

from fashionlib.catalog import Catalog, Split
from fashionlib.catalog.pictures import read_picture
from fashionlib.drawn import drawn_pictures
from fashionlib.errors import FashionError
from fashionlib.heads import build_encoder
from fashionlib.look_encoder import LOOK_SHARE, LookEncoder
from fashionlib.pages.search_explorer import search_explorer, search_explorer_page
from fashionlib.search import SearchIndex, build_index, embed_picture
from fashionlib.transforms import Preparation
from fashionlib.weights import fingerprint

ROOT = Path(__file__).resolve().parents[2]
SIZE, K = 32, 5
QUERIES = [3, 0, 12, 5, 9, 14]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = build_encoder("article", 16).eval()
    encoder.preparation = Preparation(SIZE)
    return encoder


@pytest.fixture(scope="module")
def index(catalog, encoder) -> SearchIndex:
    return build_index(encoder, catalog.train.images, catalog.train.names)


@pytest.fixture(scope="module")
def look_encoder() -> LookEncoder:
    torch.manual_seed(0)
    encoder = small_look_encoder().eval()
    torch.nn.init.normal_(encoder.look[1].weight, std=0.5)  # else all looks are nearly alike
    return encoder


@pytest.fixture(scope="module")
def look_index(catalog, look_encoder) -> SearchIndex:
    return build_index(look_encoder, catalog.train.images, catalog.train.names)


Row = tuple[str, str, str]  # name, category, distance


def ranked(
    index: SearchIndex, catalog: Catalog, wanted: torch.Tensor, k: int, **asked: str
) -> list[Row]:
    """What has to be shown: the whole ranking, of which the first k count that are as asked."""
    train = catalog.train
    results = index.search(wanted, len(index))
    rows = []
    for name, distance in zip(results.ids[0], results.distances[0].tolist(), strict=True):
        place = train.names.index(name)
        own = {key: values[place] for key, values in train.attributes.items()}
        own["category"] = catalog.classes[train.labels[place]]
        if all(value in ("all", own[key]) for key, value in asked.items()):
            rows.append((name, own["category"], f"{distance:.3f}"))
    return rows[:k]


@pytest.fixture(scope="module")
def nearest(catalog, encoder, index) -> Callable[..., list[Row]]:
    """The k nearest of a category to a picture."""

    def rank(picture, k: int, category: str = "all") -> list[Row]:
        return ranked(index, catalog, embed_picture(encoder, picture), k, category=category)

    return rank


# -- what is shown, read back ----------------------------------------------------------------------

CARD = re.compile(
    r'<li(?: class="sx-(\w+)")?><img alt="([^"]*)"[^>]* src="([^"]*)"[^>]*>'
    r'<i aria-hidden="true">(.*?)</i></li>'
)


def decoded(address: str) -> torch.Tensor:
    """The picture in a `data:` address, uint8 [3, H, W]."""
    data = base64.b64decode(address.removeprefix("data:image/jpeg;base64,"), validate=True)
    picture = read_picture(data)
    return torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).reshape(
        picture.height, picture.width, 3
    ).permute(2, 0, 1)  # fmt: skip


def looked_up(address: str, split) -> str:
    """Name of the picture in a split that looks most like the one in a `data:` address."""
    differences = (split.images.float() - decoded(address).float()).abs().mean(dim=(1, 2, 3))
    assert differences.min() < 12
    return split.names[differences.argmin()]


def shown(markup: str, catalog: Catalog) -> list[Row]:
    """The results in the HTML of either face, told by their pixels, alt texts and captions."""
    rows = []
    for _, alt, address, caption in CARD.findall(markup):
        lines = caption.split("<br>")[-2:]
        assert html.unescape(alt).split(", distance ")[0] == html.unescape(lines[0])
        assert alt.split(", distance ")[1].split(",")[0] == lines[1]
        rows.append((looked_up(address, catalog.train), *lines))
    return rows


def marks(markup: str) -> list[tuple[str, str, str]]:
    """Of each result: the kind of its frame, the end of its alt text, its first line."""
    return [
        (kind, alt.rpartition(", ")[2], caption.split("<br>")[0])
        for kind, alt, _, caption in CARD.findall(markup)
    ]


MARKS = {True: ("right", "right", "<b>✓ right</b>"), False: ("wrong", "wrong", "<b>✗ wrong</b>")}


# -- the face in a notebook ------------------------------------------------------------------------


class Widget:
    """The explorer's controls by their descriptions, moved as a front end moves them."""

    def __init__(self, *arguments) -> None:
        *rows, self.problem, self.out = search_explorer(*arguments).children
        controls = [control for row in rows for control in getattr(row, "children", [row])]
        self.controls = {control.description: control for control in controls}

    def choose(self, description: str, label: str) -> None:
        control = self.controls[description]
        control.index = [name for name, _ in control.options].index(label)

    def upload(
        self, content: bytes, name: str = "mine.png", to: str = "or upload your own"
    ) -> None:
        file = {"name": name, "type": "image/png", "size": len(content), "last_modified": 0}
        state = {"value": [file | {"content": memoryview(content)}]}
        self.controls[to].set_state(state)

    def upload_look(self, content: bytes, name: str = "look.png") -> None:
        self.upload(content, name, "upload a picture")


@pytest.fixture
def widget(index, encoder, catalog) -> Widget:
    return Widget(index, encoder, catalog)


def png(picture: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def position(catalog: Catalog, category: str, number: int) -> int:
    """Where the test picture "dress 2" is."""
    label = catalog.classes.index(category)
    return [n for n, own in enumerate(catalog.test.labels.tolist()) if own == label][number - 1]


@pytest.mark.parametrize(
    ("picture", "category", "k"),
    [("dress 1", "all", 5), ("hat 2", "all", 20), ("shoes 1", "hat", 6), ("pants 2", "pants", 1)],
)
def test_the_widget_shows_the_nearest_of_the_category(
    widget, catalog, nearest, picture, category, k
):
    widget.choose("picture", picture)
    widget.choose("category", category)
    widget.controls["results"].value = k
    own, number = picture.split()
    place = position(catalog, own, int(number))
    wanted = nearest(catalog.test.images[place], k, category)
    assert len(wanted) == k
    assert shown(widget.out.value, catalog) == wanted
    assert marks(widget.out.value) == [MARKS[name == own] for _, name, _ in wanted]
    query = re.search(rf'<img alt="query: {own}" src="([^"]*)"', widget.out.value)
    assert looked_up(query[1], catalog.test) == catalog.test.names[place]
    right = sum(name == own for _, name, _ in wanted)
    assert f"{right} of {k} right: the query&#x27;s category is {own}." in widget.out.value


def test_it_starts_with_an_answer_and_offers_every_test_picture(widget, catalog, nearest):
    options = widget.controls["picture"].options
    assert sorted(place for _, place in options) == list(range(len(catalog.test)))
    first = widget.controls["picture"].value
    assert shown(widget.out.value, catalog) == nearest(catalog.test.images[first], 5)
    assert [name for name, _ in widget.controls["category"].options] == ["all", *catalog.classes]
    slider = widget.controls["results"]
    assert (slider.min, slider.max) == (1, 20)


def test_the_filter_does_not_pick_from_the_nearest_of_all(widget, catalog, nearest):
    """Among those there are too few of the category, so this would show."""
    widget.choose("category", "hat")
    query = catalog.test.images[widget.controls["picture"].value]
    among_all = [row for row in nearest(query, 5) if row[1] == "hat"]
    assert len(among_all) < 5
    assert len(shown(widget.out.value, catalog)) == 5


def test_a_category_smaller_than_k_is_shown_whole(widget, catalog, nearest):
    count = int((catalog.train.labels == catalog.classes.index("hat")).sum())
    assert count < 20
    widget.choose("category", "hat")
    widget.controls["results"].value = 20
    query = catalog.test.images[widget.controls["picture"].value]
    assert shown(widget.out.value, catalog) == nearest(query, count, "hat")
    assert f"There are only {count} in the category hat, at distances" in widget.out.value


def test_an_upload_is_searched_with_and_not_judged(widget, catalog, encoder, nearest):
    content = png(catalog.validation.images[5])
    widget.upload(content)
    picture = read_picture(content)
    assert shown(widget.out.value, catalog) == nearest(picture, 5)
    assert '<img alt="query: your picture" src="data:' in widget.out.value
    widget.choose("category", "shoes")
    widget.controls["results"].value = 3
    assert shown(widget.out.value, catalog) == nearest(picture, 3, "shoes")
    for trace in ("✓", "✗", "sx-right", 'sx-wrong"', ', right"', ', wrong"'):
        assert trace not in widget.out.value.split("</style>")[1], trace
    assert "category is not known" in widget.out.value


def test_uploads_and_test_pictures_take_turns(widget, catalog, nearest):
    content = png(catalog.validation.images[5])
    uploaded = nearest(read_picture(content), 5)
    start = nearest(catalog.test.images[widget.controls["picture"].value], 5)
    label = widget.controls["picture"].label
    assert uploaded != start
    for _ in range(2):  # the same file again is a choice too
        widget.upload(content)
        assert shown(widget.out.value, catalog) == uploaded
        widget.choose("picture", label)
        assert shown(widget.out.value, catalog) == start


GOOD = png(torch.arange(3 * 40 * 40).remainder(251).to(torch.uint8).reshape(3, 40, 40))


@pytest.mark.parametrize("broken", [b"", b"not a picture", GOOD[:60], GOOD[: len(GOOD) // 2]])
def test_a_broken_upload_gives_one_line_and_the_next_one_works(widget, catalog, nearest, broken):
    before = widget.out.value
    widget.upload(broken, "holiday.png")
    line = re.fullmatch(r'<p role="alert">(.+)</p>', widget.problem.value)
    assert line, widget.problem.value
    assert line[1].startswith("holiday.png ")
    assert "Traceback" not in line[1]
    assert widget.out.value == before
    widget.upload(GOOD)
    assert widget.problem.value == ""
    assert shown(widget.out.value, catalog) == nearest(read_picture(GOOD), 5)


def test_a_problem_is_gone_when_a_test_picture_is_chosen(widget):
    widget.upload(b"")
    assert widget.problem.value
    widget.choose("picture", "shoes 1")
    assert widget.problem.value == ""


HOSTILE = '"><script>alert(1)</script>\n.png'


def test_a_file_name_is_text(widget):
    for content in (b"broken", GOOD):
        widget.upload(content, HOSTILE)
    assert 'title="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; .png"' in widget.out.value
    widget.upload(b"broken", HOSTILE)
    assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; .png is not" in widget.problem.value
    for value in (widget.out.value, widget.problem.value):
        assert "<script" not in value


def hostile(catalog: Catalog) -> Catalog:
    """The same pictures in classes and under names that are markup, or no text at all."""
    classes = tuple(f"<u>{n}&\"'" for n in range(7))
    train = replace(catalog.train, names=tuple(f"<s>{n}\udcff\"'" for n in range(96)))
    return replace(catalog, classes=classes, train=train)


def test_names_and_classes_are_text(catalog, encoder, index):
    odd = hostile(catalog)
    renamed = SearchIndex(index.embeddings, odd.train.names, index.made_by)
    widget = Widget(renamed, encoder, odd)
    page = search_explorer_page(renamed, encoder, odd, QUERIES, K)
    for markup in (widget.out.value, page):
        markup.encode("utf-8")
        assert "<u>" not in markup
        assert "<s>" not in markup
    assert "&lt;u&gt;" in page
    titles = re.findall(r'title="(&lt;s&gt;\d+)\?&quot;&#x27;"', widget.out.value)
    assert len(titles) == 5


def test_the_wrong_index_is_refused(catalog, encoder, index):
    other = replace(index, made_by="0" * 64)
    foreign = index.add(index.embeddings[:1], ["a stranger"])
    for make in (
        lambda *parts: search_explorer(*parts, catalog),
        lambda *parts: search_explorer_page(*parts, catalog, QUERIES, K),
    ):
        with pytest.raises(FashionError, match="other weights"):
            make(other, encoder)
        with pytest.raises(FashionError, match="'a stranger', which is no training picture"):
            make(foreign, encoder)


def test_a_category_that_the_index_lacks_is_not_offered(catalog, encoder, index):
    hats = catalog.train.labels == catalog.classes.index("hat")
    names = [name for name, hat in zip(catalog.train.names, hats, strict=True) if hat]
    widget = Widget(index.remove(names), encoder, catalog)
    offered = [name for name, _ in widget.controls["category"].options]
    assert offered == ["all", *[name for name in catalog.classes if name != "hat"]]


# -- the look of another picture, colours and patterns ---------------------------------------------


@pytest.fixture
def look_widget(look_index, look_encoder, catalog) -> Widget:
    return Widget(look_index, look_encoder, catalog)


@pytest.fixture
def own_and_other(look_widget, catalog, look_encoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of what is chosen first, and of the picture `OTHER`."""
    first = catalog.test.images[look_widget.controls["picture"].value]
    return embed_picture(look_encoder, first), embed_picture(look_encoder, read_picture(OTHER))


OTHER = png(torch.from_numpy(drawn_pictures(1, 77, 48)[0][0]))


def test_only_an_encoder_with_parts_has_the_controls_for_them(widget, look_widget):
    plain = ["picture", "or upload your own", "category", "results"]
    assert [name for name in widget.controls if name] == plain
    more = ["in the look of", "upload a picture", "what it is", "", "category", "colour", "pattern"]
    assert list(look_widget.controls) == [*plain[:2], *more, "results"]
    assert look_widget.controls[""].value == "how it looks"


@pytest.mark.parametrize("share", [LOOK_SHARE, 0.0, 0.35, 1.0])
def test_a_second_picture_changes_what_is_found(
    look_widget, catalog, look_encoder, look_index, own_and_other, share
):
    own, other = own_and_other
    assert look_widget.controls["what it is"].value == LOOK_SHARE
    assert shown(look_widget.out.value, catalog) == ranked(look_index, catalog, own, 5)
    look_widget.upload_look(OTHER)
    look_widget.controls["what it is"].value = share
    wanted = ranked(look_index, catalog, look_encoder.blended(own, other, share), 5)
    assert shown(look_widget.out.value, catalog) == wanted
    look_widget.choose("in the look of", "none")
    without = ranked(look_index, catalog, look_encoder.blended(own, own, share), 5)
    assert shown(look_widget.out.value, catalog) == without
    assert (wanted == without) == (share == 0)


def test_the_sliders_ends_leave_one_picture_out(look_widget, catalog):
    slider, answers = look_widget.controls["what it is"], {}
    assert (slider.min, slider.max) == (0, 1)
    others = [OTHER, png(catalog.validation.images[5])]
    for own, other in ((0, 0), (0, 1), (1, 0)):
        look_widget.upload(others[own])
        look_widget.upload_look(others[other])
        for share in (0, 1):
            slider.value = share
            answers[own, other, share] = shown(look_widget.out.value, catalog)
    assert answers[0, 0, 0] == answers[0, 1, 0] != answers[1, 0, 0]
    assert answers[0, 0, 1] == answers[1, 0, 1] != answers[0, 1, 1]


def test_a_look_stays_while_the_picture_changes(
    look_widget, catalog, look_encoder, look_index, own_and_other
):
    _, other = own_and_other
    look_widget.upload_look(OTHER)
    look_widget.choose("picture", "shoes 2")
    query = embed_picture(look_encoder, catalog.test.images[position(catalog, "shoes", 2)])
    wanted = ranked(look_index, catalog, look_encoder.blended(query, other), 5)
    assert shown(look_widget.out.value, catalog) == wanted
    assert "the query&#x27;s category is shoes" in look_widget.out.value


def test_each_filter_offers_what_occurs(catalog, look_encoder, look_index, look_widget):
    for key, names in catalog.train.attributes.items():
        if key in ("colour", "pattern"):
            offered = [label for label, _ in look_widget.controls[key].options]
            assert offered == ["all", *sorted(set(names))]
    unknown = {"colour": ("", "red") * 48}  # half of them judged by nobody, and no patterns
    other = replace(catalog, train=replace(catalog.train, attributes=unknown))
    widget = Widget(look_index, look_encoder, other)
    offered = [
        [label for label, _ in widget.controls[key].options] for key in ("colour", "pattern")
    ]
    assert offered == [["all", "red"], ["all"]]
    widget.choose("colour", "red")
    widget.controls["results"].value = 20
    query = embed_picture(look_encoder, other.test.images[widget.controls["picture"].value])
    assert shown(widget.out.value, other) == ranked(look_index, other, query, 20, colour="red")


@pytest.mark.parametrize("keys", [["colour"], ["pattern"], ["category", "colour", "pattern"]])
def test_filters_narrow_what_is_searched(look_widget, catalog, look_index, own_and_other, keys):
    train, place = catalog.train, 40  # whose labels are asked for, so there is at least one
    own = {key: values[place] for key, values in train.attributes.items()}
    own["category"] = catalog.classes[train.labels[place]]
    asked = {key: own[key] for key in keys}
    for key, name in asked.items():
        look_widget.choose(key, name)
    wanted = ranked(look_index, catalog, own_and_other[0], 5, **asked)
    assert shown(look_widget.out.value, catalog) == wanted != []
    words = " and ".join(f"the {key} {name}" for key, name in asked.items())
    assert f" in {words}" in look_widget.out.value
    for key in asked:
        look_widget.choose(key, "all")
    wanted = ranked(look_index, catalog, own_and_other[0], 5)
    assert shown(look_widget.out.value, catalog) == wanted
    assert "in all categories" in look_widget.out.value


def test_nothing_left_is_said_in_words(look_widget, catalog):
    attributes = catalog.train.attributes
    taken = set(zip(attributes["colour"], attributes["pattern"], strict=True))
    colour, pattern = next((a, b) for a in sorted(set(attributes["colour"]))
                           for b in sorted(set(attributes["pattern"]))
                           if (a, b) not in taken)  # fmt: skip
    look_widget.choose("colour", colour)
    look_widget.choose("pattern", pattern)
    said = f"There are none in the colour {colour} and the pattern {pattern}."
    assert said in look_widget.out.value
    assert shown(look_widget.out.value, catalog) == []
    assert look_widget.problem.value == ""
    look_widget.choose("pattern", "all")
    assert shown(look_widget.out.value, catalog) != []


@pytest.mark.parametrize("broken", [b"", b"not a picture", GOOD[: len(GOOD) // 2]])
def test_a_broken_look_gives_one_line_and_keeps_what_is_shown(look_widget, broken):
    look_widget.upload_look(OTHER)
    before = look_widget.out.value
    look_widget.upload_look(broken, "holiday.png")
    assert re.fullmatch(r'<p role="alert">holiday\.png .+</p>', look_widget.problem.value)
    assert look_widget.out.value == before
    assert look_widget.controls["in the look of"].label == "look.png"
    look_widget.upload_look(OTHER)
    assert look_widget.problem.value == ""
    assert look_widget.out.value == before


def test_the_name_of_a_look_is_text(look_widget):
    """A list shows its entries as text; it has no place for halves of letters."""
    look_widget.upload_look(OTHER, HOSTILE + "\udcff")
    choice = look_widget.controls["in the look of"]
    assert choice.label == '"><script>alert(1)</script> .png?'
    assert [label for label, _ in choice.options] == ["none", choice.label]
    look_widget.upload_look(b"broken", HOSTILE)
    assert (
        "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; .png is not" in look_widget.problem.value
    )
    for value in (look_widget.out.value, look_widget.problem.value):
        assert "<script" not in value


# -- the face in the page --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer(catalog, encoder, index) -> str:
    return search_explorer_page(index, encoder, catalog, QUERIES, K)


@pytest.fixture(scope="module")
def address(explorer, tmp_path_factory) -> Iterator[Callable[[str], str]]:
    """A chapter's page with the explorer in it as the book's theme has it, light or dark."""
    folder = tmp_path_factory.mktemp("page")
    pydata, book = Path(pydata_sphinx_theme.__file__), Path(sphinx_book_theme.__file__)
    files = [
        pydata.parent / "theme/pydata_sphinx_theme/static/styles/pydata-sphinx-theme.css",
        book.parent / "theme/sphinx_book_theme/static/styles/sphinx-book-theme.css",
        ROOT / "book/_static/book.css",
        ROOT / "book/_static/search_explorer.js",
    ]
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
    links = "".join(f'<link rel="stylesheet" href="{file.name}">' for file in files[:-1])
    for mode in ("light", "dark"):
        (folder / f"{mode}.html").write_text(
            f'<!doctype html><html lang="en" data-theme="{mode}"><meta charset="utf-8">'
            f'<title>t</title><link rel="icon" href="data:,">{links}'
            f'<script defer src="{files[-1].name}"></script><body><article class="bd-content">'
            f'<div class="cell_output"><div class="output text_html">{explorer}</div></div>'
            "</article></body></html>"
        )

    with served(folder) as root:
        yield lambda mode: f"{root}/{mode}.html"


@pytest.fixture(scope="module")
def tab(chromium, address) -> Iterator[tuple]:
    """One tab for all tests, as wide as a phone."""
    size = {"width": 360, "height": 740}
    with opened(chromium, address("light"), viewport=size) as tab:
        yield tab


@pytest.fixture
def page(tab) -> Iterator[Page]:
    """Loaded anew; whatever it asks for elsewhere, or complains of, fails the test."""
    page, asked, complaints = tab
    page.reload()
    yield page
    assert asked == []
    assert complaints == []


def on_page(page: Page, catalog: Catalog) -> list[Row]:
    return shown(page.locator(".sx-shown").inner_html(), catalog)


def choose_query(page: Page, number: int) -> None:
    """With the mouse, on the picture."""
    page.locator(".sx-queries span").nth(number - 1).click()


def test_every_choice_shows_what_the_index_says(page, catalog, nearest):
    asked = [catalog.test.images[place] for place in QUERIES]
    assert on_page(page, catalog) == nearest(asked[0], K)
    for number in (2, 6, 1):
        choose_query(page, number)
        own = catalog.classes[catalog.test.labels[QUERIES[number - 1]]]
        for category in [*catalog.classes, "all"]:
            page.get_by_label("Search in").select_option(label=category)
            wanted = nearest(asked[number - 1], K, category)
            assert on_page(page, catalog) == wanted
            inside = page.locator(".sx-shown").inner_html()
            assert marks(inside) == [MARKS[name == own] for _, name, _ in wanted]
            query = page.get_by_alt_text(f"query: {own}", exact=True)
            seen = looked_up(query.get_attribute("src"), catalog.test)
            assert seen == catalog.test.names[QUERIES[number - 1]]


def test_the_picker_shows_the_queries(page, catalog):
    pictures = page.locator(".sx-queries img")
    seen = [looked_up(image.get_attribute("src"), catalog.test) for image in pictures.all()]
    assert seen == [catalog.test.names[place] for place in QUERIES]
    assert page.locator(".sx-queries input:checked").get_attribute("value") == "0"


def test_the_keyboard_reaches_everything(page, catalog, nearest):
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    second = catalog.test.images[QUERIES[1]]
    assert on_page(page, catalog) == nearest(second, K)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.labels[0].textContent") == "Search in"
    page.keyboard.press("ArrowDown")
    assert on_page(page, catalog) == nearest(second, K, catalog.classes[0])


def test_the_focus_is_seen(page):
    label = page.locator(".sx-queries label").first
    assert label.evaluate("l => getComputedStyle(l).boxShadow") == "none"
    page.keyboard.press("Tab")
    assert label.evaluate("l => getComputedStyle(l).boxShadow") != "none"


def test_everything_has_a_name_and_the_answer_is_said(page, catalog, nearest):
    own = [catalog.classes[catalog.test.labels[place]] for place in QUERIES]
    for number, category in enumerate(own, start=1):
        radio = page.get_by_role("radio", name=f"query {number}: {category}", exact=True)
        assert radio.count() == 1
    assert page.get_by_role("group", name="Search with").count() == 1
    assert page.get_by_role("combobox", name="Search in").count() == 1
    for image in page.locator("img").all():
        assert image.get_attribute("alt")

    said = page.locator("[aria-live=polite]").element_handle()
    count = int((catalog.train.labels == catalog.classes.index("hat")).sum())
    page.get_by_label("Search in").select_option(label="hat")
    wanted = nearest(catalog.test.images[QUERIES[0]], K, "hat")
    right = K if own[0] == "hat" else 0
    assert said.text_content() == (  # of the same element, else nobody hears it
        f"The {K} nearest of {count} in the category hat are at distances {wanted[0][2]} to "
        f"{wanted[-1][2]}. {right} of {K} right: the query's category is {own[0]}."
    )
    assert page.locator("[aria-live]").count() == 1


def test_it_fits_a_phone(page):
    for category in ("all", "longsleeve"):
        page.get_by_label("Search in").select_option(label=category)
        assert overflow(page) <= 0
        for box in (".search-explorer", ".text_html", ".cell_output"):  # they scroll by themselves
            width = page.locator(box).evaluate("box => box.scrollWidth - box.clientWidth")
            assert width <= 0, box
    narrowest = min(image.bounding_box()["width"] for image in page.locator(".sx-shown img").all())
    assert narrowest >= 64


def test_without_javascript_the_first_answer_is_there(chromium, address, catalog, nearest):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(address("light"))
    assert on_page(page, catalog) == nearest(catalog.test.images[QUERIES[0]], K)
    assert page.locator(".sx-shown li img").first.is_visible()
    assert page.locator("select, input").count() == 0  # nothing that would not work
    page.context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_it_can_be_read_in_the_books_theme(chromium, address, mode):
    with opened(chromium, address(mode)) as (page, _, _):
        for text in (".sx-said", ".sx-row i", "legend", ".sx-title", "select"):
            assert page.locator(text).first.evaluate(LUMINANCE) >= 4.5, text
        surface = page.locator(".search-explorer").evaluate(
            "box => getComputedStyle(box).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (max(surface) < 100) == (mode == "dark")
        card = page.locator(".text_html")
        assert card.evaluate("box => getComputedStyle(box).backgroundColor") == "rgba(0, 0, 0, 0)"
        image = page.locator(".sx-shown img").first
        assert image.evaluate("i => [getComputedStyle(i).filter, getComputedStyle(i).padding]") == [
            "none",
            "0px",
        ]


def test_right_and_wrong_differ_in_more_than_colour(page, catalog):
    own = catalog.classes[catalog.test.labels[QUERIES[0]]]
    other = next(name for name in catalog.classes if name != own)
    styles = []
    for category in (own, other):
        page.get_by_label("Search in").select_option(label=category)
        image = page.locator(".sx-shown li img").first
        styles.append(image.evaluate("image => getComputedStyle(image).borderTopStyle"))
    assert styles == ["solid", "dashed"]


def test_two_explorers_on_a_page_do_not_share_ids(catalog, encoder, index, explorer):
    other = search_explorer_page(index, encoder, catalog, QUERIES[::-1], K)
    ids = [set(re.findall(r' id="([^"]+)"', markup)) for markup in (explorer, other)]
    assert len(ids[0]) == len(QUERIES) + 1
    assert not ids[0] & ids[1]


def test_the_page_needs_no_widgets(catalog, encoder, index, explorer, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert search_explorer_page(index, encoder, catalog, QUERIES, K) == explorer


@pytest.mark.parametrize(
    ("queries", "k", "line"),
    [
        ([], K, "no queries"),
        ([0, 20], K, "no test picture 20 in tiny: positions go from 0 to 19"),
        ([-1], K, "no test picture -1"),
        ([0], 0, "the 0 nearest"),
    ],
)
def test_impossible_wishes_are_refused(catalog, encoder, index, queries, k, line):
    with pytest.raises(FashionError, match=line):
        search_explorer_page(index, encoder, catalog, queries, k)


class Scatter(torch.nn.Module):
    """An encoder for which no two pictures are alike: each query finds others."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * SIZE**2, 16)
        self.preparation = Preparation(SIZE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(1e4 * self.linear(x.flatten(1)))


def test_each_picture_is_there_once_and_all_are_under_400_kb(catalog):
    """As many pictures, and as large ones, as the photos give."""
    torch.manual_seed(0)
    encoder = Scatter()
    drawn, garments = drawn_pictures(60, 1, 160)
    base = torch.from_numpy(drawn)
    turned = [base.rot90(n, (2, 3)) for n in range(4)]
    images = torch.cat([*turned, *[picture.flip(3) for picture in turned]])
    labels = torch.tensor([catalog.classes.index(garment.category) for garment in garments])
    names = tuple(f"train/{n}" for n in range(len(images)))
    train = Split(images, labels.repeat(8), names)
    large = replace(catalog, train=train)
    # of one length: a short vector would be near every query
    embeddings = torch.nn.functional.normalize(torch.randn(len(images), 16), dim=1)
    index = SearchIndex(embeddings, names, fingerprint(encoder))
    markup = search_explorer_page(index, encoder, large, range(6), 6)
    data = json.loads(re.search(r'json">(.*?)</script>', markup)[1])
    inside = re.findall(r'src="(data:[^"]*)"', markup)
    addresses = [*inside, *[data["start"] + end for end in data["ends"]]]
    numbers = {int(n) for n in re.findall(r'data-picture="(\d+)"', markup)}
    assert numbers == set(range(len(addresses)))
    assert len(set(addresses)) == len(addresses) > 190
    assert all(max(decoded(address).shape) == 64 for address in addresses[1:7])
    assert len(markup.encode()) < 400_000
