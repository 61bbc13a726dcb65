"""The book's Sphinx settings. Nothing is fetched when it is read; one file once when it is built.

That is ONNX Runtime for the page *Try it* (fetch_runtime.py); without it the rest is built.
"""

import os
import re
import sys
from pathlib import Path

from sphinx.errors import SphinxError

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.insert(0, str(ROOT / "tools" / "book"))

import downloads  # noqa: E402 - they live beside the package, not in it
import front_page  # noqa: E402
import glossary  # noqa: E402
import launch  # noqa: E402
import page_key  # noqa: E402
import reference  # noqa: E402
import sidebar  # noqa: E402
from exercises import for_the_book  # noqa: E402
from lighten import lighten  # noqa: E402

# -- chapters: Sphinx wants them below its own folder, people edit them in notebooks/ ------------


# a page of solutions is built with the tests' budget: five more full trainings would double the
# time that the book takes
SHORT = """# %% [markdown]
# :::{note}
# For this page, trainings ran as short as they do in the tests. What is marked *The full run* was
# recorded once; run the notebook for all of it.
# :::

# %% tags=["remove-cell"]
import os

os.environ["FASHIONLIB_BUDGET"] = "quick"

"""


def page_of(script: Path) -> str:
    """A chapter as it is, with links to scripts for those to notebooks; a solution, folded."""
    text = re.sub(r"(\]\([\w/.]+)\.ipynb\b", r"\1.py", script.read_text(encoding="utf-8"))
    # the page of an exercise is that of its solution
    text = text.replace("](exercises/", "](exercises/solutions/")
    if script.parent.name != "solutions":
        return text
    head, cell, rest = for_the_book(text).partition("# %%")
    title, next_cell, rest = rest.partition("# %%")
    return head + cell + title + SHORT + next_cell + rest


def sync_chapters(source: Path = ROOT / "notebooks", target: Path = BOOK / "chapters") -> None:
    """Write the pages' scripts; an unchanged file keeps its time, so Sphinx skips it."""
    # an exercise that nobody has solved stops at its first check: the book shows the solutions
    no_pages = "exercises", ".ipynb_checkpoints"  # the other one is an editor's
    scripts = [path for path in source.rglob("*.py") if path.parent.name not in no_pages]
    wanted = {target / script.relative_to(source): script for script in scripts}
    for old in [path for path in target.rglob("*") if path.is_file() and path not in wanted]:
        old.unlink()
    for copy, script in wanted.items():
        text = page_of(script)
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")


sync_chapters()

# -- general -------------------------------------------------------------------------------------
project = "Smart Fashion Search"
author = "the Smart Fashion Search authors"
project_copyright = "2026, the Smart Fashion Search authors"
language = "en"
extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
]
# conf.py ends like a chapter does: Sphinx would run it as one
exclude_patterns = ["conf.py", "_build", "**.ipynb_checkpoints"]
numfig = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

# -- executing the chapters ----------------------------------------------------------------------
nb_custom_formats = {".py": "page_key.read_page"}  # what the page depends on is in the notebook
nb_execution_mode = "cache"
nb_execution_timeout = 6 * 3600  # seconds for a cell: a slow machine is no mistake
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and formulas in outputs, as in the text
# a progress bar is for the person who waits; in a page it would be a dead widget
os.environ["TQDM_DISABLE"] = "1"
# exercise 2 would fetch pretrained weights where it can: the book is the same everywhere
os.environ["HF_HUB_OFFLINE"] = "1"
# where kernels start is the chapter's folder: a relative path would not be found from there
if os.environ.get("FASHIONLIB_DATA"):
    os.environ["FASHIONLIB_DATA"] = str(Path(os.environ["FASHIONLIB_DATA"]).resolve())
nb_execution_cache_path = str(ROOT / ".book_cache" / "pages")
# the default loads require.js and the widget manager from elsewhere; this one file is both
nb_ipywidgets_js = {"vendor/html-manager/embed.js": {}}

# -- the page of the library: tools/book/reference.py --------------------------------------------
add_module_names = False  # the headings say them
toc_object_entries_show_parents = "hide"

# -- mathematics: version 3 as SVG is one file; version 4 fetches pieces from elsewhere ----------
mathjax_path = "vendor/mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

# -- pages ---------------------------------------------------------------------------------------
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["book.css"]
html_js_files = [
    (name, {"defer": "defer"})
    for name in ("block_explorer.js", "search_explorer.js", "scroll_focus.js")
]
html_favicon = "_static/icon.svg"
html_theme_options = {
    "logo": {
        "image_light": "_static/icon.svg",
        "image_dark": "_static/icon.svg",
        "text": project,
        "alt_text": "A magnifying glass over a dress",
    },
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the sidebar has a search field already
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_use_index = False  # the page The library is one
html_show_sourcelink = False
html_copy_source = False


# -- before the chapters are read: those that may share the cores are run, two at a time ---------


def run_chapters(app) -> None:
    """Fill the cache that myst-nb looks in.

    Raises:
        SphinxError: a chapter failed; what others showed is kept.
    """
    from ahead import run_ahead  # noqa: PLC0415 - not for those who only read the settings

    pages = sorted((BOOK / "chapters").rglob("*.py"))
    done = run_ahead(pages, app.config.nb_execution_cache_path, app.config.nb_execution_timeout)
    failed = [ran.page.stem for ran in done if ran.problem]
    if failed:
        raise SphinxError(
            f"{', '.join(failed)} failed, as told above. The other chapters are kept: when it is "
            "mended, the same command goes on."
        )


# -- once the pages are written ------------------------------------------------------------------


def finish(app, exception) -> None:
    """Add the notebooks and the engine of *Try it*; keep the icons that a page shows, no others.

    The engine's runtime is fetched where the cache has none yet.
    """
    if exception is None and app.builder.format == "html":
        downloads.write_downloads(Path(app.outdir))
        from browser_engine import write_search_engine  # noqa: PLC0415 - imports torch

        write_search_engine(Path(app.outdir) / "_static" / "search_engine")
        lighten(Path(app.outdir))


# -- accessibility: faults that axe-core finds in what myst-nb and docutils write, repaired -------
REPAIRS = {
    # a control is named by all that it shows, here "Show code cell source"
    '<summary aria-label="Toggle hidden content">': "<summary>",
}


def repair(app, pagename, templatename, context, doctree) -> None:
    """Replace the faults in a page's body before it is written."""
    for fault, repaired in REPAIRS.items():
        if "body" in context:
            context["body"] = context["body"].replace(fault, repaired)


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", run_chapters)
    app.connect("env-get-outdated", page_key.outdated)
    app.connect("env-get-outdated", reference.outdated)
    app.connect("env-get-outdated", front_page.outdated)
    app.connect("env-get-outdated", glossary.outdated)
    app.connect("source-read", reference.fill)
    app.connect("source-read", front_page.fill)
    app.connect("doctree-read", sidebar.number, priority=400)  # Sphinx reads the titles at 500
    app.connect("doctree-read", reference.link_names)
    app.connect("doctree-read", glossary.link_terms)
    app.connect("html-page-context", reference.link_code)
    app.connect("html-page-context", repair)
    app.connect("html-page-context", launch.add_links, priority=502)  # the theme's buttons: 501
    app.connect("html-page-context", downloads.add_button, priority=503)
    app.connect("build-finished", finish)
