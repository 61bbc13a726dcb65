"""Numbers in a chapter's prose come out of code, or are cited: nobody types a measurement."""

import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").rglob("*.py"))

# numbers a reader would take for a measurement: percentages, decimals, four digits and more
MEASURED = re.compile(r"\d+(?:\.\d+)?\s?%|\d+\.\d+|\d[\d,]{3,}")
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\{cite.*?\}|\[[^\]]*\]\([^)]*\)|\d+K\b", re.DOTALL)

# what a chapter may state: the article's figures, definitions and examples, each with its reason
CITED = {
    "00_two_catalogs": {},
    "01_inverted_residual_block": {
        "3.2": "a section of the MobileNetV2 paper",
        "429,399": "asserted by the chapter's code",
    },
    "02_train_a_classifier": {
        "85%": "the article's claim",
        "86%": "an example of two accuracies that cannot be told apart",
        "87%": "the other one",
    },
    "03_train_with_triplets": {
        "0.82": "the article's first loss",
        "0.09": "the article's last loss",
    },
    "04_visual_search": {},
}


def typed_numbers(script: Path) -> set[str]:
    """Measurements in the Markdown cells of a percent script."""
    cells = jupytext.read(script, fmt="py:percent").cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(MEASURED.findall(NOT_PROSE.sub(" ", prose)))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_prose_types_no_measurement(script):
    assert typed_numbers(script) - CITED[script.stem].keys() == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_exception_is_used(script):
    """An exception that no sentence needs any more would let a measurement through."""
    assert CITED[script.stem].keys() - typed_numbers(script) == set()


@pytest.mark.parametrize(
    "planted", ["93.2 %", "0.928", "reaches 91%", "2,482 photos", "in 134.5 s"]
)
def test_a_planted_number_is_caught(tmp_path, planted):
    script = tmp_path / "chapter.py"
    script.write_text(f"# %% [markdown]\n# The network {planted}, see.\n\n# %%\nx = 0.5\n")
    assert len(typed_numbers(script)) == 1


def test_code_and_citations_are_not_prose(tmp_path):
    script = tmp_path / "chapter.py"
    text = "`lr=0.003`, {cite:p}`he2016deep`, [1701](https://arxiv.org/abs/1701.04128), 429K, 3×3"
    script.write_text(f"# %% [markdown]\n# {text}\n")
    assert typed_numbers(script) == set()
