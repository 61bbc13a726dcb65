"""Text that reads well wherever a notebook is opened: plain Markdown, links that lead somewhere."""

import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").rglob("*.py"))
# what only an extension of Sphinx or MyST understands
DIRECTIVE = re.compile(r"^\s*[:`]{3,}\{|\{[a-z:]+\}`|^\([\w-]+\)=$|^\s*:{3,}", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(script: Path) -> str:
    cells = jupytext.read(script, fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_no_directive_and_no_role(script):
    assert DIRECTIVE.findall(prose(script)) == []


@pytest.mark.parametrize(
    "planted",
    [":::{note}", "```{figure} x.png", "{doc}`a`", "{cite:p}`b`", "(here)=", "  :::{tip}"],
)
def test_a_planted_directive_is_noticed(planted):
    assert DIRECTIVE.search(f"Some text.\n\n{planted}\nmore")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_links_between_notebooks_lead_to_notebooks(script):
    inside = [link for link in LINK.findall(prose(script)) if not link.startswith("http")]
    for link in inside:
        path, _, _ = link.partition("#")
        assert path.endswith(".ipynb"), link
        assert (script.parent / path).is_file(), link


def test_every_paper_that_is_cited_is_in_the_references():
    cited = {
        link
        for script in SCRIPTS
        for link in re.findall(r", \d{4}\]\((http[^)]+)\)", prose(script).replace("\n", " "))
    }
    assert len(cited) > 15
    assert sorted(cited - set(LINK.findall((ROOT / "book/references.md").read_text()))) == []
