"""Keep each chapter's .ipynb equal to its .py: `python tools/book/pair.py [--execute] [--check]`.

The percent script is the source. The notebook beside it is generated: same cells, stable cell
ids, and outputs only where a cell's text is a contract (tag `nbval-check-output`), since those
are what nbval compares. `--execute` runs the chapters to fill in contracts that are new or
changed; `--check` writes nothing and fails when a pair disagrees.
"""

import argparse
import os
import sys
from pathlib import Path

import jupytext
import launch
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
CONTRACT = "nbval-check-output"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def scripts() -> list[Path]:
    """Every chapter and exercise, in reading order."""
    return sorted(
        path for path in NOTEBOOKS.rglob("*.py") if ".ipynb_checkpoints" not in path.parts
    )


def is_contract(cell: NotebookNode) -> bool:
    """Whether nbval compares this cell's text."""
    return cell.cell_type == "code" and CONTRACT in cell.metadata.get("tags", [])


def stored_contracts(notebook: Path) -> dict[str, list]:
    """Outputs of the contract cells in the notebook as it is on disk, by the cell's source."""
    if not notebook.exists():
        return {}
    cells = nbformat.read(notebook, as_version=4).cells
    return {cell.source: cell.outputs for cell in cells if is_contract(cell)}


def generate(script: Path, contracts: dict[str, list]) -> NotebookNode:
    """The notebook of a percent script, with the given outputs in its contract cells."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = NotebookNode(
        kernelspec=KERNEL,
        language_info={"name": "python"},
        jupytext={"formats": "ipynb,py:percent"},
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        if cell.cell_type == "code":
            cell.outputs = contracts.get(cell.source, []) if is_contract(cell) else []
            # nbval takes outputs without a count for a cell that was never run
            cell.execution_count = 1 if cell.outputs else None
    install = launch.install_cell(launch.REPOSITORY)
    if install and install not in [cell.source for cell in notebook.cells]:
        first = [cell.cell_type for cell in notebook.cells].index("code")
        cell = nbformat.v4.new_code_cell(install, id="cell-colab")
        notebook.cells.insert(first, cell)
    return notebook


def run(notebook: NotebookNode, folder: Path) -> dict[str, list]:
    """Execute a notebook with the quick budget; return the outputs of its contract cells."""
    from nbclient import NotebookClient  # noqa: PLC0415 - only --execute needs a kernel

    os.environ.update(FASHIONLIB_BUDGET="quick", TQDM_DISABLE="1")
    NotebookClient(notebook, timeout=6 * 3600, resources={"metadata": {"path": folder}}).execute()
    contracts = {}
    for cell in notebook.cells:
        if is_contract(cell):
            for output in cell.outputs:
                output.pop("execution_count", None)
                if output.output_type == "execute_result":
                    output.execution_count = 1
            contracts[cell.source] = cell.outputs
    return contracts


def problems(script: Path) -> list[str]:
    """What is wrong with a pair, one line each; nothing when it agrees."""
    path = script.with_suffix(".ipynb")
    name = path.relative_to(ROOT)
    if not path.exists():
        return [f"{name} is missing: run python tools/book/pair.py --execute"]
    contracts = stored_contracts(path)
    wanted = generate(script, contracts)
    empty = [cell.source for cell in wanted.cells if is_contract(cell) and not cell.outputs]
    lines = [f"{name}: no stored output for the contract {source!r}" for source in empty]
    if path.read_text(encoding="utf-8") != nbformat.writes(wanted) + "\n":
        lines.append(
            f"{name} is not what {script.name} makes: run python tools/book/pair.py --execute"
        )
    return lines


def write(script: Path, execute: bool) -> None:
    """Generate one notebook, running it where a contract has no output yet."""
    path = script.with_suffix(".ipynb")
    contracts = stored_contracts(path)
    notebook = generate(script, contracts)
    missing = any(is_contract(cell) and not cell.outputs for cell in notebook.cells)
    if execute and missing:
        print(f"running {script.relative_to(ROOT)}", flush=True)
        contracts = run(generate(script, {}), script.parent)
        notebook = generate(script, contracts)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")


def main() -> int:
    """Write or check all pairs; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--execute", action="store_true", help="fill in new contracts")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    arguments = parser.parse_args()
    if not arguments.check:
        for script in scripts():
            write(script, arguments.execute)
    lines = [line for script in scripts() for line in problems(script)]
    print("\n".join(lines) or f"{len(scripts())} pairs agree")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
