"""Spell-check the book's text in British English: `python tools/book/spelling.py` lists faults.

pyspellchecker's word list decides which words exist, codespell's two lists which spellings are
mistakes all the same and which are American; the book's own words are in book/spelling_words.txt.
"""

import importlib.resources
import re
import sys
from functools import cache
from pathlib import Path

import jupytext
import pair
from spellchecker import SpellChecker

ROOT = Path(__file__).resolve().parents[2]
OWN_WORDS = ROOT / "book" / "spelling_words.txt"
NOT_PROSE = re.compile(
    r"^(`{3,}|~{3,}).*?^\1"  # code
    r"|\{[\w:-]+\}`[^`]*`|`[^`]*`"  # roles and inline code
    r"|\$\$.*?\$\$|\$[^$]+\$"
    r"|^:{3,} ?\{.*?$|^:[\w-]+:.*?$"  # directives and their options
    r"|\[[^\]]*,?\s\(?\d{4}\)?\]\("  # who wrote a paper
    r"|<[^>]*>|\]\([^)]*\)|https?://\S+"  # tags and the targets of links
    r"|\[\^?[\w-]+\]:.*?$"
    r"|\b\w*\d\w*\b"
    r"|\b[\w-]+(?:[./_]\w+)+\b",  # names of files and modules
    re.DOTALL | re.MULTILINE,
)
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def texts() -> list[Path]:
    """The files whose prose a reader reads: chapters, exercises, pages and project files."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    book = [path for path in (ROOT / "book").glob("*.md") if path.name != "references.md"]  # names
    return sorted([*pair.scripts(), *book, *pages])


def prose(path: Path) -> str:
    """A Markdown file, or the Markdown cells of a percent script, without code and formulas."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        cells = jupytext.reads(text, fmt="py:percent").cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return NOT_PROSE.sub(" ", text)


def words(text: str) -> set[str]:
    """The words of a text in lower case; abbreviations and names like MobileNet are left out."""
    found = {re.sub(r"['’]s$", "", word) for word in WORD.findall(text)}
    return {word.lower() for word in found if word[1:] == word[1:].lower()}


@cache
def dictionary(name: str) -> dict[str, str]:
    """One of codespell's lists: a spelling, and what to write instead."""
    text = (importlib.resources.files("codespell_lib") / "data" / name).read_text(encoding="utf-8")
    pairs = (line.split("->") for line in text.splitlines() if "->" in line)
    return {wrong: right.strip(" ,") for wrong, right in pairs}


@cache
def lists() -> tuple[SpellChecker, dict[str, str], set[str]]:
    """The words that exist (American), British spellings with their American ones, mistakes."""
    british = dictionary("dictionary_en-GB_to_en-US.txt")
    return SpellChecker(), british, set(british.values()) | set(dictionary("dictionary.txt"))


def own_words() -> list[str]:
    """The book's own words, one a line."""
    return OWN_WORDS.read_text(encoding="utf-8").split()


def is_known(word: str) -> bool:
    """Whether the lists hold a word (lower case) to be well spelt in British English."""
    existing, british, mistakes = lists()
    spelt = word.replace("’", "'")
    return spelt in british or (spelt in existing and spelt not in mistakes)


def misspelt(text: str, allowed: set[str]) -> list[str]:
    """Words of a text that no list knows, in order of the alphabet."""
    return sorted(word for word in words(text) - allowed if not is_known(word))


def main() -> int:
    """Print each file's misspelt words; returns the exit code."""
    allowed = set(own_words())
    faults = [(path, word) for path in texts() for word in misspelt(prose(path), allowed)]
    for path, word in faults:
        print(f"{path.relative_to(ROOT)}: {word}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
