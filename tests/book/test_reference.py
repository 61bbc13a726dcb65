"""The page of the library holds all its public names, and each chapter leads to those it uses."""

import html
import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest
import reference
from chapters import AROUND, CHAPTERS, EXERCISES
from docutils import nodes
from docutils.utils import new_document
from reference import (
    NOT_SHOWN,
    described,
    entries,
    entry_of,
    fields,
    imported,
    signature,
    targets,
)

import fashionlib
from fashionlib.search import Results, SearchIndex

MODULES = [name for page in CHAPTERS for name in page.modules] + [*AROUND]
PAGES = (*CHAPTERS, *EXERCISES)
SHAPE = re.compile(r"(?:u?int\d+|float\d*) \[[^\]]+\]")
HIDDEN = {"remove-cell", "remove-input"}


def said_of(name: str, book: Path) -> str:
    """What the page says under a name: up to the next one, without tags."""
    page = (book / "reference.html").read_text()
    _, found, after = page.partition(f'id="{name}"')
    assert found, name
    text = re.sub(r"<[^>]+>", "", after.partition('class="sig sig-object')[0])
    return " ".join(html.unescape(text).split())


@pytest.mark.parametrize("name", fashionlib.__all__)
def test_each_public_name_is_there_with_its_shapes(book, name):
    doc = " ".join(inspect.getdoc(getattr(fashionlib, name)).split())
    text = said_of(targets()[name], book)
    for shape in SHAPE.findall(doc):
        assert shape in text
    assert ("Raises:" in doc) == (" Raises " in text)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in NOT_SHOWN])
def test_all_that_is_public_in_the_core_is_there(book, module):
    for name, thing in entries(module):
        assert inspect.getdoc(thing), name
        assert len(said_of(name, book)) > 20


def linked(page, book: Path) -> list[str]:
    """Names that a page of the book leads to, as often as it does."""
    text = (book / "chapters" / f"{page.name}.html").read_text()
    return re.findall(r'href="[./]*reference\.html#(fashionlib[\w.]+)"', text)


def in_text(script: Path) -> set[str]:
    """Names that a chapter says in its text, between single backticks."""
    cells = jupytext.read(script, fmt="py:percent").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    text = re.sub(r"^#.*$|^(```|~~~).*?^\1|\[[^\]]*\]\([^)]*\)", "", text, flags=re.M | re.S)
    ways = re.findall(r"(?<!`)`([\w.]+)(?:\([^`]*\))?`(?!`)", text)
    return {targets()[way] for way in ways if way in targets()}


def in_code(script: Path) -> set[str]:
    """Names that a chapter's visible code imports from the library."""
    cells = jupytext.read(script, fmt="py:percent").cells
    cells = [
        c for c in cells if c.cell_type == "code" and not HIDDEN & set(c.metadata.get("tags", []))
    ]
    code = "\n".join(cell.source for cell in cells)
    return {entry_of(name) for name in imported(code).values()} - {None}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.script.stem)
def test_a_chapter_leads_to_the_names_it_says_and_imports(book, page):
    wanted = in_text(page.script) | in_code(page.script)
    found = linked(page, book)
    assert wanted - set(found) == set()
    assert len(wanted) > 0
    assert max(map(found.count, found)) <= 2  # once in the text, once in the code


def test_a_name_that_two_entries_share_leads_to_neither(monkeypatch):
    things = {"search": "fashionlib.search.load", "weights": "fashionlib.weights.load"}
    monkeypatch.setattr(
        reference, "entries", lambda name: [(things[name], len)] if name in things else []
    )
    found = targets.__wrapped__()
    assert "load" not in found
    assert found["search.load"] == things["search"]
    assert found["weights.load"] == things["weights"]


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("from fashionlib.search import SearchIndex", '<span class="n">SearchIndex</span>'),
        ("from fashionlib.search import SearchIndex as Index", '<span class="n">Index</span>'),
        ("from fashionlib import SearchIndex", '<span class="n">SearchIndex</span>'),
        (
            "from fashionlib import search as by",
            '<span class="n">by</span><span class="o">.</span><span class="n">SearchIndex</span>',
        ),
    ],
)
def test_code_leads_to_a_name_however_it_was_imported(tmp_path, code, body):
    """Its first place alone, and not what another package calls so."""
    (tmp_path / "page.py").write_text(code)
    app = SimpleNamespace(
        env=SimpleNamespace(doc2path=lambda _: tmp_path / "page.py"),
        builder=SimpleNamespace(get_relative_uri=lambda *_: "there.html"),
    )
    context = {"body": f'<span class="n">other</span> {body} {body}'}
    reference.link_code(app, "chapters/page", "page.html", context, None)
    link = re.compile(r'<a href="there\.html#fashionlib\.search\.SearchIndex">(\w+)</a>')
    assert len(link.findall(context["body"])) == 1
    assert link.sub(r"\1", context["body"]) == f'<span class="n">other</span> {body} {body}'
    (tmp_path / "page.py").write_text(code.replace("fashionlib", "elsewhere"))
    context = {"body": body}
    reference.link_code(app, "chapters/page", "page.html", context, None)
    assert context["body"] == body


def test_a_method_is_known_by_its_class_alone():
    """Code in a text may be a word of any meaning: `add` is no SearchIndex.add."""
    assert targets()["SearchIndex.add"] == "fashionlib.search.SearchIndex.add"
    assert "add" not in targets()


def test_sections_of_a_docstring_become_lists():
    doc = """Search.

    Args:
        query: a picture
            uint8 [3, H, W].
        k: how many.

    Returns:
        Distances.

    Raises:
        FashionError: k below 1."""
    assert described(inspect.cleandoc(doc)) == (
        "Search.\n\n**Args**\n\n- `query`: a picture\n    uint8 [3, H, W].\n- `k`: how many.\n\n"
        "**Returns**\n\nDistances.\n\n**Raises**\n\n- `FashionError`: k below 1."
    )


def test_signatures_are_short():
    """Sphinx shows of a name behind a ~ only the last part."""
    shown = signature(SearchIndex.search, "method")
    assert shown == "(queries: ~torch.Tensor, k: int) -> ~fashionlib.search.Results"
    assert signature(fashionlib.FashionError, "exception") == "(message: str = '')"
    assert "- `distances`: float32 [Q, k]" in fields(Results)


def test_each_build_reads_the_page_of_the_library():
    """Its own text stays the same when a docstring changes."""
    env = SimpleNamespace(found_docs={"reference", "other"})
    assert reference.outdated(None, env) == ["reference"]
    assert reference.outdated(None, SimpleNamespace(found_docs={"other"})) == []


def test_the_first_mention_of_a_name_in_a_text_leads_to_it():
    """Not one in a title, a link or a call's second mention; other code stays as it is."""
    page = new_document("one")
    page += nodes.title("", "", nodes.literal("", "FashionError"))
    words = ("SearchIndex", "FashionError", "SearchIndex(…)", "FashionError", "nothing.known")
    paragraph = nodes.paragraph("", "", *(nodes.literal("", word) for word in words))
    page += paragraph
    reference.link_names(SimpleNamespace(env=SimpleNamespace(docname="chapters/one")), page)
    links = [
        (n, each["reftarget"]) for n, each in enumerate(paragraph) if each.tagname != "literal"
    ]
    assert links == [(0, targets()["SearchIndex"]), (1, targets()["FashionError"])]
    assert page.astext().split() == ["FashionError", *"".join(words).split()]
