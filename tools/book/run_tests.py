"""Every test in one command: the library and the book (pytest), then the notebooks (nbval).

`run_tests.py WORD` runs what has the word in its file's name, such as `search` or `04`.

Two at a time, with a thread each, but for the tests that hold a stopwatch: those run by themselves.
All runs share one temporary cache, so the photos are decoded once, and a person's own cache is left
alone. All happen even when one fails.
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
# each notebook in a fresh kernel; of its cells only contract cells are compared
NBVAL = ["--nbval-lax", "--nbval-cell-timeout=21600", "--dist=loadscope", "-v"]
NOTHING = 5  # pytest's exit code where no test was chosen


def runs(only: str = "") -> dict[str, list[str]]:
    """What is run, by what it is called: all, or what belongs to a word."""
    # an exercise that nobody has solved is meant to stop: its solution is run
    notebooks = [*(ROOT / "notebooks").glob("*.ipynb")]
    notebooks += (ROOT / "notebooks" / "exercises" / "solutions").glob("*.ipynb")
    chosen = [str(path.relative_to(ROOT)) for path in sorted(notebooks) if only in path.name]
    tests = ["tests"]
    if only:
        files = sorted((ROOT / "tests").rglob("test_*.py"))
        tests = [str(path.relative_to(ROOT)) for path in files if only in path.name]
    commands = {
        "the library and the book": [*PYTEST, "-n2", "-m", "not clock", *tests],  # see conftest.py
        "what holds a stopwatch": [*PYTEST, "-m", "clock", *tests],
        "the notebooks": [*PYTEST, "-n2", *NBVAL, *chosen],
    }
    wanted = {"the notebooks": chosen}
    return {name: command for name, command in commands.items() if wanted.get(name, tests)}


def main() -> int:
    """Run all test runs; returns the exit code."""
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    commands, codes = runs(only), []
    if not commands:
        print(f"no test file and no notebook has {only!r} in its name", file=sys.stderr)
        return 2
    minutes = json.loads(LAST.read_text()) if LAST.is_file() else {}
    with tempfile.TemporaryDirectory(prefix="fashionlib-tests-") as cache:
        environment = os.environ | {
            "FASHIONLIB_CACHE": os.environ.get("FASHIONLIB_CACHE", cache),
            "FASHIONLIB_BUDGET": "quick",
            "TQDM_DISABLE": "1",
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
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
