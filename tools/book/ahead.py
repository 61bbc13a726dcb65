"""Run chapters ahead of Sphinx, two at a time on a thread each, into the cache that it looks in.

myst-nb runs one notebook after the other. On two cores that wastes time: much of a chapter uses one
core only, and the networks are so small that a second thread does not halve a training. Chapters
that measure how fast something is come last, each alone on all cores.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from chapters import CHAPTERS, EXERCISES
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from page_key import read_page

from fashionlib.settings import budget

AT_ONCE = 2
TURNS = {page.script.stem: page.turn for page in (*CHAPTERS, *EXERCISES)}
ORDER = "first", "beside", "early", "any", "alone"


class Ran(NamedTuple):
    """A page's notebook with its outputs, or with the error that stopped it."""

    page: Path
    notebook: NotebookNode
    seconds: float
    problem: str  # "" where it ran to its end


def run_ahead(pages: Sequence[Path], cache_path: str, timeout: int) -> list[Ran]:
    """Run those of the pages (percent scripts) that are not in the cache, and put them there.

    A notebook that fails is not put there; a line says in which cell it failed, and with what.
    `timeout` is in seconds, for a cell.
    """
    cache = get_cache(cache_path)
    turns = {page: TURNS.get(page.stem, "any") for page in pages}
    missing = [page for page in pages if not _has(cache, page)]
    missing.sort(key=lambda page: (ORDER.index(turns[page]), page))
    # times that are taken for a test are read by nobody
    alone = [page for page in missing if budget(turns[page] == "alone", quick=False)]
    shared = [page for page in missing if page not in alone]
    with patch.dict(os.environ, OMP_NUM_THREADS="1"):  # kernels inherit it
        done = _run_all(shared, cache, timeout)
    return done + [ran for page in alone for ran in _run_all([page], cache, timeout)]


def _run_all(pages: Sequence[Path], cache: JupyterCacheAbstract, timeout: int) -> list[Ran]:
    """Run pages, `AT_ONCE` at a time, and keep each as it is done."""
    done = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in as_completed([pool.submit(_run, page, timeout) for page in pages]):
            ran = future.result()
            if not ran.problem:
                data = {"execution_seconds": ran.seconds}
                bundle = CacheBundleIn(ran.notebook, str(ran.page), data=data)
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            how = f"failed after {ran.seconds:.0f} s {ran.problem}"
            print(ran.page.stem, how if ran.problem else f"ran in {ran.seconds:.0f} s", flush=True)
            done.append(ran)
    return done


def _run(page: Path, timeout: int) -> Ran:
    notebook, problem = _read(page), ""
    # times in a cell's metadata would make it another cell to the cache
    settings = {"timeout": timeout, "record_timing": False}
    place = {"metadata": {"path": str(page.resolve().parent)}}
    started = time.perf_counter()
    try:
        NotebookClient(notebook, resources=place, **settings).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        problem = _told(notebook) or f"with {type(error).__name__}"
    return Ran(page, notebook, time.perf_counter() - started, problem)


def _told(notebook: NotebookNode) -> str:
    """In which cell there is an error, and its last words; "" where there is none."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                words = " ".join(output.evalue.split())
                return f"in cell {number}: {output.ename}: {words}"
    return ""


def _has(cache: JupyterCacheAbstract, page: Path) -> bool:
    try:
        cache.match_cache_notebook(_read(page))
    except KeyError:
        return False
    return True


def _read(page: Path) -> NotebookNode:
    return read_page(page.read_text(encoding="utf-8"))
