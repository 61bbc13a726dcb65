"""README, the front page, the notebooks and the library agree with the one list of chapters."""

import re

import pytest
from chapters import AROUND, CHAPTERS, EXERCISES, ROOT, readme_table

PAGES = (*CHAPTERS, *EXERCISES)
LIBRARY = ROOT / "fashionlib"
NAMED = [name for page in CHAPTERS for name in page.modules] + [*AROUND, "checks/"]


def test_it_lists_the_notebooks_in_the_order_of_the_book():
    """The front page's table of contents sorts them by name."""
    notebooks = ROOT / "notebooks"
    chapters, solutions = notebooks.glob("*.py"), (notebooks / "exercises/solutions").glob("*.py")
    assert [page.script for page in PAGES] == [*sorted(chapters), *sorted(solutions)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.script.stem)
def test_a_page_has_the_title_that_it_says(page):
    text = page.script.read_text()
    heading = re.search(r"^# # (.+)$", text, re.MULTILINE)[1]
    assert page.title.partition(" · ")[2] == heading or page.title == heading


def test_pages_that_compare_times_of_their_own_run_alone():
    """Chapters 1 and 5 layers, exercise 2 networks by seconds, exercise 4 two runtimes."""
    alone = {page.script.stem for page in PAGES if page.turn == "alone"}
    assert "01_inverted_residual_block" in alone
    assert {"05_every_number", "2_other_backbones", "4_export_and_faiss"} <= alone
    assert [page.script.stem for page in PAGES if page.turn == "first"] == ["00_two_catalogs"]


def test_the_table_of_readme():
    assert f"\n\n{readme_table()}\n\n" in (ROOT / "README.md").read_text()


def test_the_cards_of_the_front_page():
    text = (ROOT / "book" / "index.md").read_text()
    cards = re.findall(r"^:::\{grid-item-card\} (.+)\n:link: (.+)$", text, re.MULTILINE)
    wanted = [(page.title, f"chapters/{page.name}") for page in CHAPTERS]
    assert cards == [*wanted, ("Try it", "try_it")]


def test_each_module_and_each_room_belongs_to_one_chapter():
    modules = {path.stem for path in LIBRARY.glob("*.py")} - {"__init__", "__main__"}
    rooms = {f"{path.parent.name}/" for path in LIBRARY.glob("*/__init__.py")}
    inside = [name for name in NAMED if "/" in name.rstrip("/")]  # one file of a room
    assert [name for name in inside if not (LIBRARY / f"{name}.py").is_file()] == []
    assert sorted(set(NAMED) - set(inside)) == sorted(modules | rooms)
    assert len(NAMED) == len(set(NAMED))
