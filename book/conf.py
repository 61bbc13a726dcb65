"""The book's Sphinx settings. Nothing is fetched, neither when it is built nor when it is read."""

import hashlib
import os
import shutil
from pathlib import Path

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent

# -- chapters: Sphinx wants them below its own folder, people edit them in notebooks/ ------------


def sync_chapters(source: Path = ROOT / "notebooks", target: Path = BOOK / "chapters") -> None:
    """Copy the percent scripts; an unchanged file keeps its time, so Sphinx skips it."""
    wanted = {target / script.relative_to(source): script for script in source.rglob("*.py")}
    for old in [path for path in target.rglob("*") if path.is_file() and path not in wanted]:
        old.unlink()
    for copy, script in wanted.items():
        if not copy.exists() or copy.read_bytes() != script.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(script, copy)


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
    "sphinx_togglebutton",
    "sphinx_exercise",
    "sphinxcontrib.bibtex",
]
# conf.py ends like a chapter does: Sphinx would run it as one
exclude_patterns = ["conf.py", "_build", "**.ipynb_checkpoints"]
numfig = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

# -- executing the chapters ----------------------------------------------------------------------
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and formulas in outputs, as in the text
# a progress bar is for the person who waits; in a page it would be a dead widget
os.environ["TQDM_DISABLE"] = "1"
# where kernels start is the chapter's folder: a relative path would not be found from there
if os.environ.get("FASHIONLIB_DATA"):
    os.environ["FASHIONLIB_DATA"] = str(Path(os.environ["FASHIONLIB_DATA"]).resolve())


def execution_key() -> str:
    """What a chapter's outputs depend on besides its own cells: the library and the settings."""
    sources = [path.read_bytes() for path in sorted((ROOT / "fashionlib").rglob("*.py"))]
    settings = [os.environ.get(name, "") for name in ("FASHIONLIB_DATA", "FASHIONLIB_BUDGET")]
    return hashlib.sha256(b"".join(sources) + repr(settings).encode()).hexdigest()[:12]


nb_execution_cache_path = str(ROOT / ".book_cache" / execution_key())
# the default loads require.js and the widget manager from elsewhere; this one file is both
nb_ipywidgets_js = {"vendor/html-manager/embed.js": {}}

# -- mathematics: version 3 as SVG is one file; version 4 fetches pieces from elsewhere ----------
mathjax_path = "vendor/mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

# -- pages ---------------------------------------------------------------------------------------
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = [(name, {"defer": "defer"}) for name in ("block_explorer.js", "search_explorer.js")]
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the sidebar has a search field already
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_show_sourcelink = False
html_copy_source = False
