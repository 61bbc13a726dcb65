"""What an exercise or its solution defines, without running its cells; what checkers say of it."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

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


def must_accept(
    check: Callable,
    answer: Any,
    number: int,
    capsys: pytest.CaptureFixture,
    spoiled: Callable[[Tensor], bool] = lambda given: not given.is_floating_point(),
) -> None:
    """The right answer of a task: the checker says so in one line that names the task.

    Here it leaves nothing of what it was given: labels that are changed in place, or rows that are
    taken out of a list, must spoil no other call.
    """

    def careless(*given: Any, **named: Any) -> Any:
        result = answer(*given, **named)
        for each in given:
            if isinstance(each, list):
                for row in each:
                    row.clear()
                each.clear()
            elif isinstance(each, Tensor) and spoiled(each):
                each.zero_()
        return result

    check(careless)
    assert capsys.readouterr().out.startswith(f"task {number} ✓ ")


@cache  # some tests look at the same
def told(check: Callable, answer: Any) -> str:
    """What the checker says of a wrong answer."""
    with pytest.raises(NotYet) as caught:
        check(answer)
    return str(caught.value)


def must_ask_for(check: Callable, answer: Any, number: int) -> None:
    """What nobody has written yet: the checker says that the task is still to do."""
    with pytest.raises(NotYet, match=f"^Task {number} is still to do: "):
        check(answer)
