"""A page runs again when what it depends on has changed, and only then."""

import shutil
from importlib import import_module
from pathlib import Path

import page_key
import pytest
from chapters import CHAPTERS, EXERCISES
from page_key import LIBRARY, files_beside, key_of, library_hash, reached

import fashionlib

ROOT = LIBRARY.parent
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


# What the key of a page is made of, each varied alone


@pytest.mark.parametrize("name", ["FASHIONLIB_DATA", "FASHIONLIB_BUDGET"])
def test_a_setting_changes_the_key(monkeypatch, name):
    before = key_of("x = 1")
    monkeypatch.setenv(name, "another")
    assert key_of("x = 1") != before


@pytest.mark.parametrize(
    "package",
    ["torch", "torchvision", "numpy", "pillow", "matplotlib", "scikit-learn", "scipy", "timm"]
    + ["pytorch-metric-learning", "onnx", "onnxruntime", "faiss-cpu", "pymilvus", "milvus-lite"],
)
def test_another_version_of_a_package_changes_the_key(monkeypatch, package):
    before, known = key_of("x = 1"), page_key.version
    monkeypatch.setattr(page_key, "version", lambda name: "0.9" if name == package else known(name))
    assert key_of("x = 1") != before


@pytest.fixture(scope="module")
def whole_library(tmp_path_factory) -> Path:
    """A copy of ours, whose files a test may change."""
    target = tmp_path_factory.mktemp("copy") / "fashionlib"
    shutil.copytree(LIBRARY, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("04_visual_search", "shipped/encoder_photos.safetensors"),
        ("04_visual_search", "shipped/encoder_drawn.safetensors"),
        ("04_visual_search", "shipped/encoder_photos.md"),
        ("02_train_a_classifier", "shipped/classifier_photos.safetensors"),
        ("02_train_a_classifier", "catalog/photo_looks.csv"),
        ("02_train_a_classifier", "catalog/photos.sha256"),
        ("05_every_number", "pages/results/article.json"),
        ("04_visual_search", "pages/search_explorer.css"),
        ("04_visual_search", "pages/book.mplstyle"),
        ("00_two_catalogs", "drawn/garments.py"),
        ("03_train_with_triplets", "siamese.py"),
    ],
)
def test_another_file_of_ours_changes_the_key_of_a_page_that_uses_it(whole_library, page, name):
    text = (ROOT / "notebooks" / f"{page}.py").read_text(encoding="utf-8")
    before, path = library_hash(text, whole_library), whole_library / name
    content = path.read_bytes()
    more = b"\nchanged = 1\n" if name.endswith(".py") else b" "
    try:
        path.write_bytes(content + more)
        assert library_hash(text, whole_library) != before
    finally:
        path.write_bytes(content)
    assert library_hash(text, whole_library) == before


def test_the_books_pages_depend_on_different_parts_of_the_library():
    everything = set(LIBRARY.rglob("*.py"))
    for script in SCRIPTS:
        modules = reached(script.read_text())
        assert 10 < len(modules) < len(everything) - 5, script.stem
        assert modules == sorted(modules)  # else the key would be another in each process
    for module in everything:
        files = files_beside(module)
        assert files == sorted(files)  # else it would be another on another disk


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
