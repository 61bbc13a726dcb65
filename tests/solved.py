"""What an exercise or its solution defines, without running its cells."""

import ast
from pathlib import Path
from typing import Any

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
