"""The one list of chapters and exercises: their order, what they build, how their pages are run.

The table of README and the cards of the front page are held equal to it by a test. After a change
here, `python tools/book/chapters.py` prints the table.
"""

from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Page(NamedTuple):
    """A chapter, or the solution of an exercise."""

    name: str  # below notebooks/, without .py
    title: str
    builds: str = ""  # in README
    # of fashionlib that it teaches: "search", a whole room "stores/", or one file of a room
    modules: tuple[str, ...] = ()
    # "first": draws the catalog that others take from the cache; "beside": needs no catalog, so it
    # may run meanwhile; "early": takes long; "alone": measures how fast something is, and a page
    # beside it would show in its figures
    turn: Literal["first", "beside", "early", "any", "alone"] = "any"

    @property
    def script(self) -> Path:
        """Its percent script."""
        return ROOT / "notebooks" / f"{self.name}.py"


CHAPTERS = (
    Page(
        "00_two_catalogs",
        "0 · A first search, two catalogs",
        "a search in five lines; photos and drawn garments, decoded once",
        ("catalog/", "drawn/"),
        turn="first",
    ),
    Page(
        "01_inverted_residual_block",
        "1 · The inverted residual block",
        "the block, its skip, its cost, and the bug behind a headline number",
        ("blocks", "heads", "counting"),
        turn="alone",
    ),
    Page(
        "02_train_a_classifier",
        "2 · Train a classifier",
        "the training loop in the open, honest accuracies",
        ("transforms", "inference", "metrics", "training", "weights"),
        turn="early",
    ),
    Page(
        "03_train_with_triplets",
        "3 · Train with triplets",
        "an encoder that knows what looks alike",
        ("triplets", "siamese", "look_encoder", "retrieval"),
        turn="early",
    ),
    Page(
        "04_visual_search",
        "4 · Search by picture",
        "an index instead of a loop, its failures, an explorer",
        ("search",),
    ),
    Page(
        "05_every_number",
        "5 · Every number, measured",
        "a ledger of the article's claims, with verdicts that are computed",
        ("pages/",),
        turn="alone",
    ),
    Page(
        "06_into_production",
        "6 · Into production",
        "export, large catalogs, a database, many processes",
        ("export/", "stores/", "running/"),
    ),
    Page(
        "07_detection_head",
        "7 · A detection head",
        "optional: where is the garment?",
        ("detection",),
        turn="beside",
    ),
    Page(
        "08_what_does_it_look_at",
        "8 · What does it look at?",
        "the garment or the wall behind it, and what it says to a flower",
        ("catalog/new_backdrops",),
        turn="early",
    ),
    Page(
        "09_what_each_change_is_worth",
        "9 · What each change is worth",
        "for those who train: what was tried, seed by seed, and how sure that is",
        ("running/teachers",),
    ),
)
_SOLUTIONS = "exercises/solutions"
EXERCISES = (
    Page(f"{_SOLUTIONS}/1_more_classes", "Exercise 1: More than seven classes"),
    Page(f"{_SOLUTIONS}/2_other_backbones", "Exercise 2: Other backbones", turn="alone"),
    Page(f"{_SOLUTIONS}/3_other_losses", "Exercise 3: Center loss and ArcFace"),
    Page(f"{_SOLUTIONS}/4_export_and_faiss", "Exercise 4: ONNX and FAISS", turn="alone"),
    Page(f"{_SOLUTIONS}/5_hard_negatives", "Exercise 5: Hard negatives"),
)
AROUND = ("files", "settings", "errors", "cli")  # what every chapter stands on, and none teaches


def readme_table() -> str:
    """README's table of the chapters, as Markdown."""
    rows = [
        (f"[{page.title}](notebooks/{page.name}.ipynb)", page.builds, page.modules)
        for page in CHAPTERS
    ]
    tasks = [page.name.replace(f"{_SOLUTIONS}/", "exercises/") for page in EXERCISES]
    links = ", ".join(f"[{n}](notebooks/{task}.ipynb)" for n, task in enumerate(tasks, start=1))
    rows.append((f"Exercises {links}", "notebooks that check your answers", ("checks/",)))
    rows.append(("around them all", "folders, settings, the command line", AROUND))
    lines = ["| chapter | what you build | in `fashionlib/` |", "|---|---|---|"]
    for chapter, builds, modules in rows:
        lines.append(f"| {chapter} | {builds} | {', '.join(f'`{name}`' for name in modules)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(readme_table())
