"""One setting makes chapters quick, and a misspelt one does not pass in silence."""

import re
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from complaints import complaint
from tqdm.notebook import tqdm as in_a_notebook

from fashionlib import settings
from fashionlib.errors import FashionError
from fashionlib.settings import budget, optional, progress_bar

ROOT = Path(__file__).parents[1]


def test_full_unless_quick_is_asked_for(monkeypatch):
    monkeypatch.delenv("FASHIONLIB_BUDGET", raising=False)
    assert budget(10, quick=1) == 10
    monkeypatch.setenv("FASHIONLIB_BUDGET", "full")
    assert budget(10, quick=1) == 10
    monkeypatch.setenv("FASHIONLIB_BUDGET", "quick")
    assert budget(10, quick=1) == 1
    assert budget((2400, 300), quick=(560, 140)) == (560, 140)


def test_a_misspelt_setting_is_an_error(monkeypatch):
    monkeypatch.setenv("FASHIONLIB_BUDGET", "quik")
    with pytest.raises(FashionError, match="quik"):
        budget(10, quick=1)


def test_a_bar_that_is_hidden_is_hidden_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr(settings, "tqdm", in_a_notebook)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress_bar(range(3), "some", "thing").disable


def test_a_bar_is_shown_unless_it_is_hidden(monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    rest = progress_bar(iter("bc"), "drawing", "letter", initial=1, total=3)
    assert list(rest) == ["b", "c"]
    assert re.search(r"drawing: 100%.* 3/3 .*letter", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("from os import what_it_has_not", "cannot import name 'what_it_has_not'"),
        ("raise ImportError('\\nnot for  1.x:\\n  build it\\n')", "not for 1.x: build it: pip ins"),
    ],
)
def test_a_package_that_is_there_and_broken_is_one_line(tmp_path, monkeypatch, code, told):
    """As one that is built for another version of numpy, which says so in many lines."""
    (tmp_path / "built_for_others.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    advice = 'pip install "fashionlib[export]"'
    complaint(lambda: optional("built_for_others", "export"), f"built_for_others: {told}", advice)


def test_what_a_package_needs_itself_is_named_where_that_is_missing(tmp_path, monkeypatch):
    (tmp_path / "needs_another.py").write_text("import what_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    complaint(lambda: optional("needs_another", "export"), "what_nobody_has is missing: pip inst")


def named(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def test_the_extra_that_is_named_brings_the_package():
    """Whoever does as told is not told the same again."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    brings = {
        extra: {named(each) for one in packages for each in (one, *(requires(named(one)) or ()))}
        for extra, packages in extras["optional-dependencies"].items()
    }
    sources = [*ROOT.glob("fashionlib/**/*.py"), *ROOT.glob("notebooks/**/*.py")]
    asked = {
        pair
        for path in sources
        for pair in re.findall(r'optional\("([\w.]+)", "(\w+)"\)', path.read_text("utf-8"))
    }
    assert len(asked) >= 8
    of_modules = packages_distributions()
    for package, extra in asked:
        names = {named(name) for name in of_modules[package.split(".")[0]]}
        assert names & brings[extra], (package, extra)
