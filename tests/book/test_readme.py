"""The Python of README is what `help(fashionlib)` shows, and it works."""

import re
import textwrap
from pathlib import Path

import numpy as np

import fashionlib
from fashionlib.drawn import draw_garment, sample_garment

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def python_of(text: str) -> list[str]:
    """The Python blocks of a Markdown text."""
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, code in blocks]


def test_it_is_the_librarys_own_example_and_short():
    (code,) = python_of(README)
    assert python_of(fashionlib.__doc__) == [code]
    assert len(code.splitlines()) <= 8
    assert set(re.findall(r"fashionlib\.(\w+)", code)) <= set(fashionlib.__all__)


def test_it_finds_the_garment_that_it_searches_with(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for category in ("dress", "hat"):
        folder = tmp_path / "my/clothes/train" / category
        folder.mkdir(parents=True)
        for number in range(5):
            draw_garment(sample_garment(rng, category), 160).save(folder / f"{number}.jpg")
    query = tmp_path / "my/clothes/train/hat/3.jpg"
    (tmp_path / "query.jpg").write_bytes(query.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path / "cache"))
    exec(python_of(README)[0], {})
    assert re.match(r"\('(train/)?hat/3\.jpg', ", capsys.readouterr().out)
    assert (tmp_path / "clothes.safetensors").is_file()
