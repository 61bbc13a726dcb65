"""What a chapter writes out is what the library holds: compared as syntax, docstrings apart."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^# the same code as (fashionlib[\w.]+), kept equal by a test$", re.MULTILINE)


def bare(source: str) -> str:
    """Syntax of one function or class, without docstrings and annotations."""
    tree = ast.parse(textwrap.dedent(source)).body[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            arguments = node.args
            for argument in arguments.args + arguments.kwonlyargs + arguments.posonlyargs:
                argument.annotation = None
        for name, value in list(ast.iter_fields(node)):
            if isinstance(value, list):
                items = [_plain(item) for item in value]
                setattr(node, name, items)
    return ast.dump(tree)


def _plain(node):
    """`x: list = []` reads `x = []` in a chapter."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.Assign(targets=[node.target], value=node.value)
    return node


def library_source(dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    return inspect.getsource(getattr(importlib.import_module(module), name))


def written_out() -> dict[str, tuple[str, str]]:
    """Each marked definition: chapter and library name → (its source, the chapter)."""
    found = {}
    for script in sorted((ROOT / "notebooks").rglob("*.py")):
        text = script.read_text()
        for match in MARK.finditer(text):
            rest = text[match.end() :]
            node = ast.parse(rest.split("\n# %%")[0]).body[0]
            found[f"{script.stem}:{match[1]}"] = (ast.unparse(node), match[1])
    return found


@pytest.mark.parametrize("place", written_out())
def test_chapter_and_library_hold_the_same_code(place):
    source, dotted = written_out()[place]
    assert bare(source) == bare(library_source(dotted)), place


@pytest.mark.parametrize(
    "name",
    [
        "blocks.conv_bn",
        "blocks.InvertedResidual",
        "training.classification_loss",
        "training.one_cycle",
        "training.update_average",
        "training.train_epoch",
        "triplets.TripletDataset",
        "triplets.triplet_loss",
        "siamese.SiameseNetwork",
        "siamese.encoder_from",
        "search.visual_search",
        "search.nearest",
        "heads.DetectionHead",
        "detection.detection_loss",
    ],
)
def test_the_important_code_is_written_out_in_a_chapter(name):
    assert any(place.endswith(f":fashionlib.{name}") for place in written_out())


def test_a_drifted_copy_is_noticed():
    source = library_source("fashionlib.training.one_cycle")
    assert bare(source) == bare(source.replace("Share of", "The share of"))
    assert bare(source) != bare(source.replace("0.96", "0.95"))


def test_no_chapter_repeats_a_library_function_without_the_mark():
    """A name that the library defines may be defined in a chapter only under the mark."""
    library = set()
    for path in (ROOT / "fashionlib").rglob("*.py"):
        if path.parent.name == "checks":  # named after the tasks that they check
            continue
        library |= {n.name for n in ast.parse(path.read_text()).body if hasattr(n, "name")}
    for script in sorted((ROOT / "notebooks").rglob("*.py")):
        marked = {place.rpartition(".")[2] for place in written_out() if script.stem in place}
        names = {n.name for n in ast.parse(script.read_text()).body if hasattr(n, "name")}
        assert (names & library) - marked == set(), script.name
