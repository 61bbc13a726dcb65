"""`pip install .` without extras: everything that a shop needs works, and loads no more than that.

A subprocess here can import only what the plain requirements bring, and what these bring in turn:
all other packages of this environment are hidden from it.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tiny import save_garments

ROOT = Path(__file__).resolve().parents[1]
NOT_NEEDED = ("IPython", "ipywidgets", "pytorch_metric_learning", "sklearn", "matplotlib.pyplot")

# `main` ends in SystemExit; afterwards the last line says what was loaded, and whether it went well
HIDING = """
import json, sys

HIDDEN = frozenset(json.loads(sys.argv.pop(1)))

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hiding, sys.meta_path)

def command(*arguments):
    from fashionlib.cli import main
    sys.argv = ["fashionlib", *arguments]
    try:
        main()
    except SystemExit as left:
        assert left.code in (None, 0), (arguments, left.code)

given = json.loads(sys.argv.pop(1))
"""
DONE = "\nprint(); print(json.dumps(sorted(sys.modules)))\n"


def brought_along(names: Iterable[str]) -> set[str]:
    """Normalised names of the packages that these requirements bring, with all that they need."""
    found: set[str] = set()
    pending = [(Requirement(name), "") for name in names]
    while pending:
        wanted, extra = pending.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        extras = wanted.extras or {""}
        if name in found and extras == {""}:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # of another platform
            continue
        found.add(name)
        pending += [(Requirement(need), extra) for need in needs for extra in extras]
    return found


@pytest.fixture(scope="module")
def hidden() -> list[str]:
    """Top-level packages that a plain install would not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain = brought_along(project["dependencies"]) | {"fashionlib"}
    here = {
        package: {canonicalize_name(name) for name in names}
        for package, names in packages_distributions().items()
    }
    return sorted(package for package, names in here.items() if not names & plain)


@pytest.fixture(scope="module")
def clothes(tmp_path_factory) -> Path:
    """Three classes of drawn garments, twenty each."""
    root = tmp_path_factory.mktemp("clothes")
    save_garments(root, 140)
    return root


@pytest.fixture
def plain(hidden, clothes, tmp_path):
    """Run code as in a plain install; gives what it printed, and the modules that it loaded."""

    def run(code: str) -> tuple[list[str], set[str]]:
        given = {"clothes": str(clothes), "query": str(min(clothes.rglob("*.png")))}
        told = json.dumps(hidden), json.dumps(given)
        done = subprocess.run(
            [sys.executable, "-c", HIDING + code + DONE, *told], cwd=tmp_path, check=False,
            capture_output=True, text=True, env=os.environ | {"FASHIONLIB_CACHE": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        *lines, modules = done.stdout.splitlines()
        return lines, set(json.loads(modules))

    return run


def test_what_is_hidden_is_what_extras_bring(hidden):
    """Else nothing below would say anything."""
    assert {"IPython", "ipywidgets", "onnx", "faiss", "pymilvus", "timm", "pytest"} <= set(hidden)
    assert not {"torch", "numpy", "PIL", "typer", "fashionlib", "scipy", "tqdm"} & set(hidden)


def test_a_hidden_package_cannot_be_imported(plain):
    code = """
for name in ("faiss", "IPython.display"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error)
"""
    lines, _ = plain(code)
    assert lines[:2] == ["No module named 'faiss'", "No module named 'IPython'"]


def test_every_public_name_and_every_module_but_the_pages_imports(plain):
    code = """
import pkgutil
import fashionlib
for name in fashionlib.__all__:
    getattr(fashionlib, name)
print(len(fashionlib.__all__))
for module in pkgutil.walk_packages(fashionlib.__path__, "fashionlib.", onerror=print):
    if not module.name.startswith(("fashionlib.pages", "fashionlib.__main__")):
        __import__(module.name)
"""
    lines, modules = plain(code)
    assert 10 <= int(lines[0]) <= 25
    assert {"fashionlib.siamese", "fashionlib.export.quantise", "fashionlib.checks"} <= modules


def test_importing_loads_nothing_that_is_not_asked_for(plain):
    _, modules = plain("import fashionlib")
    assert "torch" not in modules
    assert not {name for name in NOT_NEEDED if name in modules}


def test_help_and_a_search_load_only_what_they_need(plain):
    code = """
command("--help")
command("search", "--query", given["query"], "--catalog", given["clothes"])
"""
    lines, modules = plain(code)
    assert any("train-classifier" in line for line in lines)
    assert any(line.split()[:2] == ["1", "0.000"] for line in lines)
    assert "fashionlib.search" in modules
    assert not {name for name in NOT_NEEDED if name in modules}


def test_a_training_and_a_strip_of_results(plain, tmp_path):
    """A strip is drawn by matplotlib, which a plain install has, without a page's packages."""
    code = """
command("train-classifier", "--data", given["clothes"], "--epochs", "1", "--size", "32")
command("search", "--query", given["query"], "--catalog", given["clothes"], "--out", "strip.png")
"""
    lines, _ = plain(code)
    assert any("trained in" in line for line in lines)
    assert (tmp_path / "runs" / "classifier.safetensors").is_file()
    assert (tmp_path / "strip.png").is_file()


def test_a_metric_training_too(plain, tmp_path):
    """It takes a miner: pytorch-metric-learning is among the plain requirements."""
    code = """
command("train-siamese", "--data", given["clothes"], "--epochs", "1", "--size", "32")
"""
    plain(code)
    assert (tmp_path / "runs" / "encoder.safetensors").is_file()
