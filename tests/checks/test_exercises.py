"""Exercises come from their solutions, stop at their first check, and checkers say one sentence."""

import ast
import base64
import io
import json
import math
import re
import sys
from pathlib import Path

import exercises
import jupytext
import nbformat
import numpy as np
import pytest
import solutions
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image
from solved import defined

from fashionlib import checks
from fashionlib.checks import NotYet, Task
from fashionlib.pages.recorded_results import recorded
from fashionlib.settings import budget

SOLUTIONS = exercises.solutions()

SOLUTION = """# %% [markdown]
# # Twice
#
# ## Task 1: Twice

# %%
import math


# %%
def twice(x):
    # TODO return twice x
    # hint: add it to itself
    ### BEGIN SOLUTION
    y = x + x
    return y
    ### END SOLUTION


# %% tags=["nbval-check-output"]
checks.mining.twice(twice)

# %% [markdown]
# The end.
"""


TODO = "    # TODO return twice x\n"
UNTIL_ITS_END = SOLUTION[SOLUTION.index(TODO) : SOLUTION.index("    ### END")]


def by_name(path):
    return path.stem


def tasks(solution):
    """Cells in which the reader writes something."""
    cells = jupytext.read(solution, fmt="py:percent").cells
    return [cell.source for cell in cells if exercises.BEGIN in cell.source]


# The five exercises


def test_all_exercises_are_what_their_solutions_make():
    assert len(SOLUTIONS) == 5
    assert exercises.problems() == []


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_a_solution_is_one_with_three_to_five_tasks(solution):
    text = solution.read_text()
    assert exercises.problems_of_solution(text) == []
    assert 3 <= len(tasks(solution)) <= 5


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_an_exercise_gives_nothing_away(solution):
    text = exercises.exercise_of(solution).read_text()
    assert exercises.BEGIN not in text
    assert "tags=" not in text
    for region in exercises.REGION.finditer(solution.read_text()):
        assert region[0].split("\n", 1)[1].rsplit("\n", 1)[0] not in text


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_an_untouched_exercise_stops_at_its_first_check(solution):
    exercise = exercises.exercise_of(solution)
    cells = jupytext.read(exercise, fmt="py:percent").cells
    first = next(c.source for c in cells if c.cell_type == "code" and "checks." in c.source
                 and "import" not in c.source)  # fmt: skip
    with pytest.raises(NotYet, match=r"^Task 1 is still to do: "):
        exec(first, defined(exercise))


def test_jupyter_shows_the_sentence_and_nothing_else():
    """A real kernel runs the untouched exercise: it needs no catalog to get to its first check."""
    cells = jupytext.read(exercises.EXERCISES / "5_hard_negatives.py", fmt="py:percent").cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    check = next(n for n, cell in enumerate(code) if cell.source.startswith("checks."))
    code[0].source = code[0].source.partition("catalog = ")[0]
    notebook = nbformat.v4.new_notebook(cells=code[: check + 2])
    with pytest.raises(CellExecutionError, match="Task 1 is still to do"):
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[check].outputs
    assert output.ename == "NotYet"
    assert output.traceback == [output.evalue]
    assert output.evalue.startswith("Task 1 is still to do: ")
    assert notebook.cells[check + 1].execution_count is None


# The generator


def test_the_generator_takes_out_the_solution_and_leaves_the_rest():
    made = exercises.make_exercise(SOLUTION)
    assert "    # hint: add it to itself\n    ...\n\n\n# %%\nchecks.mining.twice(twice)" in made
    assert "y = x + x" not in made
    assert "# The end." in made


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("    ### END SOLUTION\n", ""), "do not pair"),
        (("    ### END SOLUTION", "### END SOLUTION"), "do not pair"),
        (("# TODO return", "# return"), "no # TODO"),
        ((UNTIL_ITS_END, f"    ### BEGIN SOLUTION\n{TODO}"), "no # TODO"),
        (("checks.mining.twice(twice)", "twice(2)"), "does not check"),
        (('# %% tags=["nbval-check-output"]\n', "# %% [markdown]\n# "), "does not check"),
        ((SOLUTION[SOLUTION.index("\n\n# %% tags") :], ""), "does not check"),
        (("### BEGIN SOLUTION", ""), "do not pair"),
    ],
)
def test_a_solution_that_makes_no_exercise_is_refused(change, fault):
    with pytest.raises(ValueError, match=fault):
        exercises.make_exercise(SOLUTION.replace(*change))


