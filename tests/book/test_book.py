"""The built book: executed to the last cell, whole without a network, described in words."""

import inspect
import os
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pair
import pytest
from browsing import opened
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parents[2]


def pages(book: Path) -> list[Path]:
    found = sorted(path for path in book.rglob("*.html") if "_static" not in path.parts)
    assert {"index.html", "references.html"} <= {path.name for path in found}
    return found


def executed(book: Path) -> dict[str, nbformat.NotebookNode]:
    """Pages with their outputs, as the book shows them: from the cache that it was built with."""
    paths = (book.parent / "jupyter_execute" / "chapters").rglob("*.ipynb")
    sources = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    cache = get_cache(book.parent / "cache")
    return {name: cache.merge_match_into_notebook(page)[1] for name, page in sources.items()}


def unrun(notebook: nbformat.NotebookNode) -> list[str]:
    """Code cells that did not run in their turn, or failed."""
    lines, turn = [], 0
    for cell in notebook.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        turn += 1
        failed = any(output.output_type == "error" for output in cell.outputs)
        if cell.execution_count != turn or failed:
            lines.append(cell.source)
    return lines


def test_every_chapter_really_ran(book):
    notebooks = executed(book)
    # of the exercises, their solutions
    scripts = [script for script in pair.scripts() if script.parent.name != "exercises"]
    assert set(notebooks) == {script.stem for script in scripts}
    for script in scripts:
        source = jupytext.read(script, fmt="py:percent")
        wanted = sum(cell.cell_type == "code" for cell in source.cells)
        wanted += script.parent.name == "solutions"  # the cell that sets the budget
        ran = notebooks[script.stem]
        assert sum(cell.cell_type == "code" for cell in ran.cells) == wanted
        assert unrun(ran) == [], script.stem


@pytest.fixture(scope="module")
def settings() -> dict:
    """What `conf.py` defines."""
    return runpy.run_path(str(ROOT / "book" / "conf.py"))


def test_an_edited_chapter_becomes_a_page_again_and_others_keep_their_time(settings, tmp_path):
    source, target = tmp_path / "notebooks", tmp_path / "chapters"
    source.mkdir()
    for name in ("edited", "kept", "gone"):
        (source / f"{name}.py").write_text("# %% [markdown]\n# # As it was\n")
    settings["sync_chapters"](source, target)
    long_ago = 1_000_000_000
    os.utime(target / "kept.py", (long_ago, long_ago))
    (source / "edited.py").write_text("# %% [markdown]\n# # As it is\n")
    (source / "gone.py").unlink()
    (source / ".ipynb_checkpoints").mkdir()
    (source / ".ipynb_checkpoints" / "kept-checkpoint.py").write_text("# an editor's")
    settings["sync_chapters"](source, target)
    assert sorted(path.name for path in target.iterdir()) == ["edited.py", "kept.py"]
    assert "As it is" in (target / "edited.py").read_text()
    assert (target / "kept.py").stat().st_mtime == long_ago


def test_a_relative_folder_of_photos_is_found_from_a_chapters_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHIONLIB_DATA", "photos")
    runpy.run_path(str(ROOT / "book" / "conf.py"))
    assert os.environ["FASHIONLIB_DATA"] == str(Path.cwd() / "photos")


class Recorder:
    """Takes the place of Sphinx, and notes what is connected with which of its events."""

    def __init__(self) -> None:
        self.connected = set()

    def connect(self, event, call, priority=500) -> None:
        self.connected.add((event, call))


def test_every_step_that_the_tools_offer_is_taken_at_its_event(settings):
    """Functions that take the app; those of the tools begin with the name of their event."""
    tools = [thing for thing in settings.values() if hasattr(thing, "__file__")]
    tools = [vars(tool) for tool in tools if Path(tool.__file__).parent.name == "book"]
    steps = {
        thing
        for space in (settings, *tools)
        for thing in space.values()
        if inspect.isfunction(thing)
        and next(iter(inspect.signature(thing).parameters), "") == "app"
    } - {settings["setup"]}
    app = Recorder()
    settings["setup"](app)
    assert len(steps) >= 14
    assert {call for _, call in app.connected} == steps
    for event, call in app.connected:
        if named := re.match(r"Sphinx ([\w-]+)", call.__doc__):
            assert event == named[1], call


