"""What an exercise or its solution defines, without running its cells; what checkers say of it."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fashionlib.checks import NotYet

EXERCISES = Path(__file__).resolve().parents[1] / "notebooks" / "exercises"


def defined(script: Path, **given: Any) -> dict[str, Any]:
    """Imports, functions and classes of a percent script by name; `given` names are there too."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    tree.body = [node for node in tree.body if isinstance(node, kept)]
    names = dict(given)
    exec(compile(tree, str(script), "exec"), names)
    return names


def solved(name: str, **given: Any) -> dict[str, Any]:
    """The right answers of the exercise `name`, from its solution."""
    return defined(EXERCISES / "solutions" / f"{name}.py", **given)


def must_accept(check: Callable, answer: Any, number: int, capsys: pytest.CaptureFixture) -> None:
    """The right answer of a task: the checker says so in one line that names the task."""
    check(answer)
    assert capsys.readouterr().out.startswith(f"task {number} ✓ ")


def must_ask_for(check: Callable, answer: Any, number: int) -> None:
    """What nobody has written yet: the checker says that the task is still to do."""
    with pytest.raises(NotYet, match=f"^Task {number} is still to do: "):
        check(answer)
