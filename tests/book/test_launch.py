"""Chapters run on Colab and Binder where the repository is known, and no link is dead where not."""

import re
import runpy
import string
import subprocess
import sys
import tomllib
from pathlib import Path

import launch
import pytest
import yaml
from browsing import opened
from IPython.core.inputtransformer2 import TransformerManager
from serving import served
from test_every_page import audit, settle, walk

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/someone/a-book"
SERVICES = re.compile(r'href="(https://(?:colab|mybinder)[^"]*)"')
CONF = """
import sys
sys.path.insert(0, {tools!r})
import launch
launch.REPOSITORY = {repository!r}
project, html_theme, extensions = "x", "sphinx_book_theme", ["myst_parser"]
html_theme_options = {{"navbar_persistent": []}}
html_static_path, html_css_files = [{static!r}], ["book.css"]
templates_path = [{templates!r}]
def setup(app):
    app.connect("html-page-context", launch.add_links, priority=502)
"""


def built(folder: Path, repository: str) -> dict[str, list[str]]:
    """Launch links of each page of a small book, by the page's name."""
    for name in ("chapters/00_one.md", "chapters/exercises/1_two.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("# A chapter\n\nIt says something.\n")
    contents = "# x\n```{toctree}\nchapters/00_one\nchapters/exercises/1_two\n```\n"
    (folder / "index.md").write_text(contents)
    book = ROOT / "book"
    (folder / "conf.py").write_text(
        CONF.format(
            tools=str(ROOT / "tools" / "book"), repository=repository,
            static=str(book / "_static"), templates=str(book / "_templates"),
        )
    )  # fmt: skip
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", folder, folder / "out"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = ("index", "chapters/00_one", "chapters/exercises/1_two")
    return {name: SERVICES.findall((folder / f"out/{name}.html").read_text()) for name in names}


def test_every_chapter_links_to_its_notebook(tmp_path):
    notebooks = "someone/a-book/blob/main/notebooks"
    tree = "someone/a-book/main?urlpath=lab/tree/notebooks"
    assert built(tmp_path, REPOSITORY) == {
        "index": [],
        "chapters/00_one": [
            f"https://colab.research.google.com/github/{notebooks}/00_one.ipynb",
            f"https://mybinder.org/v2/gh/{tree}/00_one.ipynb",
        ],
        "chapters/exercises/1_two": [
            f"https://colab.research.google.com/github/{notebooks}/exercises/1_two.ipynb",
            f"https://mybinder.org/v2/gh/{tree}/exercises/1_two.ipynb",
        ],
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_links_are_open_to_every_reader(tmp_path, chromium, scheme):
    built(tmp_path, REPOSITORY)
    page_of = "chapters/00_one.html"
    with (
        served(tmp_path / "out") as site,
        opened(chromium, f"{site}/{page_of}", color_scheme=scheme) as (page, _, _),
    ):
        settle(page)
        assert walk(page) == ([], [])
        button = page.get_by_role("button", name="Run this chapter")
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".dropdown-launch-buttons a:visible")
        assert audit(page) == []
        for name in ("Colab", "Binder"):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.innerText.trim()") == name


def test_without_a_repository_there_is_no_link(tmp_path):
    assert set(map(tuple, built(tmp_path, "").values())) == {()}
    assert launch.install_cell("") == ""


def test_the_book_is_built_with_these_links():
    connected = []

    class Recorder:
        def connect(self, event, call, priority=500):
            connected.append((event, call, priority))

    runpy.run_path(str(ROOT / "book" / "conf.py"))["setup"](Recorder())
    # before priority 502 the theme has not made the buttons that ours joins
    assert ("html-page-context", launch.add_links, 502) in connected


def test_each_link_leads_to_a_notebook_that_is_there():
    for script in (ROOT / "notebooks").rglob("[0-9]*.py"):
        name = script.relative_to(ROOT / "notebooks").with_suffix("")
        links = launch.links(REPOSITORY, f"chapters/{name.as_posix()}")
        assert len(links) == 2
        for address in links.values():
            assert (ROOT / re.search(r"notebooks/.*", address)[0]).is_file()


@pytest.mark.parametrize(
    "address",
    ["https://github.com/some.one/a-book", "https://github.com/some.one/a-book.git",
     "https://github.com/some.one/a-book/"],
)  # fmt: skip
def test_an_address_as_github_shows_it(address):
    assert launch.owner_and_name(address) == "some.one/a-book"


@pytest.mark.parametrize(
    "address", ["someone/a-book", "https://example.org/a/b", "https://github.com/someone"]
)
def test_another_address_is_refused(address):
    with pytest.raises(ValueError, match=r"give https://github.com/OWNER/NAME"):
        launch.owner_and_name(address)


def run_install_cell(monkeypatch, on_colab: bool) -> list[tuple[str, str]]:
    """The magics that the cell calls."""
    called = []

    class Shell:
        def run_line_magic(self, name, line):
            called.append((name, line))

    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    if on_colab:
        monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    code = TransformerManager().transform_cell(launch.install_cell(REPOSITORY))
    exec(compile(code, "cell", "exec"), {"get_ipython": Shell})
    return called


def test_on_colab_the_first_cell_installs_the_library(monkeypatch):
    [(magic, line)] = run_install_cell(monkeypatch, on_colab=True)
    assert magic == "pip"
    extras, address = re.search(r'"fashionlib\[([\w,]+)\] @ (.*)"', line).groups()
    assert address == f"git+{REPOSITORY}@main"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    offered = project["optional-dependencies"].keys()
    assert set(extras.split(",")) == offered - {"notebooks", "book", "test"}


def test_the_cell_is_the_same_each_time(monkeypatch):
    """The order of a set differs from run to run; of so many letters it is never theirs."""
    extras = dict.fromkeys(reversed(string.ascii_lowercase))
    project = {
        "project": {"optional-dependencies": extras | dict.fromkeys(launch.WORK_ON_THE_BOOK)}
    }
    monkeypatch.setattr(tomllib, "loads", lambda _: project)
    assert f"fashionlib[{','.join(string.ascii_lowercase)}] @ " in launch.install_cell(REPOSITORY)


def test_anywhere_else_it_does_nothing(monkeypatch):
    assert run_install_cell(monkeypatch, on_colab=False) == []


def test_binder_installs_the_library_from_the_checkout():
    """repo2docker reads environment.yml, and stages the checkout first where it says `-e .`."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert "-e ." in pip
    assert any(line.startswith("jupyterlab") for line in pip)  # the links open lab/tree


def test_the_workflow_publishes_what_make_book_builds():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    assert workflow[True]["push"]["branches"] == ["main"]  # YAML reads `on` as a truth
    assert workflow["concurrency"]["group"] == "pages"
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    commands = [step["run"] for step in build["steps"] if "run" in step]
    assert commands[-1].endswith("make PYTHON=python book")
    upload = next(s for s in build["steps"] if "upload-pages-artifact" in s.get("uses", ""))
    recipe = (ROOT / "Makefile").read_text()
    assert f"-b html book {upload['with']['path']}\n" in recipe
    assert workflow["permissions"] == {"contents": "read"}
    assert deploy["needs"] == "build"
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}


def test_both_workflows_keep_the_photos_under_one_key():
    keys = set()
    for name in ("test.yml", "pages.yml"):
        text = (ROOT / ".github" / "workflows" / name).read_text()
        keys |= set(re.findall(r"key: (clothing-\S+)", text))
    assert len(keys) == 1


def test_the_workflow_publishes_the_book_with_the_photos_and_the_full_budget():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    build = workflow["jobs"]["build"]
    kept = next(step["with"]["path"] for step in build["steps"] if "actions/cache" in str(step))
    assert build["env"] == {"FASHIONLIB_DATA": "${{ github.workspace }}/" + kept}
    commands = [step["run"] for step in build["steps"] if "run" in step]
    fetched = [n for n, command in enumerate(commands) if "fashionlib download" in command]
    assert fetched == [len(commands) - 2]
