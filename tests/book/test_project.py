"""The files around the code agree with each other."""

import io
import os
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import quick_book
import vendor
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LARGEST = 1_000_000


def committed() -> list[Path]:
    """What git tracks, or would: nothing ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def test_environment_yml_equals_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [line for extra in extras.values() for line in extra]
    pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert sorted(pip) == sorted([*wanted, "-e ."])
    assert f"python{PROJECT['requires-python']}" in environment


def test_the_users_packages_are_all_there():
    card = [
        "torch",
        "torchvision",
        "jupyterlab",
        "jupytext",
        "matplotlib",
        "nbval",
        "ipywidgets",
        "numpy",
    ]
    text = (ROOT / "environment.yml").read_text()
    assert [name for name in card if not re.search(rf"- {name}\b", text)] == []


def test_no_exact_pins():
    """An exact pin blocks the next Python; ranges and a scheduled run replace it."""
    extras = PROJECT["optional-dependencies"].values()
    lines = PROJECT["dependencies"] + [line for extra in extras for line in extra]
    assert [line for line in lines if "==" in line or ">=" not in line] == []


@pytest.mark.parametrize("folder", ["a b/c", "/a b/c", "here", "/here", ""])
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_make_finds_the_photos_in_a_folder_with_spaces(tmp_path, folder, given):
    """Notebooks run in their own folder, so they get the whole path."""
    (tmp_path / "tell").write_text('tell:\n\t@echo "$$FASHIONLIB_DATA|$$GOMP_SPINCOUNT"\n')
    ours = ("FASHIONLIB_DATA", "GOMP_SPINCOUNT", "MAKEFLAGS", "MAKEOVERRIDES")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = ["make", "-s", "-f", "Makefile", "-f", tmp_path / "tell", "tell"]
    if given == "argument":
        command.append(f"FASHIONLIB_DATA={folder}")
    else:
        environment["FASHIONLIB_DATA"] = folder
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True,
                          text=True)  # fmt: skip
    assert done.stdout == f"{ROOT / folder if folder else ''}|1000\n"


def test_commands_for_windows_are_those_of_make():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    block = readme.split("```powershell\n")[1].split("```")[0].replace("\\", "/")
    commands = [line.split("    #")[0] for line in block.splitlines()[1:]]
    assert len(commands) == 5
    for command in commands:
        assert all(word.replace('"', "'") in makefile for word in command.split()[1:])


def built_by_the_tests(monkeypatch, folder: Path) -> tuple[list, dict[str, str]]:
    """The command that would build the book of the tests, and its environment."""
    ran = []

    def run(command, *, env, **_):
        assert list(Path(env["FASHIONLIB_CACHE"]).iterdir()) == []
        ran.append((command, env))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(quick_book.fetch_runtime, "runtime_package", lambda: ran.append("fetched"))
    monkeypatch.setattr(subprocess, "run", run)
    quick_book.build(folder)
    fetched, built = ran
    assert fetched == "fetched"  # before, for the build has no network
    return built


def test_the_book_of_the_tests_allows_no_warning_either(monkeypatch, tmp_path):
    """What would stop `make book` stops `make test` too."""
    command, _ = built_by_the_tests(monkeypatch, tmp_path)
    of_make = re.search(r"-m sphinx (-.*) -b html", (ROOT / "Makefile").read_text())[1].split()
    assert "-W" in of_make
    assert set(of_make) <= set(command)


def test_the_book_of_the_tests_sees_nothing_of_a_persons(monkeypatch, tmp_path):
    """Neither photos nor what was made of them, nor what a network would give."""
    persons = ("FASHIONLIB_DATA", "FASHIONLIB_CACHE", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy")
    for name in (*persons, "FASHIONLIB_BUDGET"):
        monkeypatch.setenv(name, "a person's")
    command, environment = built_by_the_tests(monkeypatch, tmp_path)
    assert [name for name in persons if environment[name] == "a person's"] == []
    assert environment["FASHIONLIB_DATA"] == environment["FASHIONLIB_CACHE"]
    assert environment["FASHIONLIB_BUDGET"] == "quick"
    assert f"nb_execution_cache_path={tmp_path / 'cache'}" in command


def test_ci_calls_make_test_and_the_workflow_calls_ci():
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert any(step.get("run") == ".ci/run" for step in steps)


def test_citation_and_changelog_know_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CONTRIBUTING.md"])
def test_the_files_a_visitor_looks_for(name):
    assert len((ROOT / name).read_text()) > 500


def test_nothing_large_or_generated_is_committed():
    allowed = (ROOT / "book" / "_static" / "vendor", ROOT / "fashionlib" / "shipped")
    paths = committed()
    assert len(paths) > 20
    for path in paths:
        size = path.stat().st_size
        limit = 3 * LARGEST if path.is_relative_to(allowed[0]) else LARGEST
        limit = 2 * LARGEST if path.is_relative_to(allowed[1]) else limit
        assert size <= limit, f"{path} has {size:,} bytes"
        assert path.suffix not in (".zip", ".pyc", ".pt", ".pth", ".pkl", ".npy"), path


def test_no_photo_is_committed():
    """Names and contents of the photo manifest, against every committed file."""
    lines = (ROOT / "fashionlib" / "catalog" / "photos.sha256").read_text().splitlines()
    names = {line.split("/")[-1] for line in lines}
    assert len(names) > 3000
    assert [path for path in committed() if path.name in names] == []


def test_of_a_vendored_package_the_named_files_are_taken(tmp_path, monkeypatch):
    """Npm prints the name of what it packed behind what else it has to say."""

    def pack(command, **_):
        place = Path(command[command.index("--pack-destination") + 1])
        with tarfile.open(place / "a-1.0.tgz", "w:gz") as archive:
            for name in ("dist/a.js", "dist/b.js", "LICENSE"):
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(name)
                archive.addfile(entry, io.BytesIO(name.encode()))
        assert (command[:2], command[-1]) == (["npm", "pack"], "a@1.0")
        return SimpleNamespace(stdout="a warning\na-1.0.tgz\n")

    monkeypatch.setattr(subprocess, "run", pack)
    vendor.fetch("a@1.0", tmp_path / "new" / "a", ["dist/a.js", "LICENSE"])
    files = {path.name: path.read_text() for path in (tmp_path / "new" / "a").iterdir()}
    assert files == {"a.js": "dist/a.js", "LICENSE": "LICENSE"}
    with pytest.raises(SystemExit, match=r"a@1\.0 has no file dist/c\.js"):
        vendor.fetch("a@1.0", tmp_path, ["dist/c.js"])


def test_vendored_files_come_with_their_licences():
    for folder in (ROOT / "book" / "_static" / "vendor").iterdir():
        assert (folder / "LICENSE").is_file(), folder
