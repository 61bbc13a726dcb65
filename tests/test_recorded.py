"""Recorded results say where they come from, and hold what the chapter reads of them."""

import json
from dataclasses import asdict

import measure_looks
import measure_transfer
import pytest

from fashionlib import recorded
from fashionlib.errors import FashionError


@pytest.mark.parametrize("path", sorted(recorded.RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_every_file_says_where_it_comes_from(path):
    results = recorded.recorded(path.stem)
    line = recorded.about(results)
    assert (recorded.RESULTS.parents[1] / results["made_by"]).is_file()
    for part in (results["made_by"], results["date"], results["machine"], "torch"):
        assert part in line
    assert path.stat().st_size < 1_000_000


def test_there_is_something_recorded():
    names = {path.stem for path in recorded.RESULTS.glob("*.json")}
    assert names == {"looks", "transfer"}


def test_no_such_results():
    with pytest.raises(FashionError, match="no recorded results 'nothing'"):
        recorded.recorded("nothing")


def test_transfer_was_run_by_the_script_as_it_is():
    """Other recipes or seeds in the script than in the file: run it again."""
    results = recorded.recorded("transfer")
    assert results["encoder"] == json.loads(json.dumps(asdict(measure_transfer.ENCODER)))
    assert results["classifier"] == json.loads(json.dumps(asdict(measure_transfer.CLASSIFIER)))
    assert tuple(run["seed"] for run in results["runs"]) == measure_transfer.SEEDS
    for run in results["runs"]:
        epochs = {name: len(rows) for name, rows in run["histories"].items()}
        count = measure_transfer.ENCODER.epochs
        assert epochs == {
            "classifier": measure_transfer.CLASSIFIER.epochs,
            "transfer": count,
            "scratch": count,
            "scratch, twice as long": 2 * count,
        }


def test_looks_were_measured_by_the_script_as_it_is():
    results = recorded.recorded("looks")
    recipes = {name: asdict(recipe) for name, recipe in measure_looks.RECIPES.items()}
    assert results["recipes"] == json.loads(json.dumps(recipes))
    assert list(results["rows"]) == ["classifier features", *recipes]