def test_what_myst_nb_calls_a_folded_cell_is_no_name_of_its_own(settings):
    """A screen reader would say that name, and not what is shown."""
    context = {"body": '<summary aria-label="Toggle hidden content"><p>Show code</p></summary>'}
    settings["repair"](None, "page", "page.html", context, None)
    assert context["body"] == "<summary><p>Show code</p></summary>"


@pytest.mark.parametrize(("error", "kind"), [(ValueError("no"), "html"), (None, "linkcheck")])
def test_where_no_pages_were_written_nothing_is_added_to_them(settings, monkeypatch, error, kind):
    monkeypatch.setattr(settings["downloads"], "write_downloads", pytest.fail)
    app = SimpleNamespace(builder=SimpleNamespace(format=kind), outdir="nowhere")
    settings["finish"](app, error)


def test_a_cell_skipped_in_silence_is_noticed(book):
    notebook = next(iter(executed(book).values()))
    assert unrun(notebook) == []
    second = [cell for cell in notebook.cells if cell.cell_type == "code"][1]
    second.execution_count = None
    assert second.source in unrun(notebook)


def test_the_page_says_which_catalog_it_was_made_with(book):
    text = (book / "chapters" / "02_train_a_classifier.html").read_text()
    assert "made with the <strong>drawn</strong>" in text


def test_pictures_come_only_through_show(book):
    """A bare plot carries no alt text: it would be an output of type image/png."""
    for name, notebook in executed(book).items():
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                kinds = output.get("data", {})
                assert not [kind for kind in kinds if kind.startswith("image/")], (
                    name,
                    cell.source,
                )


@pytest.mark.parametrize("kind", ["img", "svg role=img"])
def test_every_picture_is_described(book, kind):
    for path in pages(book):
        # what a script holds is no picture of the page: the state of widgets, escaped once more
        text = re.sub(r"<script\b.*?</script>", "", path.read_text(), flags=re.DOTALL)
        for tag in re.findall(rf"<{kind}\b[^>]*>", text):
            alt = re.search(r'(?:alt|aria-label)="([^"]*)"', tag)
            assert alt, (path.name, tag[:200])
            assert len(alt[1]) > 3, (path.name, tag[:200])


LOADS = re.compile(
    r"""<(?:script|img|iframe|audio|video|source|embed)\b[^>]*\bsrc=["'](?:https?:)?//[^"']+"""
    r"""|<link\b[^>]*rel=["'](?:stylesheet|preload|icon|preconnect)[^>]*href=["'](?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//""",
    re.IGNORECASE,
)


def test_no_page_names_anything_external_to_load(book):
    for path in pages(book) + sorted(book.rglob("*.css")):
        assert LOADS.findall(path.read_text()) == [], path


def test_the_pattern_for_external_loads_finds_them():
    for text in (
        '<script src="https://cdn.example/x.js">',
        "<link rel='stylesheet' href='//cdn.example/x.css'>",
        "@import url(https://cdn.example/f.css)",
        "background: url('http://example.org/a.png')",
    ):
        assert LOADS.search(text), text
    assert not LOADS.search('<a href="https://example.org">a link may leave</a>')


def test_a_page_that_asks_the_network_is_noticed(book, site, chromium):
    planted = book / "planted.html"
    planted.write_text('<h1>x</h1><img alt="x" src="http://example.org/x.png">')
    try:
        with opened(chromium, f"{site}/planted.html") as (_, asked, complaints):
            assert asked == ["http://example.org/x.png"]
            assert complaints
    finally:
        planted.unlink()


def test_mathematics_is_set_from_the_books_own_files(book, site, chromium):
    address = f"{site}/chapters/01_inverted_residual_block.html"
    with opened(chromium, address) as (page, _, _):
        page.wait_for_selector("mjx-container svg", timeout=20_000)


def test_the_search_explorer_answers_in_the_page(book, site, chromium):
    address = f"{site}/chapters/04_visual_search.html"
    with opened(chromium, address) as (page, _, complaints):
        said = page.locator(".search-explorer .sx-said")
        first = said.inner_text()
        page.locator(".search-explorer select").select_option(index=1)
        page.wait_for_function(
            "before => document.querySelector('.search-explorer .sx-said').innerText != before",
            arg=first,
        )
        assert "in the category dress" in said.inner_text()
        sizes = page.eval_on_selector_all(
            ".search-explorer ol img", "pictures => pictures.map(picture => picture.naturalWidth)"
        )
        assert len(sizes) == 6
        assert all(size > 0 for size in sizes)
        assert complaints == []
