"""A page runs again when what it depends on has changed, and only then."""

from importlib import import_module
from pathlib import Path

import page_key
import pytest
from chapters import CHAPTERS, EXERCISES
from page_key import LIBRARY, files_beside, key_of, library_hash, reached

import fashionlib

SCRIPTS = [page.script for page in (*CHAPTERS, *EXERCISES)]
FILES = {
    "__init__.py": 'TABLE = {"load": "catalog", "Index": "fashionlib.search"}\n'
    "def __getattr__(name): ...\n",
    "__main__.py": "from fashionlib import cli\n",
    "cli.py": "run = 1\n",
    "catalog.py": '"""Catalogs."""\nfrom fashionlib.room import near\n',
    "search.py": 'class Index:\n    """An index."""\n    size = 1  # so far\n',
    "training.py": "def train():\n    from fashionlib.room.far import f\n",
    "room/__init__.py": "",
    "room/near.py": "SHEETS = __file__ + 'results'\nx = 'results', 'sheet.css'\n",
    "room/far.py": "f = 1\n",
    "room/looks.mplstyle": "font.size: 9",
    "room/sheet.css": "p {}",
    "room/results/one.json": "{}",
}


@pytest.fixture
def library(tmp_path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "fashionlib" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fashionlib" / name).write_text(text)
    return tmp_path / "fashionlib"


IMPORTS = {
    "from fashionlib.catalog import x": {"catalog.py", "room/near.py"},
    "import fashionlib.search as s": {"search.py"},
    "import fashionlib.room.far": {"room/far.py"},
    "from fashionlib import training": {"training.py", "room/far.py"},
    "def late():\n    from fashionlib.room import near": {"room/near.py"},
    "import fashionlib\nfashionlib.load()": {"catalog.py", "room/near.py"},
    "from fashionlib import Index": {"search.py"},
    "from fashionlib import room\nroom.far.f": {"room/far.py"},
    "run('torchrun -m fashionlib search')": {"__main__.py", "cli.py"},
    "run(['python', '-m', 'fashionlib.room.far'])": {"room/far.py"},
    "'''python -m fashionlib'''\nimport torch": set(),
}


@pytest.mark.parametrize("page", IMPORTS)
def test_what_a_page_reaches(library, page):
    paths = [path.relative_to(library).as_posix() for path in reached(page, library)]
    assert {path for path in paths if not path.endswith("__init__.py")} == IMPORTS[page]


def changes(library: Path, name: str, text: str) -> set[str]:
    """The pages whose key is another when a file of the library holds this text."""
    before = {page: library_hash(page, library) for page in IMPORTS}
    (library / name).write_text(text)
    return {page for page in IMPORTS if library_hash(page, library) != before[page]}


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".py")])
def test_code_changes_the_pages_that_reach_it_and_no_other(library, name):
    reaching = {page for page in IMPORTS if library / name in reached(page, library)}
    assert changes(library, name, FILES[name] + "\nmore = 1\n") == reaching


@pytest.mark.parametrize("name", ["room/sheet.css", "room/results/one.json"])
def test_a_file_beside_the_code_does_too(library, name):
    using = {page for page in IMPORTS if library / "room/near.py" in reached(page, library)}
    assert len(using) > 1
    assert changes(library, name, "another") == using


def test_a_style_that_a_page_uses_does_too(library):
    page = "plt.style.use('fashionlib.room.looks')"
    before = library_hash(page, library)
    (library / "room/looks.mplstyle").write_text("font.size: 10")
    assert library_hash(page, library) != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("search.py", 'class Index:\n    """What is\n    searched."""\n\n    size = 1\n'),
        ("catalog.py", "# no docstring\nfrom fashionlib.room import near\n"),
    ],
)
def test_a_docstring_or_a_comment_changes_no_page(library, name, text):
    assert changes(library, name, text) == set()


def test_but_that_of_the_source_which_a_page_shows(library):
    pages = ["from fashionlib.search import Index\nsource(Index)", "source(search.Index)"]
    before = [library_hash(page, library) for page in pages]
    (library / "search.py").write_text(FILES["search.py"].replace("An index", "The index"))
    after = [library_hash(page, library) for page in pages]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


@pytest.mark.parametrize("name", page_key.SETTINGS)
def test_a_setting_changes_the_key(monkeypatch, name):
    before = key_of("x = 1")
    monkeypatch.setenv(name, "another")
    assert key_of("x = 1") != before


def test_another_torch_changes_the_key(monkeypatch):
    before = key_of("x = 1")
    monkeypatch.setattr(page_key, "version", lambda package: "9.9")
    assert key_of("x = 1") != before


def test_the_books_pages_depend_on_different_parts_of_the_library():
    everything = set(LIBRARY.rglob("*.py"))
    for script in SCRIPTS:
        modules = reached(script.read_text())
        assert 10 < len(modules) < len(everything) - 5, script.stem


@pytest.mark.parametrize("name", fashionlib.__all__)
def test_a_public_name_reaches_its_home(name):
    """`fashionlib` imports it only when it is asked for."""
    home = import_module(getattr(fashionlib, name).__module__).__file__
    assert Path(home) in reached(f"from fashionlib import {name}")


def test_every_file_of_the_library_belongs_to_a_module_or_a_page():
    """A file that none of them names could change and no page would run again."""
    named = {file for module in LIBRARY.rglob("*.py") for file in files_beside(module)}
    texts = "".join(script.read_text() for script in SCRIPTS)
    files = [path for path in LIBRARY.rglob("*.*") if path.is_file()]
    others = [path for path in files if path not in named and path.suffix not in (".py", ".pyc")]
    for path in others:
        dotted = ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
        assert dotted in texts, path
