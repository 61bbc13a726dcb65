"""What CONTRIBUTING says of the library's layout is so."""

import ast
import re
import subprocess
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "fashionlib"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
MODULES = sorted(LIBRARY.rglob("*.py"))
ROOMS = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))
# each module or room imports only from those before it
ORDER = (
    *("errors", "settings", "files", "drawn", "catalog", "transforms"),
    *("blocks", "heads", "look_encoder", "counting", "inference", "metrics", "training"),
    *("weights", "search", "retrieval", "triplets", "siamese", "detection", "stores", "export"),
    *("pages", "running", "checks", "cli", "__main__"),
)


def part_of(path: Path) -> str:
    """A module of the core, or a room."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def chapter(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


def test_every_folder_of_the_map_is_there_and_every_room_in_it():
    folders = re.findall(r"`([\w./]+/)`", chapter("Where things are"))
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
    assert {f"fashionlib/{room}/" for room in ROOMS} - set(folders) == set()
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    top = {line.partition("/")[0] + "/" for line in listed.splitlines() if "/" in line}
    assert {
        folder for folder in top if not any(name.startswith(folder) for name in folders)
    } == set()


def test_what_depends_on_torch_is_where_the_list_says():
    for item in chapter("What depends on torch's insides").split("\n- ")[1:]:
        path, *names = re.findall(r"`([^`]+)`", item)
        source = (ROOT / path).read_text()
        assert [name for name in names if name not in source] == []


def imports(path: Path) -> set[str]:
    """The parts of the library that a module imports, in functions too."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "names")]
    lists = [[f"{getattr(n, 'module', '')}.{a.name}" for a in n.names if not isinstance(a, str)]
             for n in nodes]  # fmt: skip
    names = [name.strip(".").split(".") for name in chain(*lists)]
    return {name[1] for name in names if name[0] == "fashionlib" and len(name) > 1}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_code_flows_one_way(path):
    part = part_of(path)
    if part == "__init__":  # it imports what is asked for
        return
    before = ORDER[: ORDER.index(part) + 1]
    assert imports(path) - set(before) == set()


def test_only_pages_draw_in_a_notebook():
    wanted = re.compile(r"^\s*(?:import|from) (?:IPython|ipywidgets)\b", re.MULTILINE)
    drawing = {part_of(path) for path in MODULES if wanted.search(path.read_text())}
    assert drawing == {"pages"}


def test_the_library_stays_small():
    assert len(list(LIBRARY.glob("*.py"))) <= 20
    assert len(ROOMS) <= 8
    assert sum(len(path.read_text().splitlines()) for path in MODULES) <= 11_350
