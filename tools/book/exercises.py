"""Make each exercise from its solution: `python tools/book/exercises.py [--check]`.

The solution in `notebooks/exercises/solutions/` is the source. The exercise beside that folder has
the same cells, but `...` where the solution stands between the markers of nbgrader,
`### BEGIN SOLUTION` and `### END SOLUTION`. `--check` writes nothing and fails when an exercise is
not what its solution makes. `for_the_book` makes the page of a solution: trainings are short there,
so cells tagged `full-budget` show what `tools/measure/solutions.py` recorded of a full run.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import jupytext
from nbformat.v4 import new_markdown_cell

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = ROOT / "notebooks" / "exercises"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TASK, CHECK = "# TODO ", "checks."
FULL = "full-budget"
RESULTS = ROOT / "fashionlib" / "pages" / "results" / "solutions.json"
REGION = re.compile(rf"^( *){BEGIN}\n(?:.*\n)*?\1{END}$", re.MULTILINE)
# tags are for nbval and for the book: an exercise that nobody has solved yet has no contract
TAGS = re.compile(r"^(# %%.*?) tags=\[[^\]\n]*\]", re.MULTILINE)


def solutions() -> list[Path]:
    """The script of each solution, in order."""
    return sorted((EXERCISES / "solutions").glob("*.py"))


def exercise_of(solution: Path) -> Path:
    """Where the exercise of a solution lies."""
    return solution.parent.parent / solution.name


def without_solutions(text: str) -> str:
    """Text of a script with `...` in place of each solution."""
    return REGION.sub(r"\1...", text)


def make_exercise(text: str) -> str:
    """The script of an exercise from that of its solution.

    Raises:
        ValueError: the solution is not written as an exercise needs it; the message says why.
    """
    faults = problems_of_solution(text)
    if faults:
        raise ValueError("; ".join(faults))
    # it lies a folder above its solution
    return TAGS.sub(r"\1", without_solutions(text)).replace("](../../", "](../")


def problems_of_solution(text: str) -> list[str]:
    """What keeps a script from being a solution, one line each.

    Each task cell says what to write before the solution, and the cell after it checks it.
    """
    cells = jupytext.reads(text, fmt="py:percent").cells
    lines = []
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        begins, ends = cell.source.count(BEGIN), cell.source.count(END)
        if begins == ends == 0:
            continue
        first = cell.source.strip().splitlines()[0]
        if not begins == ends == len(REGION.findall(cell.source)):
            lines.append(f"{first!r}: {BEGIN} and {END} do not pair at one indentation")
        if TASK not in cell.source.partition(BEGIN)[0]:
            lines.append(f"{first!r}: no {TASK.strip()} before the solution")
        if after is None or after.cell_type != "code" or CHECK not in after.source:
            lines.append(f"{first!r}: the next cell does not check it")
    return lines or ([] if BEGIN in text else ["there is no task in it"])


def recorded_outputs() -> dict[str, str]:
    """What tagged cells showed with the full budget, as Markdown, by their source."""
    if not RESULTS.is_file():
        return {}
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {
        cell["source"]: "\n\n".join([*cell["shown"], f"*{run['note']}*"])
        for run in results["exercises"].values()
        for cell in run["cells"]
    }


def for_the_book(text: str) -> str:
    """The page of a solution: each task as the reader gets it, then the solution, folded."""
    notebook = jupytext.reads(text, fmt="py:percent")
    recorded = recorded_outputs()
    cells = []
    for cell in notebook.cells:
        if BEGIN in cell.source:
            cells.append(new_markdown_cell(f"```python\n{without_solutions(cell.source)}\n```"))
            lines = cell.source.splitlines()
            cell.source = "\n".join(line for line in lines if line.strip() not in (BEGIN, END))
            cell.metadata.update(tags=["hide-input"], mystnb={"code_prompt_show": "A solution"})
        cells.append(cell)
        tags = cell.metadata.get("tags", [])
        if FULL in tags and cell.source in recorded:
            cell.metadata["tags"] = [*tags, "remove-output"]
            cells.append(new_markdown_cell(recorded[cell.source]))
    notebook.cells = cells
    notebook.metadata.setdefault("jupytext", {})["cell_metadata_filter"] = "tags,mystnb,-all"
    return jupytext.writes(notebook, fmt="py:percent")


def problems() -> list[str]:
    """What is wrong with the exercises, one line each; nothing when all are up to date."""
    lines = []
    for solution in solutions():
        exercise = exercise_of(solution)
        wanted = make_exercise(solution.read_text(encoding="utf-8"))
        if not exercise.exists() or exercise.read_text(encoding="utf-8") != wanted:
            name = exercise.name
            lines.append(
                f"{name} is not what its solution makes: run python tools/book/exercises.py"
            )
    known = {solution.name for solution in solutions()}
    strays = sorted(path.name for path in EXERCISES.glob("*.py") if path.name not in known)
    return lines + [f"{name} has no solution: delete it" for name in strays]


def main() -> int:
    """Write or check all exercises; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    if not parser.parse_args().check:
        for solution in solutions():
            text = make_exercise(solution.read_text(encoding="utf-8"))
            exercise_of(solution).write_text(text, encoding="utf-8")
    lines = problems()
    print("\n".join(lines) or f"{len(solutions())} exercises are up to date")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
