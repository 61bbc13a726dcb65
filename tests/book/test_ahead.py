"""Chapters run two at a time before Sphinx reads them, and are not run again by it."""

import asyncio
import contextlib
import os
import re
import runpy
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import ahead
import page_key
import pytest
from ahead import TURNS, run_ahead
from jupyter_cache import get_cache
from myst_nb.core.execute import ExecutionError
from sphinx.application import Sphinx
from sphinx.errors import SphinxError

ROOT = Path(__file__).resolve().parents[2]
ALONE = next(name for name in TURNS if TURNS[name] == "alone")
HEAD = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A page

# %%
"""
RUNS = "open('runs.txt', 'a').write({!r})\n"
MEET = """import pathlib, time
pathlib.Path({0!r}).touch()
until = time.time() + 30
while not pathlib.Path({1!r}).exists() and time.time() < until:
    time.sleep(0.05)
assert pathlib.Path({1!r}).exists()
"""


@pytest.fixture(autouse=True)
def full(monkeypatch) -> None:
    """As for a reader, not as for a test."""
    monkeypatch.setenv("FASHIONLIB_BUDGET", "full")


def write(folder: Path, **cells: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    pages = [folder / f"{name}.py" for name in cells]
    for page, cell in zip(pages, cells.values(), strict=True):
        page.write_text(HEAD + cell)
    return pages


def ran(pages: list[Path], folder: Path) -> dict[str, bool]:
    """Whether each page that was run failed."""
    done = run_ahead(pages, str(folder / "cache"), timeout=60)
    return {one.page.stem: bool(one.problem) for one in done}


def test_a_page_that_ran_is_not_run_again_and_one_that_failed_is(tmp_path):
    pages = write(tmp_path / "pages", good="print(1)", bad="1 / 0")
    assert ran(pages, tmp_path) == {"good": False, "bad": True}
    assert ran(pages, tmp_path) == {"bad": True}
    write(tmp_path / "pages", good="print(2)", bad="print(3)")
    assert ran(pages, tmp_path) == {"good": False, "bad": False}
    assert ran(pages, tmp_path) == {}


def test_two_run_at_once_on_a_thread_each(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    one_thread = "import torch\nassert torch.get_num_threads() == 1\n"
    cells = {"a": MEET.format("a", "b") + one_thread, "b": MEET.format("b", "a") + one_thread}
    assert ran(write(tmp_path / "pages", **cells), tmp_path) == {"a": False, "b": False}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_an_event_loop_that_runs_already_is_no_obstacle(tmp_path):
    """Jupyter has one, and so has the browser of other tests."""

    async def inside() -> dict[str, bool]:
        return ran(write(tmp_path / "pages", a="1"), tmp_path)

    with ThreadPoolExecutor(1) as pool:  # this thread may have a loop already
        assert pool.submit(asyncio.run, inside()).result() == {"a": False}


def test_the_page_that_draws_is_first_and_beside_it_those_that_need_no_catalog(
    tmp_path, monkeypatch
):
    begun = []

    def begin(page: Path, timeout: int) -> ahead.Ran:
        begun.append(page.stem)
        return ahead.Ran(page, None, 0.0, "in cell 1: it is not kept")

    monkeypatch.setattr(ahead, "AT_ONCE", 1)
    monkeypatch.setattr(ahead, "_run", begin)
    ran(write(tmp_path / "pages", a="1", **dict.fromkeys(reversed(TURNS), "1")), tmp_path)
    assert begun == [
        "00_two_catalogs",
        "07_detection_head",
        *("02_train_a_classifier", "03_train_with_triplets", "08_what_does_it_look_at"),
        *("04_visual_search", "06_into_production", "09_what_each_change_is_worth"),
        *("1_more_classes", "3_other_losses", "5_hard_negatives", "a"),
        *("01_inverted_residual_block", "05_every_number"),
        *("2_other_backbones", "4_export_and_faiss"),
    ]
    assert "load_catalog" not in (ROOT / "notebooks" / "07_detection_head.py").read_text()


def test_pages_with_a_stopwatch_come_last_on_all_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    alone = "import torch\nassert torch.get_num_threads() == 2\n" + RUNS.format("t")
    pages = write(tmp_path / "pages", **{ALONE: alone}, a=RUNS.format("a"), b=RUNS.format("b"))
    assert ran(pages, tmp_path) == {"a": False, "b": False, ALONE: False}
    assert (tmp_path / "pages" / "runs.txt").read_text().endswith("t")


def test_pages_with_a_stopwatch_do_not_run_beside_each_other(tmp_path, monkeypatch):
    both, met = threading.Barrier(2), []

    def meet(page: Path, timeout: int) -> ahead.Ran:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)
            met.append(page.stem)
        both.reset()
        return ahead.Ran(page, None, 0.0, "in cell 1: it is not kept")

    monkeypatch.setattr(ahead, "_run", meet)
    alone = [name for name, turn in TURNS.items() if turn == "alone"][:2]
    assert list(ran(write(tmp_path / "pages", **dict.fromkeys(alone, "1")), tmp_path)) == alone
    assert met == []


def test_a_page_that_fails_is_told_in_one_line_with_its_cell(tmp_path, capfd):
    bad = "x = 1\n\n# %%\nraise ValueError('too\\nlong')\n"
    dies = "import os\nos._exit(1)\n"
    ran(write(tmp_path / "pages", good="1", bad=bad, dies=dies), tmp_path)
    lines = sorted(line for line in capfd.readouterr().out.splitlines() if " after " in line)
    assert len(lines) == 2
    assert re.fullmatch(r"bad failed after \d+ s in cell 3: ValueError: too long", lines[0])
    assert re.fullmatch(r"dies failed after \d+ s with DeadKernelError", lines[1])


def test_sphinx_runs_nothing_itself(tmp_path, monkeypatch):
    """By the same settings as the book's."""
    pages = write(tmp_path / "pages", a=RUNS.format("a"), **{ALONE: RUNS.format("t")})
    (tmp_path / "pages" / "index.md").write_text(f"# i\n\n```{{toctree}}\na\n{ALONE}\n```\n")
    settings = {
        "extensions": ["myst_nb"],
        "nb_custom_formats": {".py": "page_key.read_page"},
        "nb_execution_mode": "cache",
        "nb_execution_cache_path": str(tmp_path / "cache"),
        "nb_execution_raise_on_error": True,
    }
    ran(pages, tmp_path)
    folders = [tmp_path / "pages", None, tmp_path / "html", tmp_path / "trees"]

    def runs() -> str:
        """Which pages ran so far, after Sphinx has built them."""
        book = Sphinx(*(f and str(f) for f in folders), "html", settings, status=None)
        book.connect("env-get-outdated", page_key.outdated)
        book.build()
        return (tmp_path / "pages" / "runs.txt").read_text()

    assert (tmp_path / "pages" / "runs.txt").read_text() == "at"
    assert runs() == "at"
    assert runs() == "at"
    monkeypatch.setenv("FASHIONLIB_BUDGET", "quick")  # as code of the library would
    ran(pages, tmp_path)
    assert sorted((tmp_path / "pages" / "runs.txt").read_text()) == ["a", "a", "t", "t"]
    assert len(runs()) == 4


