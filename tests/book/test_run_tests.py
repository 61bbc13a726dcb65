"""`make test`, and the part of it that belongs to one module or chapter."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import run_tests

SCRIPT = Path(run_tests.__file__)


def test_everything_is_run():
    whole = run_tests.runs(book="/tmp/b")
    assert next(iter(whole)) == "the book"  # the pages' tests look at it
    assert whole.pop("the book")[-1] == "/tmp/b"
    assert [command[command.index("-m", 3) + 1] for command in whole.values()] == [
        "not clock",
        "clock",
    ]
    most = whole[run_tests.MOST]
    notebooks = [word for word in most if word.endswith(".ipynb")]
    names = {Path(notebook).stem[:2] for notebook in notebooks}
    assert names == {f"0{n}" for n in range(10)} | {f"{n}_" for n in range(1, 6)}
    assert all("solutions" in name for name in notebooks if "exercises" in name)
    assert "--nbval-lax" in most
    tests = sorted(path for path in (run_tests.ROOT / "tests").rglob("test_*.py"))
    files = [str(path.relative_to(run_tests.ROOT)) for path in tests]
    assert most[-len(files) :] == files
    marked = {path for path in files if "\n@pytest.mark.clock" in Path(path).read_text("utf-8")}
    assert set(whole["what holds a stopwatch"]) >= marked
    assert not set(whole["what holds a stopwatch"]) & (set(files) - marked)


@pytest.mark.parametrize("word", ["stores", "exercises", "book", "tests"])
def test_a_word_chooses_by_names_and_not_by_folders(word):
    for command in run_tests.runs(word).values():
        chosen = [Path(part) for part in command if part.startswith(("tests/", "notebooks/"))]
        assert chosen
        assert [path for path in chosen if word not in path.name] == []


def test_a_word_chooses_files_and_notebooks():
    def chosen(word: str) -> list[str]:
        most = run_tests.runs(word).get(run_tests.MOST, [])
        return [part for part in most if part.startswith(("tests", "notebooks"))]

    assert "tests/test_search.py" in chosen("search")
    assert "tests/running/test_search_command.py" in chosen("search")
    assert chosen("search")[0] == "notebooks/04_visual_search.ipynb"
    assert "tests" not in chosen("search")
    assert chosen("04_") == ["notebooks/04_visual_search.ipynb"]
    assert chosen("heads") == []  # where no file is, nothing is run
    assert chosen("blocks") == ["tests/test_blocks.py"]


@pytest.mark.parametrize(
    ("word", "codes", "code"),
    [
        ([], [0, 0], 0),
        ([], [0, 1], 1),
        ([], [0, -11], 1),  # a signal
        ([], [1, 0], 1),
        ([], [0, run_tests.NOTHING], 1),  # of all tests none was chosen
        (["search"], [0, run_tests.NOTHING], 0),  # of these files none holds a stopwatch
        (["search"], [run_tests.NOTHING, 1], 1),
    ],
)
def test_a_run_that_failed_or_was_killed_is_a_failure(monkeypatch, tmp_path, word, codes, code):
    ends = iter(codes)
    monkeypatch.setattr(run_tests, "runs", lambda *_: {"one": [], "two": []})
    monkeypatch.setattr(run_tests, "LAST", tmp_path / "kept" / "minutes.json")
    monkeypatch.setattr(sys, "argv", ["run_tests.py", *word])
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=next(ends)))
    assert run_tests.main() == code


@pytest.mark.parametrize("own", [True, False])
def test_tests_run_alike_wherever_but_with_a_persons_folders(monkeypatch, tmp_path, own):
    """The photos are those of the person's folder, or what lies beside the clone."""
    ran = []
    for name in ("FASHIONLIB_DATA", "FASHIONLIB_CACHE"):
        monkeypatch.delenv(name, raising=False)
        if own:
            monkeypatch.setenv(name, "a person's")
    monkeypatch.setenv("FASHIONLIB_BUDGET", "full")
    monkeypatch.setattr(run_tests, "SHARED", tmp_path)
    monkeypatch.setattr(run_tests, "LAST", tmp_path / "minutes.json")
    monkeypatch.setattr(run_tests, "runs", lambda *_: {"one": []})
    monkeypatch.setattr(sys, "argv", ["run_tests.py"])
    done = SimpleNamespace(returncode=0)
    monkeypatch.setattr(subprocess, "run", lambda *_, env, **__: ran.append(env) or done)
    assert run_tests.main() == 0
    (environment,) = ran
    assert environment["FASHIONLIB_DATA"] == ("a person's" if own else str(tmp_path))
    assert (environment["FASHIONLIB_CACHE"] == "a person's") == own
    assert environment["FASHIONLIB_BUDGET"] == "quick"
    assert environment["HF_HUB_OFFLINE"] == environment["OMP_NUM_THREADS"] == "1"


def test_a_word_that_is_nowhere_is_one_line():
    command = [sys.executable, SCRIPT, "zebra"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "no test file and no notebook has 'zebra' in its name\n"
