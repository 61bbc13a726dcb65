"""What a page depends on besides its own cells, as one short hash that myst-nb's cache looks at.

A page runs again when code of the library that it imports has changed, near or far; when a file
beside that code has (recorded results, shipped weights and their cards, styles); when a setting or
a package has. An edit of a docstring or a comment runs nothing, unless the page shows that source.
"""

import ast
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jupytext
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

LIBRARY = Path(__file__).resolve().parents[2] / "fashionlib"
SETTINGS = ("FASHIONLIB_DATA", "FASHIONLIB_BUDGET")
EXTRAS = ("export", "stores", "exercises")  # packages that pages run with, besides the library's
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def read_page(text: str) -> NotebookNode:
    """The notebook of a percent script, with its key where jupyter-cache looks besides the cells.

    That is the kernel's entry in the notebook's metadata.
    """
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata.setdefault("kernelspec", NotebookNode())["depends_on"] = key_of(text)
    return notebook


def key_of(text: str) -> str:
    """The key of a page, given its percent script."""
    settings = [*map(_version, packages()), *map(os.environ.get, SETTINGS)]
    return hashlib.sha256(f"{library_hash(text)} {settings}".encode()).hexdigest()[:12]


@cache
def packages() -> list[str]:
    """The names of all that the library and its pages run with, as `pyproject.toml` has them."""
    project = tomllib.loads((LIBRARY.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    return [re.match(r"[\w.-]+", line)[0] for line in lines]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a page says what it lacks
        return "missing"


def outdated(app: Sphinx, env: BuildEnvironment, *names: set[str]) -> list[str]:
    """Sphinx env-get-outdated: pages whose key has changed since it read them last.

    Sphinx itself looks at their text alone.
    """
    before = getattr(env, "page_keys", {})
    pages = [name for name in env.found_docs if env.doc2path(name).suffix == ".py"]
    env.page_keys = {name: key_of(env.doc2path(name).read_text(encoding="utf-8")) for name in pages}
    return [name for name in pages if env.page_keys[name] != before.get(name)]


def library_hash(source: str, library: Path = LIBRARY) -> str:
    """Hash of a program's code, of all of the library that it imports, and of the files beside it.

    A library other than ours is for tests.
    """
    modules = reached(source, library)
    texts = [source, *(module.read_text(encoding="utf-8") for module in modules)]
    parts = [_bare(text).encode() for text in texts]
    files = [file for module in modules for file in files_beside(module)]
    for style in re.findall(r"\bfashionlib(?:\.\w+)+", " ".join(sorted(_words(source)))):
        files.append(library.parent.joinpath(*style.split(".")).with_suffix(".mplstyle"))
    parts += [file.read_bytes() for file in files if file.is_file()]
    for name in shown(source):
        parts += [part.encode() for text in texts for part in _source_of(name, text)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def shown(source: str) -> list[str]:
    """Names of what a page shows the source of: the last part of `source(search.SearchIndex)`."""
    calls = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.Call)]
    calls = [call for call in calls if ast.unparse(call.func) == "source"]
    return [ast.unparse(thing).split(".")[-1] for call in calls for thing in call.args]


def _source_of(name: str, source: str) -> Iterator[str]:
    for node in ast.walk(parsed(source)):
        if getattr(node, "name", None) == name:
            yield ast.get_source_segment(source, node) or ""


def reached(source: str, library: Path = LIBRARY) -> list[Path]:
    """The library's modules that run when a program imports what it imports, in functions too."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        new = {path for name in _named(waiting.pop()) for path in _modules(name, library)} - found
        found |= new
        waiting += [path.read_text(encoding="utf-8") for path in new]
    return sorted(found)


def files_beside(module: Path) -> list[Path]:
    """Files that a module names and that lie beside it, or in a folder beside it."""
    words = _words(module.read_text(encoding="utf-8"))
    beside = [path for path in module.parent.iterdir() if path.name in words]
    folders = [path for path in beside if path.is_dir() and not (path / "__init__.py").exists()]
    files = [path for path in beside if path.is_file() and path.suffix != ".py"]
    return sorted([*files, *(file for folder in folders for file in folder.rglob("*.*"))])


@cache
def parsed(source: str) -> ast.Module:
    """The syntax tree of a program without docstrings; comments are in none."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return tree


@cache
def _words(source: str) -> set[str]:
    """The strings in a program."""
    constants = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.Constant)]
    return {node.value for node in constants if isinstance(node.value, str)}


@cache
def _bare(source: str) -> str:
    return ast.dump(parsed(source))


@cache
def _named(source: str) -> set[str]:
    """Dotted names of the library in a program: imported, used through an import, run with -m."""
    nodes = list(ast.walk(parsed(source)))
    known = {"fashionlib": "fashionlib"}
    named = set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                named.add(f"{module}{alias.name}")
                if module or alias.asname:
                    known[alias.asname or alias.name] = f"{module}{alias.name}"
    for node in nodes:
        if isinstance(node, ast.Attribute):
            first, _, rest = _dotted(node).partition(".")
            named.add(f"{known.get(first)}.{rest}")
        elif isinstance(node, ast.List | ast.Tuple | ast.Constant):
            parts = getattr(node, "elts", [node])
            words = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
            for name in re.findall(r"-m (fashionlib[\w.]*)", " ".join(words)):
                named |= {name, f"{name}.__main__"}
    return {name for name in named if name.split(".")[0] == "fashionlib"}


def _dotted(node: ast.expr) -> str:
    """`a.b.c` for the names and attributes that say so, else something that is no name."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _modules(name: str, library: Path) -> Iterator[Path]:
    """Files that run for a dotted name: the packages on the way and the module, as far as it is."""
    place = library.parent
    for part in name.split("."):
        package, place = place / "__init__.py", place / part
        module = _file(place)
        if module is None:
            yield from _looked_up(part, package)
            return
        yield module
        if module != place / "__init__.py":  # what follows is something in it
            return


def _file(place: Path) -> Path | None:
    """The file of a module or package, given its path without an ending."""
    files = place.with_suffix(".py"), place / "__init__.py"
    return next((file for file in files if file.is_file()), None)


def _looked_up(name: str, package: Path) -> Iterator[Path]:
    """Modules that a package names beside a name in a table: imported when somebody asks for it."""
    syntax = parsed(package.read_text(encoding="utf-8"))
    tables = [node for node in ast.walk(syntax) if isinstance(node, ast.Dict)]
    for row in (row for table in tables for row in zip(table.keys, table.values, strict=True)):
        constants = [node for half in row for node in ast.walk(half) if hasattr(node, "value")]
        words = [node.value for node in constants if isinstance(node.value, str)]
        for word in words if name in words else ():
            place = package.parent.joinpath(*word.removeprefix("fashionlib.").split("."))
            yield from filter(None, [_file(place)])