def test_the_book_runs_its_pages_ahead(monkeypatch):
    """`conf.py` asks for it, for the pages that it writes."""
    settings = runpy.run_path(str(ROOT / "book" / "conf.py"))
    asked = []
    done = [ahead.Ran(Path("a.py"), None, 1.0, ""), ahead.Ran(Path("b.py"), None, 1.0, "in cell 1")]
    monkeypatch.setattr(ahead, "run_ahead", lambda *arguments: asked.append(arguments) or done)
    config = SimpleNamespace(nb_execution_cache_path="a folder", nb_execution_timeout=7)
    with pytest.raises(SphinxError, match=r"^b failed, as told above"):
        settings["run_chapters"](SimpleNamespace(config=config))
    ((pages, *rest),) = asked
    assert {page.stem for page in pages} == set(TURNS)
    assert rest == ["a folder", 7]


def test_a_page_that_fails_in_sphinx_stops_the_book_too(tmp_path, monkeypatch):
    """By the book's own settings: what nobody ran ahead is run by myst-nb, and may not fail."""
    settings = runpy.run_path(str(ROOT / "book" / "conf.py"))
    ours = {name: value for name, value in settings.items() if name.startswith("nb_execution")}
    write(tmp_path / "pages", a="1 / 0")
    (tmp_path / "pages" / "index.md").write_text("# i\n\n```{toctree}\na\n```\n")
    more = {
        "extensions": ["myst_nb"],
        "nb_custom_formats": settings["nb_custom_formats"],
        "nb_execution_cache_path": str(tmp_path / "cache"),
        "exclude_patterns": [],
    }
    folders = [tmp_path / "pages", None, tmp_path / "html", tmp_path / "trees"]
    with pytest.raises(ExecutionError, match=r"a\.py"):
        Sphinx(*(f and str(f) for f in folders), "html", ours | more, status=None).build()
    assert "nb_execution_raise_on_error" in ours


def test_a_chapter_takes_a_few_minutes(book):
    """README promises it: here of few pictures, beside another page and all else that runs."""
    records = get_cache(str(book.parent / "cache")).list_cache_records()
    took = {Path(record.uri).stem: record.data["execution_seconds"] for record in records}
    assert took.keys() == set(TURNS)
    assert max(took.values()) < 5 * 60, took
