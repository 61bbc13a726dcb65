"""Every notebook is its script: same cells, stable ids, no output but the contracts."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pair
import pytest


def test_there_are_chapters_and_each_has_a_notebook():
    names = {script.stem for script in pair.scripts()}
    assert {"01_inverted_residual_block", "02_train_a_classifier"} <= names
    notebooks = {
        path.stem
        for path in pair.NOTEBOOKS.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert notebooks == names


def test_what_an_editor_keeps_of_a_chapter_is_no_chapter(tmp_path, monkeypatch):
    for name in ("b.py", "exercises/a.py", ".ipynb_checkpoints/b-checkpoint.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(pair, "NOTEBOOKS", tmp_path)
    assert pair.scripts() == [tmp_path / "b.py", tmp_path / "exercises" / "a.py"]


@pytest.mark.parametrize("script", pair.scripts(), ids=lambda script: script.stem)
def test_pair_agrees(script):
    assert pair.problems(script) == []


@pytest.mark.parametrize("script", pair.scripts(), ids=lambda script: script.stem)
def test_no_unstable_output(script):
    """Only contract cells keep an output, and no count tells in which order cells were run."""
    for cell in nbformat.read(script.with_suffix(".ipynb"), as_version=4).cells:
        if cell.cell_type == "code":
            assert bool(cell.outputs) == pair.is_contract(cell), cell.source
            assert cell.execution_count == (1 if cell.outputs else None)


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A pair of its own that a test may break."""
    source = pair.NOTEBOOKS / "00_two_catalogs.py"
    for path in (source, source.with_suffix(".ipynb")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(pair, "ROOT", tmp_path)
    assert pair.problems(tmp_path / source.name) == []
    return tmp_path / source.name


def test_an_edited_script_is_noticed(copy):
    copy.write_text(copy.read_text() + "\n# %% [markdown]\n# One more cell.\n")
    assert "is not what 00_two_catalogs.py makes" in pair.problems(copy)[0]


def test_an_output_that_changes_from_run_to_run_is_noticed(copy):
    path = copy.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.cell_type == "code" and not pair.is_contract(c))
    cell.outputs = [nbformat.v4.new_output("stream", text="took 3.2 s")]
    path.write_text(nbformat.writes(notebook) + "\n")
    assert pair.problems(copy)


def test_a_contract_without_its_text_is_noticed(copy):
    path = copy.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if pair.is_contract(cell)).outputs = []
    path.write_text(nbformat.writes(notebook) + "\n")
    assert "no stored output for the contract" in pair.problems(copy)[0]


def test_a_missing_notebook_is_noticed(copy):
    copy.with_suffix(".ipynb").unlink()
    assert "is missing" in pair.problems(copy)[0]


def test_contracts_are_recorded_with_the_short_budget(monkeypatch):
    """Whatever whoever runs it has set: the tests compare them with what they show then."""
    monkeypatch.setenv("FASHIONLIB_BUDGET", "full")
    monkeypatch.setenv("TQDM_DISABLE", "")
    seen = {}
    client = SimpleNamespace(execute=lambda: seen.update(os.environ))
    monkeypatch.setattr("nbclient.NotebookClient", lambda *_, **__: client)
    pair.run(nbformat.v4.new_notebook(), pair.NOTEBOOKS)
    assert (seen["FASHIONLIB_BUDGET"], seen["TQDM_DISABLE"]) == ("quick", "1")


def test_with_a_repository_a_notebook_first_installs_the_library(copy, monkeypatch):
    """And a notebook that was not written again since the setting changed is noticed."""
    monkeypatch.setattr(pair.launch, "REPOSITORY", "https://github.com/someone/a-book")
    assert "is not what 00_two_catalogs.py makes" in pair.problems(copy)[0]
    pair.write(copy, execute=False)
    assert pair.problems(copy) == []
    cells = nbformat.read(copy.with_suffix(".ipynb"), as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert ["%pip install" in source for source in code] == [True] + [False] * (len(code) - 1)
    before = cells[: [cell.id for cell in cells].index("cell-colab")]
    assert {cell.cell_type for cell in before} == {"markdown"}  # the title, and what follows it


def test_a_check_writes_nothing(copy, monkeypatch, capsys):
    monkeypatch.setattr(pair, "NOTEBOOKS", copy.parent)
    monkeypatch.setattr(sys, "argv", ["pair.py", "--check"])
    assert pair.main() == 0
    copy.write_text(copy.read_text() + "\n# %% [markdown]\n# One more cell.\n")
    before = copy.with_suffix(".ipynb").read_bytes()
    assert pair.main() == 1
    assert copy.with_suffix(".ipynb").read_bytes() == before
    assert "is not what 00_two_catalogs.py makes" in capsys.readouterr().out


def test_chapters_run_where_they_are_asked_to_and_a_contract_lacks_its_text(copy, monkeypatch):
    """They run for minutes, so not to write what is known."""
    path, ran = copy.with_suffix(".ipynb"), []
    contracts = pair.stored_contracts(path)
    monkeypatch.setattr(pair, "run", lambda _, folder: ran.append(folder) or contracts)
    pair.write(copy, execute=True)
    assert ran == []
    path.unlink()
    pair.write(copy, execute=False)
    assert ran == []
    assert "no stored output" in pair.problems(copy)[0]
    pair.write(copy, execute=True)
    assert ran == [copy.parent]
    assert pair.problems(copy) == []
