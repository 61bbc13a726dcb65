"""Every test in one command: the book is built, then pytest runs, with nbval for the notebooks.

`run_tests.py WORD` runs what has the word in its file's name, such as `search` or `04`.

They run two at a time, with a thread each, but for those that hold a stopwatch. All runs share one
temporary cache, so the photos are decoded once, and a person's own cache is left alone. All happen
even when one fails.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
LAST = ROOT / ".pytest_cache" / "minutes.json"  # of each run, the last time it went through
PYTEST = [sys.executable, "-m", "pytest", "--durations=20"]
# whole files, in their order: the long ones are in the first folders
TWO = ["-n2", "--dist=loadfile", "--no-loadscope-reorder"]
# each notebook in a fresh kernel; of its cells only contract cells are compared
NBVAL = ["--nbval-lax", "--nbval-cell-timeout=21600"]
MOST = "the notebooks, the library and the pages"
NOTHING = 5  # pytest's exit code where no test was chosen


def runs(only: str = "", book: str = "") -> dict[str, list[str]]:
    """What is run, by what it is called: all, or what belongs to a word.

    All of it looks at the book that is built first, in the folder `book`; what is run by a word
    builds its own where it needs it.
    """
    # an exercise that nobody has solved is meant to stop: its solution is run
    notebooks = [*(ROOT / "notebooks").glob("*.ipynb")]
    notebooks += (ROOT / "notebooks" / "exercises" / "solutions").glob("*.ipynb")
    chosen = [str(path.relative_to(ROOT)) for path in sorted(notebooks) if only in path.name]
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    tests = [str(path.relative_to(ROOT)) for path in files if only in path.name]
    commands = {} if only else {"the book": [sys.executable, "tools/book/quick_book.py", book]}
    timed = [path for path in tests if "\n@pytest.mark.clock" in (ROOT / path).read_text("utf-8")]
    if chosen or tests:
        commands[MOST] = [*PYTEST, *TWO, *NBVAL, "-m", "not clock", *chosen, *tests]
    if timed:
        commands["what holds a stopwatch"] = [*PYTEST, "-m", "clock", *timed]
    return commands


def main() -> int:
    """Run all test runs; returns the exit code."""
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    if not runs(only):
        print(f"no test file and no notebook has {only!r} in its name", file=sys.stderr)
        return 2
    minutes = json.loads(LAST.read_text()) if LAST.is_file() else {}
    with tempfile.TemporaryDirectory(prefix="fashionlib-tests-") as folder:
        book, codes = "" if only else f"{folder}/book", []
        commands = runs(only, book)
        environment = os.environ | {
            "FASHIONLIB_CACHE": os.environ.get("FASHIONLIB_CACHE", f"{folder}/cache"),
            "FASHIONLIB_TEST_BOOK": book,
            "FASHIONLIB_BUDGET": "quick",
            "TQDM_DISABLE": "1",
            **({"PYTHONUTF8": "1"} if os.name == "nt" else {}),  # of all files, as elsewhere
            "HF_HUB_OFFLINE": "1",  # nothing is fetched from there, even where it can be reached
            "OMP_NUM_THREADS": "1",  # two workers of two threads each would wait for each other
            "GOMP_SPINCOUNT": "1000",  # and wait by counting, which takes the core from others
        }
        if "FASHIONLIB_DATA" not in environment and SHARED.is_dir():
            environment["FASHIONLIB_DATA"] = str(SHARED)
        for number, (name, command) in enumerate(commands.items(), start=1):
            before = f", {minutes[name]} minutes last time" if name in minutes and not only else ""
            print(f"{number} of {len(commands)}: {name}{before}", flush=True)
            started = time.monotonic()
            done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
            codes.append(0 if only and done.returncode == NOTHING else done.returncode)
            minutes[name] = round((time.monotonic() - started) / 60, 1)
    if not only:
        LAST.parent.mkdir(exist_ok=True)
        LAST.write_text(json.dumps(minutes))
    return int(any(codes))  # a run that a signal ended has a negative code


if __name__ == "__main__":
    sys.exit(main())
