"""Only the book's pages need IPython and ipywidgets: whoever searches goes without."""

import ast
import subprocess
import sys
from pathlib import Path

import fashionlib

LIBRARY = Path(fashionlib.__file__).parent
OF_NOTEBOOKS = {"IPython", "ipywidgets"}


def imported(path: Path) -> set[str]:
    """The packages that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_only_pages_import_what_a_notebook_brings():
    users = {path for path in LIBRARY.rglob("*.py") if imported(path) & OF_NOTEBOOKS}
    assert users
    assert {path.parent for path in users} == {LIBRARY / "pages"}


def test_the_rest_of_the_library_loads_without_a_notebook():
    outside = [
        ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(LIBRARY.rglob("*.py"))
        if path.parent != LIBRARY / "pages" and path.stem != "__main__"
    ]
    code = f"""
import importlib, sys
for name in {outside}:
    importlib.import_module(name)
print(sorted({OF_NOTEBOOKS} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
