"""Numbers in a chapter's prose come out of code, or are cited: nobody types a measurement."""

import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").rglob("*.py"))

# numbers a reader would take for a measurement: percentages, decimals, three digits and more, times
# and ratios ("15 ms", "3×", but not the 3×3 of a kernel)
MEASURED = re.compile(
    r"\d+(?:\.\d+)?\s?%|\d+\.\d+|\d(?:,?\d){2,}|\d+\s?(?:ms|s|seconds|minutes|MB|times)\b"
    r"|\d+\s?×(?!\s?\d)"
)
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\{cite.*?\}|\[[^\]]*\]\([^)]*\)|\d+K\b", re.DOTALL)

# what a chapter may state: the article's figures, definitions and examples, each with its reason
CITED = {
    "00_two_catalogs": {
        "106": "megabytes of the archive, as its authors give it",
        "160": "the side of a catalog's pictures, a setting",
    },
    "01_inverted_residual_block": {
        "3.2": "a section of the MobileNetV2 paper",
        "3.3": "another section of it",
        "256": "channels of a layer in the next cell",
        "16 times": "256 channels to 16",
        "429,399": "asserted by the chapter's code",
        "100": "how many matrices the next cell draws",
        "3×": "the article's claim",
        "64 times": "64 to 1, the answer to a question",
    },
    "02_train_a_classifier": {
        "85%": "the article's claim",
        "86%": "an example of two accuracies that cannot be told apart",
        "87%": "the other one",
        "238": "an example in a question",
        "241": "the other one",
        "276": "validation photos, in the same question",
    },
    "03_train_with_triplets": {
        "0.82": "the article's first loss",
        "0.09": "the article's last loss",
        "95 %": "the share that an interval is set for",
    },
    "04_visual_search": {},
    "06_into_production": {
        "15 ms": "the article's time for its network",
        "100": "V100, the name of a GPU",
        "0.95": "an example of a recall, in a question",
    },
    "08_what_does_it_look_at": {"100": "95 of 100: the share that the limit is set for"},
    "07_detection_head": {},
    "09_what_each_change_is_worth": {
        "299": "pixels a side, as published",
    },
    "1_more_classes": {},
    "2_other_backbones": {},
    "3_other_losses": {},
    "4_export_and_faiss": {},
    "5_hard_negatives": {"3.2": "a section of the FaceNet paper"},
    "05_every_number": {
        "3×": "the article's claim",
        "85%": "the article's accuracy",
        "33,039": "asserted by a contract cell of the chapter",
        "428,944": "parameters that the longer post beside the article gives its backbone",
        "455": "and its head",
        "0.53": "and billion multiplications for 32 pictures",
        "100": "a GPU by its name, V100",
        "50 ms": "the article's time for ResNet-18",
        "15 ms": "the article's time for its network",
        "26×": "the article's ratio of parameters",
        "3.5": "the article's ratio of times",
        "0.82": "the article's first loss",
        "0.09": "the article's last loss",
        "50%": "the article's saving",
        "2004.03014": "a paper's number, as the article gives it",
        "95 %": "the share that an interval is set for",
        "58%": "an example in a question",
        "59%": "another seed of it",
        "60%": "and another",
        "4.3": "t for three seeds, as tables give it",
        "56.5%": "low end of the interval of that example",
        "61.5%": "and its high end",
    },
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
    "planted",
    [
        "93.2 %",
        "0.928",
        "reaches 91%",
        "2,482 photos",
        "in 134.5 s",
        "needs 134 s",
        "takes 15 ms",
        "is 3× faster",
        "has 276 photos",
        "is 12 times as big",
    ],
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
