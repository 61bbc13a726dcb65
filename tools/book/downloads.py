"""What a reader can take from the book: each page's notebook, and all that it takes to run them.

`book/run_it.md` says what to do with them. `add_button` puts the links at the top of each chapter.
"""

import shutil
import zipfile
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
ARCHIVE = "smart-fashion-search.zip"  # as run_it.md names it
# the library can be installed from these, and the chapters run with it
FILES = ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff")
FOLDERS = ("fashionlib", "notebooks")
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", "runs"}
WHEN = (2026, 1, 1, 0, 0, 0)  # of every file in it: the same files give the same archive
SOLUTIONS = "exercises/solutions/"


def notebooks_of(docname: str) -> dict[str, str]:
    """A page's notebooks, by what they are; paths below `notebooks/`, none for another page."""
    if not docname.startswith("chapters/"):
        return {}
    name = f"{docname.removeprefix('chapters/')}.ipynb"
    if name.startswith(SOLUTIONS):
        exercise = name.replace(SOLUTIONS, "exercises/")
        return {"The exercise, a notebook": exercise, "Its solution, a notebook": name}
    return {"This chapter, a notebook": name}


def write_downloads(site: Path) -> None:
    """Put the notebooks and the archive into a built book."""
    shutil.rmtree(site / "notebooks", ignore_errors=True)
    for path in contents():
        if path.suffix == ".ipynb":
            copy = site / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    with zipfile.ZipFile(site / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in contents():
            name = Path(ARCHIVE).stem / path.relative_to(ROOT)
            entry = zipfile.ZipInfo(name.as_posix(), WHEN)
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def contents() -> list[Path]:
    """The files of the archive."""
    inside = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*"))]
    paths = [*(ROOT / name for name in FILES), *inside]
    return [
        path
        for path in paths
        if path.is_file() and not LEFT_OUT & set(path.relative_to(ROOT).parts)
    ]


def add_button(app: Sphinx, pagename: str, template: str, context: dict, doctree: object) -> None:
    """Sphinx html-page-context: a button on each chapter, with its notebook and how to run it."""
    notebooks = notebooks_of(pagename)
    if not notebooks:
        return
    links = [
        ("fa-solid fa-download", text, context["pathto"](f"notebooks/{path}", 1))
        for text, path in notebooks.items()
    ]
    links.append(("fa-solid fa-circle-question", "How to run it", context["pathto"]("run_it")))
    buttons = [
        {"type": "link", "icon": icon, "text": text, "url": url} for icon, text, url in links
    ]
    context["header_buttons"].append(
        {
            "type": "group",
            "tooltip": "Take this chapter with you",
            "icon": "fa-solid fa-download",  # "fas" would ask for the widgets' font
            "buttons": buttons,
            "label": "download-buttons",
        }
    )
