"""Every link inside the book, README and CONTRIBUTING leads somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from test_book import pages

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")


class Links(HTMLParser):
    """A page's links and the places in it that a link can name."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.targets += [given[name] for name in ("href", "src", "poster") if name in given]
        self.targets += [part.split()[0] for part in given.get("srcset", "").split(",") if part]


def dead_links(folder: Path, paths: list[Path]) -> list[str]:
    """Links of these pages to files or anchors that are not in `folder`, each with its page."""
    read = {path.resolve(): Links(path) for path in paths}
    dead = []
    for page, links in read.items():
        for target in links.targets:
            address = urlsplit(target)
            if address.scheme or address.netloc:
                continue
            place = (page.parent / unquote(address.path)).resolve() if address.path else page
            anchor = unquote(address.fragment)
            inside = place.is_relative_to(folder.resolve())
            if not (inside and place.is_file()) or (
                place in read and anchor not in read[place].anchors
            ):
                dead.append(f"{page.relative_to(folder.resolve())}: {target}")
    return dead


def test_every_link_and_anchor_of_the_book_resolves(book):
    paths = pages(book)
    assert sum(len(Links(path).targets) for path in paths) > 500
    assert dead_links(book, paths) == []


@pytest.mark.parametrize(
    ("html", "dead"),
    [
        ('<a href="other.html#there">', 0),
        ('<a href="#here" id="here"><img src="other.html">', 0),
        ('<a href="https://example.org/x#y">', 0),
        ('<a href="missing.html">', 1),
        ('<a href="other.html#nowhere">', 1),
        ('<a href="#nowhere">', 1),
        ('<img src="missing.png">', 1),
        ('<a href="../outside.html">', 1),
        ('<a href="/other.html">', 1),  # the book need not stand at the top of its server
    ],
)
def test_a_dead_link_is_noticed(tmp_path, html, dead):
    book = tmp_path / "book"
    book.mkdir()
    (tmp_path / "outside.html").write_text("")
    (book / "other.html").write_text('<p id="there">')
    (book / "page.html").write_text(html)
    assert len(dead_links(book, sorted(book.glob("*.html")))) == dead


def heading_anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a Markdown file's headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_in_markdown(path: Path) -> list[str]:
    """Links of a Markdown file to files or headings that are not there."""
    dead = []
    for target in LINK.findall(path.read_text()):
        if urlsplit(target).scheme:
            continue
        name, _, anchor = target.partition("#")
        place = path.parent / name if name else path
        if not place.exists() or (anchor and anchor not in heading_anchors(place.read_text())):
            dead.append(target)
    return dead


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_to_a_file_of_the_repository_resolves(name):
    assert dead_in_markdown(ROOT / name) == []


@pytest.mark.parametrize("path", sorted((ROOT / "fashionlib").rglob("*.md")), ids=lambda p: p.stem)
def test_every_link_of_a_model_card_resolves(path):
    assert dead_in_markdown(path) == []


def test_a_dead_link_in_markdown_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title!\n[a](page.md#a-title) [b](gone.md) [c](#no) [d](https://e.org)")
    assert dead_in_markdown(page) == ["gone.md", "#no"]
