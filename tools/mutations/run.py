"""Would a test notice? `python tools/mutations/run.py [WORD ...]`: mistakes, put in one at a time.

`mutations.toml` holds mistakes of a line or two that a contributor could make, each with the tests
that have to fail then. They are made in a copy of the tree, one after the other, and nothing else
is touched. With words, only those whose name, file or kind holds one of them. Run it by hand after
a change of tests; CI runs it once a week (`.github/workflows/mutations.yml`).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutations.toml")
SECONDS = 600  # for the tests of one mutation: what waits forever is noticed too
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"
ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "FASHIONLIB_BUDGET": "quick",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
}
SLOW = ("torch", "torchvision.transforms.v2", "sklearn.metrics", "matplotlib.pyplot", "scipy.stats",
        "playwright.sync_api", "pooch", "pytorch_metric_learning.miners", "jupytext")  # fmt: skip
FAILED = 1  # pytest's exit code where tests ran and failed; other codes say that they did not run


class Mutation(NamedTuple):
    """A mistake, and who has to notice it."""

    name: str  # what is wrong then
    kind: str  # "training", "files", …
    file: str  # below the root
    text: str  # stands there once
    becomes: str
    tests: list[str]  # as pytest takes them


def mutations(words: list[str] | None = None) -> list[Mutation]:
    """The list, or those of it that hold one of the words."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutation"]
    found = [Mutation(**entry) for entry in entries]
    if not words:
        return found
    return [m for m in found if any(word in f"{m.name} {m.file} kind:{m.kind}" for word in words)]


def mutated(mutation: Mutation, root: Path = ROOT) -> str:
    """The file's text with the mistake in it.

    Raises:
        ValueError: what is to be replaced does not stand there exactly once.
    """
    text = (root / mutation.file).read_text(encoding="utf-8")
    if text.count(mutation.text) != 1:
        places = text.count(mutation.text)
        raise ValueError(f"{mutation.name}: {mutation.text!r} is {places} times in {mutation.file}")
    return text.replace(mutation.text, mutation.becomes)


def copy_of_the_tree(target: Path) -> Path:
    """What git knows or would know of this tree, as it is now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)  # some tests ask git for files
    return target


def run_tests(tests: list[str], tree: Path, *options: str) -> tuple[int, list[str]]:
    """Exit code of pytest, and the tests that failed; without any, the end of what it said.

    In a copy of this process, which has imported what takes seconds, but nothing of the tree.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = os.fork()
        if child == 0:
            _become_pytest([*options, *tests], tree, said.fileno())
        code = _exit_code(child)
        said.seek(0)
        lines = said.read().splitlines()
    marked = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    failed = [line.partition(" ")[2] for line in marked] or lines[-20:]
    return (FAILED, ["out of time"]) if code is None else (code, failed)


def _become_pytest(arguments: list[str], tree: Path, output: int) -> NoReturn:
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = sys.stderr = open(output, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.setsid()  # so that what the tests start can be ended with them
    os.chdir(tree)
    os.environ |= ENVIRONMENT | {"PYTHONPATH": str(tree)}
    sys.path[0] = str(tree)  # before the installed library
    sys.dont_write_bytecode = True  # a file changed twice in a second would be read once
    code = 3
    try:
        code = pytest.main(["-q", "-p", "no:cacheprovider", *arguments])
    finally:
        sys.stdout.flush()
        os._exit(int(code))


def _exit_code(child: int) -> int | None:
    """Of a process that is waited for; None where it took too long and was ended."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def judged(mutation: Mutation, tree: Path) -> tuple[str, str]:
    """Verdict, and who noticed; the tree is as it was afterwards."""
    path = tree / mutation.file
    before = path.read_bytes()
    try:
        path.write_text(mutated(mutation, tree), encoding="utf-8")
        code, failed = run_tests(mutation.tests, tree, "-x")
    finally:
        path.write_bytes(before)
    if code == FAILED:
        return CAUGHT, failed[0]
    return (SURVIVED, "") if code == 0 else (BROKEN, "\n".join(failed))


def main() -> int:
    """Make each mistake, and say who noticed it; returns 1 where one was not noticed."""
    chosen = mutations(sys.argv[1:])
    if not chosen:
        print(f"no mutation has any of {sys.argv[1:]} in it", file=sys.stderr)
        return 2
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        tree = copy_of_the_tree(Path(place))
        for name in SLOW:
            import_module(name)
        tests = sorted({test for mutation in chosen for test in mutation.tests})
        code, failed = run_tests(tests, tree)
        already = failed if code else []
        print(*(f"fails without any mistake: {test}" for test in already), sep="\n")
        for mutation in chosen:
            started = time.perf_counter()
            if any(one.startswith(test) for test in mutation.tests for one in already):
                verdict, by = BROKEN, "its tests fail without it too"
            else:
                verdict, by = judged(mutation, tree)
            verdicts.append(verdict)
            seconds = time.perf_counter() - started
            print(
                f"{verdict:<8} {seconds:4.0f} s  {mutation.kind}: {mutation.name}  {by}", flush=True
            )
    caught = verdicts.count(CAUGHT)
    print(f"{caught} of {len(verdicts)} caught ({caught / len(verdicts):.1%})")
    return 0 if caught == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
