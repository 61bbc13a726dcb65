"""The list of mistakes fits the code as it is, and the tool tells caught from survived."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools" / "mutations"))

import run  # noqa: E402 - it lives beside the package, not in it

LIST = run.mutations()


def test_each_mistake_can_be_made():
    """Its text stands once where it says, the file is still a program, and the tests are there."""
    for mutation in LIST:
        text = run.mutated(mutation)
        if mutation.file.endswith(".py"):
            ast.parse(text)
        for test in mutation.tests:
            file, _, name = test.partition("::")
            source = (ROOT / file).read_text(encoding="utf-8")
            assert not name or f"def {name.partition('[')[0]}(" in source, test


def test_there_are_many_of_each_kind_and_none_twice():
    kinds = {mutation.kind for mutation in LIST}
    assert len(LIST) >= 75
    assert all(sum(mutation.kind == kind for mutation in LIST) >= 5 for kind in kinds)
    assert len({mutation.name for mutation in LIST}) == len(LIST)
    assert len({(m.file, m.text, m.becomes) for m in LIST}) == len(LIST)


def test_a_word_of_none_runs_nothing(monkeypatch, capsys):
    monkeypatch.setattr(run.sys, "argv", ["run.py", "no such word"])
    monkeypatch.setattr(run, "copy_of_the_tree", lambda target: target)
    monkeypatch.setattr(run, "run_tests", lambda *_: pytest.fail("ran the whole suite"))
    assert run.main() == 2
    assert "no such word" in capsys.readouterr().err


@pytest.fixture
def tree(tmp_path) -> Path:
    (tmp_path / "adding.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "test_adding.py").write_text(
        "from adding import add\n\ndef test_two():\n    assert add(1, 2) == 3\n\n"
        "def test_zero():\n    assert add(0, 0) == 0\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("becomes", "test", "verdict"),
    [
        ("a - b", "test_two", run.CAUGHT),
        ("a - b", "test_zero", run.SURVIVED),
        ("a +", "test_two", run.BROKEN),
        ("a - b", "test_none", run.BROKEN),
    ],
)
def test_who_notices(tree, becomes, test, verdict):
    mutation = run.Mutation("", "", "adding.py", "a + b", becomes, [f"test_adding.py::{test}"])
    before = (tree / "adding.py").read_bytes()
    found, by = run.judged(mutation, tree)
    assert found == verdict, by
    assert (by == f"test_adding.py::{test}") == (verdict == run.CAUGHT)
    assert (tree / "adding.py").read_bytes() == before


def test_what_waits_forever_is_ended(tree, monkeypatch):
    monkeypatch.setattr(run, "SECONDS", 3)
    endless = "    while True:\n        pass\n    return"
    mutation = run.Mutation("", "", "adding.py", "    return", endless, ["test_adding.py"])
    assert run.judged(mutation, tree) == (run.CAUGHT, "out of time")


def test_a_text_that_stands_twice_or_nowhere_is_a_mistake_in_the_list(tree):
    for text in ("a", "c + d"):
        with pytest.raises(ValueError, match="times in adding"):
            run.mutated(run.Mutation("", "", "adding.py", text, "x", []), tree)
