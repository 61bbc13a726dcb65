"""Launch links of the chapters and Colab's first cell, both made from one setting: REPOSITORY.

While it is empty the book shows no link and no notebook has such a cell. Fill it in, then run
`make pairs` (it writes the cell) and `make book` (it writes the links).
"""

import re
import tomllib
from pathlib import Path

REPOSITORY = ""  # https://github.com/OWNER/NAME
BRANCH = "main"

ROOT = Path(__file__).resolve().parents[2]
WORK_ON_THE_BOOK = {"notebooks", "book", "test"}  # extras that running a chapter does not need


def owner_and_name(repository: str) -> str:
    """`OWNER/NAME` of a GitHub address; ValueError for any other."""
    address = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository)
    if address is None:
        raise ValueError(
            f"REPOSITORY in tools/book/launch.py is {repository!r}: "
            "give https://github.com/OWNER/NAME, or leave it empty"
        )
    return address[1]


def links(repository: str, docname: str) -> dict[str, str]:
    """Where a page of the book can be run, by the service's name; nowhere unless it is a chapter.

    Addresses: colab.research.google.com/github and mybinder.readthedocs.io (URL parameters).
    """
    if not repository or not docname.startswith("chapters/"):
        return {}
    place = owner_and_name(repository)
    notebook = f"notebooks/{docname.removeprefix('chapters/')}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{place}/blob/{BRANCH}/{notebook}",
        "Binder": f"https://mybinder.org/v2/gh/{place}/{BRANCH}?urlpath=lab/tree/{notebook}",
    }


LOGOS = {"Colab": "logo_colab.png", "Binder": "logo_binder.svg"}  # the theme brings them


def add_links(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Sphinx html-page-context: the theme's own launch button, with the notebook's real place.

    The theme would make the links from where Sphinx reads a chapter, which is a copy of its script.
    """
    buttons = [
        {
            "type": "link",
            "text": name,
            "tooltip": f"Run this chapter on {name}",
            "icon": f"_static/images/{LOGOS[name]}",
            "url": address,
        }
        for name, address in links(REPOSITORY, pagename).items()
    ]
    if buttons:
        context["header_buttons"].append(
            {
                "type": "group",
                "tooltip": "Run this chapter",
                "icon": "fa-solid fa-rocket",
                "buttons": buttons,
                "label": "launch-buttons",
            }
        )


def install_cell(repository: str) -> str:
    """Source of a notebook's first code cell: on Colab it installs the library; empty without one.

    Colab opens the notebook alone on a fresh machine, and sets COLAB_RELEASE_TAG there.
    """
    if not repository:
        return ""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = ",".join(sorted(project["optional-dependencies"].keys() - WORK_ON_THE_BOOK))
    source = f"git+https://github.com/{owner_and_name(repository)}@{BRANCH}"
    return (
        "# on Google Colab this installs the book's library, anywhere else it does nothing\n"
        "import os\n\n"
        'if "COLAB_RELEASE_TAG" in os.environ:\n'
        f'    %pip install --quiet "fashionlib[{wanted}] @ {source}"'
    )