def test_a_script_without_a_task_is_refused():
    with pytest.raises(ValueError, match="no task"):
        exercises.make_exercise("# %%\nx = 1\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """One exercise of its own that a test may break, made by the command."""
    monkeypatch.setattr(exercises, "EXERCISES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["exercises.py"])
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "6_twice.py").write_text(SOLUTION)
    assert exercises.main() == 0
    return tmp_path


def check(monkeypatch) -> int:
    monkeypatch.setattr(sys, "argv", ["exercises.py", "--check"])
    return exercises.main()


def test_check_notices_an_edited_exercise_and_mends_nothing(folder, monkeypatch, capsys):
    assert check(monkeypatch) == 0
    exercise = folder / "6_twice.py"
    exercise.write_text(exercise.read_text() + "# mine\n")
    assert check(monkeypatch) == 1
    assert "6_twice.py is not what its solution makes" in capsys.readouterr().out
    assert exercise.read_text().endswith("# mine\n")


def test_check_notices_an_edited_solution_and_a_missing_exercise(folder, monkeypatch):
    (folder / "6_twice.py").unlink()
    assert check(monkeypatch) == 1
    assert exercises.main() == 1  # still --check
    solution = folder / "solutions" / "6_twice.py"
    solution.write_text(SOLUTION.replace("The end", "No end"))
    monkeypatch.setattr(sys, "argv", ["exercises.py"])
    assert exercises.main() == 0
    assert "No end" in (folder / "6_twice.py").read_text()


def test_an_exercise_without_a_solution_is_noticed(folder, monkeypatch, capsys):
    (folder / "7_lost.py").write_text("# %%\n")
    assert check(monkeypatch) == 1
    assert "7_lost.py has no solution" in capsys.readouterr().out


# The page in the book


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_the_book_runs_the_same_code(solution):
    """No code cell more, none less, and in none of them a line more or less but the markers."""
    text = solution.read_text()
    ran, written = (
        [cell.source for cell in jupytext.reads(script, fmt="py:percent").cells
         if cell.cell_type == "code"]
        for script in (exercises.for_the_book(text), text)
    )  # fmt: skip
    markers = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
    assert ran == [markers.sub("", source).rstrip("\n") for source in written]
    assert exercises.for_the_book(text).count("# ```python") >= len(tasks(solution))


def test_the_book_shows_the_task_and_folds_the_solution():
    cells = jupytext.reads(exercises.for_the_book(SOLUTION), fmt="py:percent").cells
    task, solution = cells[2], cells[3]
    assert task.cell_type == "markdown"
    assert task.source.startswith("```python\ndef twice(x):")
    assert task.source.endswith("    ...\n```")
    assert solution.cell_type == "code"
    assert "SOLUTION" not in solution.source
    assert "y = x + x" in solution.source
    assert "hide-input" in solution.metadata["tags"]
    assert solution.metadata["mystnb"] == {"code_prompt_show": "A solution"}
    assert [cell.source for cell in cells[4:]] == [
        "checks.mining.twice(twice)",
        "The end.",
    ]


TAGGED = SOLUTION.replace("nbval-check-output", exercises.FULL)


def test_the_book_shows_what_a_full_run_gave_where_one_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(exercises, "RESULTS", tmp_path / "solutions.json")
    assert "remove-output" not in exercises.for_the_book(TAGGED)
    recorded = {"source": "checks.mining.twice(twice)", "shown": ["| a |\n| --- |", "B."]}
    runs = {"6_twice": {"note": "A full run.", "cells": [recorded]}}
    exercises.RESULTS.write_text(json.dumps({"exercises": runs}))
    cells = jupytext.reads(exercises.for_the_book(TAGGED), fmt="py:percent").cells
    assert cells[4].metadata["tags"] == [exercises.FULL, "remove-output"]
    assert cells[5].source == "| a |\n| --- |\n\nB.\n\n*A full run.*"
    assert cells[6].source == "The end."
    changed = TAGGED.replace("checks.mining.twice(twice)", "checks.mining.twice( twice)")
    assert "remove-output" not in exercises.for_the_book(changed)


def tagged(solution) -> list[str]:
    """Sources of the cells whose results are recorded."""
    cells = jupytext.read(solution, fmt="py:percent").cells
    return [cell.source for cell in cells if exercises.FULL in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_what_is_recorded_is_of_the_cells_as_they_are(solution):
    """Another source in the file than in the script: run `tools/measure/solutions.py` again."""
    assert len(tagged(solution)) >= 3
    runs = recorded("solutions")["exercises"] if exercises.RESULTS.is_file() else {}
    if run := runs.get(solution.stem):
        assert [cell["source"] for cell in run["cells"]] == tagged(solution)
        assert all(cell["shown"] for cell in run["cells"])


def test_a_recorded_figure_is_the_same_picture_in_fewer_bytes():
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 2, (40, 60, 3)) * 255
    Image.fromarray(noise.astype(np.uint8)).save(buffer, format="png")
    html = (
        f'<img alt="a" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )
    outputs = [{"data": {"text/html": html}}, {"data": {"text/markdown": "B."}}, {"text": "c"}]
    picture, text = solutions.shown(NotebookNode(outputs=outputs))
    assert text == "B."
    data = re.search(r"base64,([^\"]+)", picture)[1]
    again = Image.open(io.BytesIO(base64.b64decode(data)))
    assert again.size == (60, 40)
    assert len(picture) < len(html)
    assert np.array_equal(np.asarray(again.convert("RGB")), noise)


# What all checkers share

TASK = Task(3, "return the sum.")


def test_a_right_answer_is_passed_on_and_named(capsys):
    assert TASK.call(lambda x, y: x + y, 2, y=3) == 5
    TASK.done("as it should be")
    assert capsys.readouterr().out == "task 3 ✓ as it should be\n"


@pytest.mark.parametrize("answer", [None, ..., lambda: None, lambda: ...])
def test_what_nobody_has_written_is_still_to_do(answer):
    with pytest.raises(NotYet) as caught:
        TASK.call(answer)
    assert str(caught.value) == "Task 3 is still to do: return the sum."


def test_an_error_in_the_answer_is_quoted_with_its_line():
    def answer(x):
        y = x + 1
        return y.nothing

    with pytest.raises(NotYet) as caught:
        TASK.call(answer, 1)
    assert str(caught.value) == (
        "Task 3: your function raised AttributeError: 'int' object has no attribute 'nothing', at "
        "`return y.nothing`."
    )
    assert isinstance(caught.value.__cause__, AttributeError)


def test_of_an_error_in_a_library_the_answers_own_line_is_quoted():
    def answer():
        return json.loads("{")

    with pytest.raises(NotYet, match=r'raised JSONDecodeError: .*, at `return json.loads\("{"\)`'):
        TASK.call(answer)


def test_results_are_equal_within_the_tolerance_that_is_given():
    zero = torch.zeros(2)
    assert checks.close(zero, zero + 0.009, 0.01)
    assert not checks.close(zero, zero + 0.011, 0.01)
    assert checks.close(zero, zero + 0.00009)
    assert not checks.close(zero, zero + 0.00009, 0.00001)


def test_examples_are_the_same_each_time_and_others_for_another_seed():
    torch.manual_seed(1)
    first, again, other = (checks.random(2, 3, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (2, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2)])
def test_results_of_another_shape_are_not_equal(shape):
    """Also where torch would spread them, and where it would refuse to compare."""
    assert not checks.close(torch.zeros(2), torch.zeros(shape))


def nothing_said():
    raise ValueError


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [(nothing_said, "ValueError, at `raise ValueError`."),
     (lambda: len(3), "TypeError: object of type 'int' has no len(), at `")],
)  # fmt: skip
def test_an_error_without_a_word_is_told_by_its_kind(answer, sentence):
    with pytest.raises(NotYet) as caught:
        TASK.call(answer)
    assert str(caught.value).startswith(f"Task 3: your function raised {sentence}")


def test_an_error_in_a_function_that_has_no_lines_is_told_without_one():
    with pytest.raises(NotYet, match=r"raised TypeError: object of type 'int' has no len\(\)\.$"):
        TASK.call(len, 3)


def test_an_answer_that_takes_other_arguments_is_told_so():
    with pytest.raises(NotYet, match=r"raised TypeError: .* takes 0 positional arguments"):
        TASK.call(lambda: 1, 2)


def test_an_error_of_several_lines_is_still_one_sentence():
    def answer():
        raise RuntimeError("\nfirst line.\nsecond line")

    with pytest.raises(NotYet, match=r"^Task 3: your function raised RuntimeError: first line, at"):
        TASK.call(answer)


def test_a_reader_may_interrupt():
    def answer():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TASK.call(answer)


def test_a_called_function_is_told_from_a_function():
    with pytest.raises(NotYet, match="pass the function itself"):
        TASK.call(5)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ([1, 2], "your function gives a list, a torch tensor is needed."),
        (torch.zeros(3), r"your function gives the shape \[3\], \[2\] is needed."),
        *((torch.tensor([1.0, odd]), "your function gives nan or inf among the numbers.")
          for odd in (math.nan, math.inf)),
    ],
)  # fmt: skip
def test_what_is_no_such_tensor_is_described(result, sentence):
    with pytest.raises(NotYet, match=f"^Task 3: {sentence}$"):
        TASK.tensor(result, (2,))


NUMBERS = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("judge", "sentence"),
    [
        *((lambda number=number: TASK.one_number(number), "the answer has to be one finite number.")
          for number in (math.inf, -math.inf, math.nan, "much", [1.0], NUMBERS, NUMBERS[0] / 0)),
        (lambda: TASK.need(torch.tensor(False), "no."), "no."),
        (lambda: TASK.rule_out({"a.": [], "b.": [0], "c.": True}), "b."),
        *((lambda result=result: TASK.several(result, 2, "two."), "two.")
          for result in ((1,), [1, 2, 3], "ab", NUMBERS)),
        (lambda: TASK.compare(NUMBERS * 3, NUMBERS, {"a.": NUMBERS, "b.": [NUMBERS, NUMBERS * 3]}),
         "b."),
        (lambda: TASK.compare(NUMBERS + 0.5 * NUMBERS, NUMBERS, {"a.": NUMBERS}),
         "on an example the answer is off by up to 1."),
        (lambda: TASK.compare(NUMBERS - 7, NUMBERS, {}, "by {}."), "by 7.0."),
    ],
)  # fmt: skip
def test_what_is_not_as_asked_for_is_told_in_its_sentence(judge, sentence):
    with pytest.raises(NotYet) as caught:
        judge()
    assert str(caught.value) == f"Task 3: {sentence}"


def test_what_is_as_asked_for_is_passed_on():
    assert TASK.one_number(torch.tensor([0.25])) == 0.25
    assert TASK.tensor(NUMBERS, (2,)) is NUMBERS
    TASK.need(torch.tensor(True), "no.")
    TASK.rule_out({"a.": False, "b.": torch.tensor(False)})
    TASK.compare(NUMBERS + 1e-5, NUMBERS, {"a.": NUMBERS})
    for two in ((1, 2), [1, 2]):
        TASK.several(two, 2, "two.")


def test_a_checker_is_found_by_its_module():
    """Whichever an exercise asks for, without an import of its own."""
    modules = {path.stem for path in Path(checks.__file__).parent.glob("[a-z]*.py")}
    assert set(checks.MODULES) == modules
    assert checks.mining.batch_hard.__module__ == "fashionlib.checks.mining"
    with pytest.raises(AttributeError, match="nothing"):
        checks.nothing  # noqa: B018 - the access is what is tested


@pytest.fixture(scope="module")
def page_of():
    """The book's own function: its settings as a whole would write the pages."""
    settings = ast.parse((exercises.ROOT / "book" / "conf.py").read_text()).body
    named = [
        n for n in settings if getattr(n, "name", "") == "page_of" or "SHORT" in ast.unparse(n)
    ]
    space = {"re": re, "Path": Path, "for_the_book": exercises.for_the_book}
    exec(ast.unparse(ast.Module(named, [])), space)
    return space["page_of"]


def test_the_page_of_a_solution_says_that_its_trainings_are_short_and_so_they_are(
    monkeypatch, page_of
):
    monkeypatch.setenv("FASHIONLIB_BUDGET", "full")
    page = page_of(exercises.solutions()[0])
    title, note, setting, *_ = jupytext.reads(page, fmt="py:percent").cells
    assert title.source.startswith("# ")
    assert "ran as short as they do in the tests" in note.source
    exec(setting.source, {})
    assert budget("full", quick="quick") == "quick"


def test_pages_of_chapters_and_solutions_lead_to_each_other(page_of):
    """By the scripts that the book reads, among which the unsolved exercises are not."""
    notebooks = exercises.ROOT / "notebooks"
    scripts = [*notebooks.glob("*.py"), *exercises.solutions()]
    found = [
        (script.parent / link).resolve()
        for script in scripts
        for link in re.findall(r"\]\(([\w/.]+\.(?:py|ipynb))\b", page_of(script))
    ]
    assert len(found) > 50
    assert set(found) - set(scripts) == set()
