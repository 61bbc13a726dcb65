"""What a shop imports: the names there are, and the README's example of them."""

import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import fashionlib
from fashionlib.drawn import draw_garment, sample_garment
from fashionlib.search import SIDE
from fashionlib.siamese import RECIPE as SIAMESE_RECIPE
from fashionlib.training import RECIPE

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"^( *)```python\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def example(text: str) -> str:
    """The code of the only Python fence in a text."""
    ((_, code),) = EXAMPLE.findall(text)
    return textwrap.dedent(code)


@pytest.mark.parametrize("name", fashionlib.__all__)
def test_each_public_name_is_there_and_says_what_it_does(name):
    thing = getattr(fashionlib, name)
    assert thing.__name__ == name
    assert thing.__doc__
    assert name in dir(fashionlib)


DEFAULTS = {
    "FashionError": {"message": ""},
    "build_classifier": {"plan": "fashion", "classes": 7},
    "encoder_for": {"classifier": None},
    # a query is made as large as the pictures of a catalog
    "load_catalog": {"source": None, "size": SIDE, "classes": None, "few": False},
    "open_store": {"index": "flat"},
    "predict": {"batch_size": 16},
    "read_picture": {"size": None},
    "train_classifier": {"recipe": RECIPE, "seed": 0},
    "train_siamese": {"recipe": SIAMESE_RECIPE, "seed": 0},
}


@pytest.mark.parametrize("name", fashionlib.__all__)
def test_what_a_shop_leaves_unsaid_stays_as_it_is(name):
    """Another default would change what its programs do, without a word."""
    given = inspect.signature(getattr(fashionlib, name)).parameters.values()
    found = {one.name: one.default for one in given if one.default is not one.empty}
    assert found == DEFAULTS.get(name, {})


def test_there_are_few_enough_to_remember():
    assert len(fashionlib.__all__) <= 18


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'load_shoe'"):
        fashionlib.load_shoe  # noqa: B018


@pytest.mark.parametrize(("given", "left"), [({"GOMP_SPINCOUNT": "7"}, "7"), ({}, "1000")])
def test_how_long_threads_spin_is_for_the_user_to_set(given, left):
    environment = {n: v for n, v in os.environ.items() if n != "GOMP_SPINCOUNT"} | given
    code = "import os, fashionlib; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], check=True, text=True,
                          capture_output=True, env=environment)  # fmt: skip
    assert done.stdout == f"{left}\n"


def test_the_package_and_the_readme_show_the_same_example():
    code = example((ROOT / "README.md").read_text(encoding="utf-8"))
    assert code == example(fashionlib.__doc__)
    assert 5 <= len([line for line in code.splitlines() if line]) <= 9


def test_the_readmes_example_finds_the_garment_itself(tmp_path):
    rng = np.random.default_rng(0)
    for category in ("hat", "pants"):
        folder = tmp_path / "my" / "clothes" / category
        folder.mkdir(parents=True)
        for n in range(12):
            draw_garment(sample_garment(rng, category), 200).save(folder / f"{n}.jpg")
    code = example((ROOT / "README.md").read_text(encoding="utf-8"))
    code += "\nprint(fashionlib.SearchIndex.load('clothes.safetensors', encoder).ids == index.ids)"
    (tmp_path / "query.jpg").write_bytes((tmp_path / "my/clothes/hat/3.jpg").read_bytes())
    environment = os.environ | {"FASHIONLIB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, text=True,
                          capture_output=True, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, again = done.stdout.splitlines()
    assert found.startswith("('hat/3.jpg', ")
    assert again == "True"
