"""A small book with our steps in it: numbered titles, links to the glossary, downloads."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import downloads
import glossary
import pytest
from chapters import CHAPTERS, EXERCISES, ROOT
from docutils import nodes
from docutils.utils import new_document
from sphinx import addnodes

CONF = """
import sys
sys.path.insert(0, {tools!r})
import downloads, glossary, sidebar
project, html_theme, extensions = "x", "sphinx_book_theme", ["myst_parser"]
html_theme_options = {{"navbar_persistent": [], "use_download_button": False}}
myst_enable_extensions = ["colon_fence"]
def setup(app):
    app.connect("env-get-outdated", glossary.outdated)
    app.connect("doctree-read", sidebar.number, priority=400)
    app.connect("doctree-read", glossary.link_terms)
    app.connect("html-page-context", downloads.add_button, priority=503)
"""
CHAPTER = """# Train with triplets

The triplet loss is of triplets. A triplet has an anchor, and a **positive**. The triplet is drawn.
`margin=1.0` is the margin; [the margin](https://example.org) too. Anchors come again.

## The embedding of a margin

Each logit is one of the logits, as top-5 and P@5 say. A map is no measure, mAP is one.
"""
SOLUTION = "# Exercise 1: More than seven classes\n\nA positive number, and an epoch.\n"
PAGES = {
    "chapters/03_train_with_triplets": CHAPTER,
    "chapters/exercises/solutions/1_more_classes": SOLUTION,
    "other": "# Another page\n\nAn epoch on a page that is no chapter.\n",
}


def sphinx(folder: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", folder, folder / "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The source of the small book; built in `out`."""
    folder = tmp_path_factory.mktemp("small")
    for name, text in PAGES.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("glossary.md", "run_it.md"):
        shutil.copy(ROOT / "book" / name, folder)
    names = "\n".join([*PAGES, "glossary", "run_it"])
    (folder / "index.md").write_text(f"# x\n\n```{{toctree}}\n{names}\n```\n")
    (folder / "conf.py").write_text(CONF.format(tools=str(ROOT / "tools" / "book")))
    sphinx(folder)
    return folder


def page(folder: Path, name: str) -> str:
    return (folder / "out" / f"{name}.html").read_text()


def terms_of(text: str) -> list[tuple[str, str]]:
    """A page's links to the glossary: the place in it, and the words that lead there."""
    found = re.findall(r'href="[./]*glossary\.html#term-([\w-]+)"><span[^>]*>(.*?)</span>', text)
    return [(place, said.replace("&#64;", "@")) for place, said in found]


def test_a_chapter_has_its_number_on_the_page_and_in_the_sidebar(folder):
    chapter, other = page(folder, "chapters/03_train_with_triplets"), page(folder, "other")
    assert "<h1>3 · Train with triplets<" in chapter
    assert "<title>3 · Train with triplets" in chapter
    assert re.search(r'toctree-l1"><a[^>]*03_train_with_triplets.html">3 · Train with', other)
    assert '<section id="train-with-triplets">' in chapter  # links to it stay as they are
    assert "<h1>Another page<" in other


def test_the_steps_are_those_of_the_book():
    """In the same order of priorities: after Sphinx has read the titles numbers come too late."""
    steps, settings = re.findall(r"app\.connect\(.+?\)", CONF), ROOT / "book" / "conf.py"
    assert len(steps) == 4
    assert [step for step in steps if step not in settings.read_text()] == []


def test_every_chapter_is_numbered_from_0_as_its_file_is():
    numbers = [page.title.partition(" · ")[0] for page in CHAPTERS]
    assert numbers == [str(n) for n in range(len(CHAPTERS))]
    assert [int(page.name[:2]) for page in CHAPTERS] == list(range(len(CHAPTERS)))


def test_the_first_mention_of_a_term_leads_to_the_glossary(folder):
    links = terms_of(page(folder, "chapters/03_train_with_triplets"))
    assert links == [
        ("triplet-loss", "triplet loss"), ("triplet", "triplets"), ("anchor", "anchor"),
        ("positive", "positive"), ("margin", "margin"), ("logits", "logits"),
        ("top-k", "top-5"), ("precision-k", "P@5"), ("mAP", "mAP"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("Of the validation pictures and the validation.", "validation pictures"),
        ("The cosine similarity is a cosine.", "cosine similarity"),
        ("A cosine.", "cosine"),
        ("Inverted residual blocks have one.", "Inverted residual blocks"),
        ("Two miners.", "miners"),
        ("In the top five.", "top five"),
    ],
)
def test_of_several_ways_to_say_a_term_the_whole_is_linked(text, linked):
    page, app = new_document("one"), SimpleNamespace(env=SimpleNamespace(docname="chapters/one"))
    page += nodes.paragraph("", "", nodes.Text(text))
    glossary.link_terms(app, page)
    assert [link.astext() for link in page.findall(addnodes.pending_xref)] == [linked]
    assert page.astext() == text


@pytest.mark.parametrize("word", ["in-epoch", "epoch-wise", "supermargin", "marginal", "top_loss"])
def test_a_part_of_a_longer_word_is_no_term(word):
    page, app = new_document("one"), SimpleNamespace(env=SimpleNamespace(docname="chapters/one"))
    page += nodes.paragraph("", "", nodes.Text(f"A {word} of it."))
    glossary.link_terms(app, page)
    assert [link.astext() for link in page.findall(addnodes.pending_xref)] == []


def test_a_positive_number_is_no_positive_of_a_triplet(folder):
    links = terms_of(page(folder, "chapters/exercises/solutions/1_more_classes"))
    assert links == [("epoch", "epoch")]


def test_other_pages_have_no_such_links(folder):
    assert terms_of(page(folder, "other")) == terms_of(page(folder, "index")) == []


def test_every_link_to_a_term_finds_it(folder):
    places = set(re.findall(r'id="term-([\w-]+)"', page(folder, "glossary")))
    assert len(places) == len(glossary.terms())
    for name in PAGES:
        assert {place for place, _ in terms_of(page(folder, name))} <= places


def test_other_ways_to_say_a_term_belong_to_a_term():
    known = set(glossary.terms())
    assert len(known) == len(glossary.terms()) >= 35
    assert {*glossary.ALSO, *glossary.OF_TRIPLETS} <= known
    assert all(glossary.ALSO.values())


def test_a_new_term_is_linked_on_pages_that_have_not_changed(monkeypatch):
    class Book:
        found_docs = frozenset({"chapters/a", "index"})

    names = [["anchor"], ["anchor"], ["anchor", "margin"]]
    monkeypatch.setattr(glossary, "terms", lambda: names.pop(0))
    outdated = [set(glossary.outdated(None, Book)) for _ in range(3)]
    assert outdated == [{"chapters/a"}, set(), {"chapters/a"}]


def buttons(text: str) -> dict[str, str]:
    """The links below the button that takes a chapter along, by what they say."""
    group = text.partition("dropdown-download-buttons")[2].partition("</ul>")[0]
    found = re.findall(r'<a href="([^"]+)".*?btn__text-container">(.*?)<', group, re.DOTALL)
    return {text: address for address, text in found}


def test_each_chapter_offers_its_notebook_and_says_how_to_run_it(folder):
    assert buttons(page(folder, "chapters/03_train_with_triplets")) == {
        "This chapter, a notebook": "../notebooks/03_train_with_triplets.ipynb",
        "How to run it": "../run_it.html",
    }
    assert buttons(page(folder, "chapters/exercises/solutions/1_more_classes")) == {
        "The exercise, a notebook": "../../../notebooks/exercises/1_more_classes.ipynb",
        "Its solution, a notebook": "../../../notebooks/exercises/solutions/1_more_classes.ipynb",
        "How to run it": "../../../run_it.html",
    }
    assert buttons(page(folder, "other")) == {}


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> Path:
    """A built book with what a reader can take from it, unpacked beside it."""
    site = tmp_path_factory.mktemp("site")
    downloads.write_downloads(site)
    with zipfile.ZipFile(site / downloads.ARCHIVE) as archive:
        archive.extractall(site / "unpacked")
    return site


def test_every_notebook_is_there(taken):
    for one in (*CHAPTERS, *EXERCISES):
        for path in downloads.notebooks_of(f"chapters/{one.name}").values():
            copy = taken / "notebooks" / path
            assert copy.read_bytes() == (ROOT / "notebooks" / path).read_bytes()


def test_a_notebook_that_is_gone_is_taken_out_of_the_book(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    for name in (*downloads.FILES, "notebooks/new.ipynb", "site/notebooks/old.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    downloads.write_downloads(tmp_path / "site")
    left = (tmp_path / "site" / "notebooks").iterdir()
    assert [path.name for path in left] == ["new.ipynb"]


def test_the_same_files_give_the_same_archive(tmp_path, monkeypatch):
    """Whenever they were written: a book that says the same is not published anew."""
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    archives = []
    for when in (1_000_000_000, 1_700_000_000):
        for name in (*downloads.FILES, "notebooks/b.ipynb", "notebooks/a.py"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
            os.utime(tmp_path / name, (when, when))
        site = tmp_path / f"site {when}"
        site.mkdir()
        downloads.write_downloads(site)
        archives.append((site / downloads.ARCHIVE).read_bytes())
    assert archives[0] == archives[1]


def test_the_library_in_the_archive_searches(taken):
    """Pip makes it known to Python; here its folder is the one that we start in."""
    place = taken / "unpacked" / "smart-fashion-search"
    assert (place / "notebooks" / "00_two_catalogs.ipynb").is_file()
    program = (
        "import fashionlib, torch; from pathlib import Path;"
        "assert Path(fashionlib.__file__).is_relative_to(Path.cwd());"
        "encoder, _ = fashionlib.load_encoder(fashionlib.shipped('encoder_drawn'));"
        "picture = torch.zeros(3, 160, 160, dtype=torch.uint8);"
        "index = fashionlib.build_index(encoder, picture[None], ['one']);"
        "print(index.search(fashionlib.embed_picture(encoder, picture), k=1).ids)"
    )
    # -B, for the next test looks for what Python leaves behind
    done = subprocess.run([sys.executable, "-B", "-c", program], cwd=place, check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "(('one',),)\n"


def test_the_archive_holds_what_pip_asks_for_and_nothing_made(taken):
    place = taken / "unpacked" / "smart-fashion-search"
    project = (place / "pyproject.toml").read_text()
    assert (place / re.search(r'^readme = "(.+)"', project, re.MULTILINE)[1]).is_file()
    assert {path.name for path in place.iterdir()} == {*downloads.FILES, *downloads.FOLDERS}
    names = {path.name for path in place.rglob("*")}
    assert names & downloads.LEFT_OUT == set()
    assert {path.suffix for path in (place / "notebooks").rglob("*.*")} == {".py", ".ipynb"}


def test_the_archive_is_whole_wherever_the_clone_lies(tmp_path, monkeypatch):
    """What is made there is left out; the clone itself may lie in a folder of such a name."""
    root = tmp_path / "runs" / "book"
    made = ("notebooks/runs/own.safetensors", "fashionlib/__pycache__/core.pyc",
            "notebooks/exercises/.ipynb_checkpoints/two-checkpoint.ipynb")  # fmt: skip
    for name in ("fashionlib/core.py", "notebooks/one.ipynb", *made):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    monkeypatch.setattr(downloads, "ROOT", root)
    assert [path.name for path in downloads.contents()] == ["core.py", "one.ipynb"]


def test_the_page_that_says_how_to_run_it_names_the_archive_and_the_extras():
    text = (ROOT / "book" / "run_it.md").read_text()
    assert f'href="{downloads.ARCHIVE}"' in text
    assert f"the folder `{Path(downloads.ARCHIVE).stem}`" in text
    extras = set(re.findall(r'-e "\.\[(.+?)\]"', text))
    project = (ROOT / "pyproject.toml").read_text()
    assert extras == {"notebooks,export,stores,exercises"}
    assert all(f"\n{name} = [" in project for name in extras.pop().split(","))
    for system in ("Windows", "macOS", "Linux"):
        assert f"\n## {system}\n" in text


def test_a_term_in_a_link_to_another_page_is_no_link_of_its_own():
    """Such a link is still pending when terms are linked."""
    page, app = new_document("one"), SimpleNamespace(env=SimpleNamespace(docname="chapters/one"))
    link = addnodes.pending_xref("", nodes.inline("", "the margin"))
    page += nodes.paragraph("", "", link, nodes.Text(", an epoch"))
    glossary.link_terms(app, page)
    links = page.findall(addnodes.pending_xref)
    assert [each.astext() for each in links] == ["the margin", "epoch"]
