"""Every test in one command: the library and the book (pytest), then the notebooks (nbval).

Two at a time, with a thread each, but for the tests that hold a stopwatch: those run by themselves.
All runs share one temporary cache, so the photos are decoded once, and a person's own cache is left
alone. All happen even when one fails.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SHARED = ROOT.parent / "shared" / "data"


def main() -> int:
    """Run all test runs; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="fashionlib-tests-") as cache:
        environment = os.environ | {
            "FASHIONLIB_CACHE": os.environ.get("FASHIONLIB_CACHE", cache),
            "FASHIONLIB_BUDGET": "quick",
            "TQDM_DISABLE": "1",
            "HF_HUB_OFFLINE": "1",  # exercise 2 would fetch pretrained weights where it can
            "OMP_NUM_THREADS": "1",  # two workers of two threads each would wait for each other
            "GOMP_SPINCOUNT": "1000",  # and wait by counting, which takes the core from others
        }
        if "FASHIONLIB_DATA" not in environment and SHARED.is_dir():
            environment["FASHIONLIB_DATA"] = str(SHARED)
        # an exercise that nobody has solved is meant to stop: its solution is run
        notebooks = sorted(str(path.relative_to(ROOT)) for path in NOTEBOOKS.glob("*.ipynb"))
        notebooks += ["notebooks/exercises/solutions"]
        pytest = [sys.executable, "-m", "pytest", "--durations=15"]
        # each notebook in a fresh kernel; of its cells only contract cells are compared
        nbval = ["--nbval-lax", "--nbval-cell-timeout=21600", "--dist=loadscope", "-v"]
        runs = (
            [*pytest, "-n2", "-m", "not clock", "tests"],  # conftest.py shares them out
            [*pytest, "-m", "clock", "tests"],
            [*pytest, "-n2", *nbval, *notebooks],
        )
        codes = []
        for run in runs:
            print("$", " ".join(run[1:]), flush=True)
            done = subprocess.run(run, cwd=ROOT, env=environment, check=False)
            codes.append(done.returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
