"""The book's text is spelt well, in British English."""

import pytest
from spelling import ROOT, is_known, misspelt, own_words, prose, texts, words


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_word_is_spelt_well(path):
    assert misspelt(prose(path), set(own_words())) == []


def test_the_texts_are_the_chapters_and_the_pages():
    names = {path.name for path in texts()}
    assert {"01_inverted_residual_block.py", "1_more_classes.py"} <= names
    beside = {path.name for folder in (ROOT, ROOT / "book") for path in folder.glob("*.md")}
    assert {name for name in names if name.endswith(".md")} == beside - {"references.md"}
    read = {path: len(words(prose(path))) for path in texts()}
    assert min(read.values()) > 3, read
    assert max(read.values()) > 300


@pytest.mark.parametrize(
    "planted",
    [
        "garmant",  # in no list of mistakes
        "recieve",
        "convolutionnal",
        "color",
        "normalize",
        "Neighbor",
        "well-knwon",
        "dress's-hemm",
    ],
)
def test_a_planted_mistake_is_caught(planted):
    assert len(misspelt(f"The **{planted}** of it.", set(own_words()))) == 1


@pytest.mark.parametrize(
    "written", ["colour", "normalised", "neighbour’s", "don't", "don’t", "grey"]
)
def test_british_spelling_is_right(written):
    assert misspelt(f"It is {written} there.", set(own_words())) == []


def test_code_and_formulas_are_not_read(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`colr` $xqz_i$ [text](https://exmple.org/colr) {cite:p}`hee2016`\n"
        "<div class='fooo'>words</div>\n\n```python\ncolr = 1\n```\n\n"
        ":::{grid-itm}\n:lnk: fooo\n:::\n\nfashionlib.plots, book/conf.py and MobileNet mistke\n"
    )
    assert misspelt(prose(page), set()) == ["mistke"]


def test_only_markdown_cells_of_a_chapter_are_read(tmp_path):
    script = tmp_path / "chapter.py"
    script.write_text("# %% [markdown]\n# A mistke.\n\n# %%\ncolr = 1  # anothr\n")
    assert misspelt(prose(script), set()) == ["mistke"]


def test_the_books_own_words_are_sorted_and_all_needed():
    listed = own_words()
    assert listed == sorted(set(listed))
    used = set().union(*(words(prose(path)) for path in texts()))
    assert [word for word in listed if word not in used or is_known(word)] == []
