"""What a script records stays as it wrote it, and says where it comes from."""

import hashlib
import json
import platform
import sys

import pytest
import recording
import torch
from tiny import striped_catalog

FILES = sorted(path.stem for path in recording.RESULTS.glob("*.json"))


@pytest.mark.parametrize("name", FILES)
def test_no_recorded_figure_was_edited_by_hand(name):
    """A count that is changed could turn a verdict round, and no test would run its script."""
    assert recording.hashes()[f"{name}.json"] == recording.hash_of(name), (
        f"{name}.json is not what its script wrote: run the script again. Where a script wrote it "
        f"on another machine: python tools/measure/recording.py {name}"
    )


def test_the_list_holds_no_file_that_is_gone():
    assert set(recording.hashes()) == {f"{name}.json" for name in FILES}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "RESULTS", tmp_path)
    return tmp_path


def test_what_is_written_is_listed_and_an_edit_is_noticed(results):
    for name, count in (("two", 5), ("one", 236), ("one", 237)):
        recording.write_results(name, {"runs": [{"right": [count, 276]}], "note": "é"})
    assert json.loads((results / "one.json").read_text())["runs"] == [{"right": [237, 276]}]
    assert list(recording.hashes()) == ["one.json", "two.json"]  # in order, whatever came first
    for name in ("one", "two"):
        content = (results / f"{name}.json").read_bytes()
        assert recording.hashes()[f"{name}.json"] == hashlib.sha256(content).hexdigest()
    text = (results / "one.json").read_text()
    assert '"right": [237, 276]' in text.replace("[ ", "[").replace(" ]", "]")  # in one line
    (results / "one.json").write_text(text.replace("237", "239"))
    assert recording.hashes()["one.json"] != recording.hash_of("one")
    assert [path.name for path in sorted(results.iterdir())] == [
        "one.json", "results.sha256", "two.json",
    ]  # fmt: skip


def test_quartiles_are_three_values_of_four_digits():
    """Of 1 to 7 the middle is 4, and half of the values lie between the others."""
    assert recording.quartiles([7.0, 1.0, 2.0, 6.0, 3.0, 5.0, 4.0]) == [2.0, 4.0, 6.0]
    assert recording.quartiles([1 / 3] * 3) == [0.3333] * 3


def test_a_run_says_script_machine_versions_and_date():
    about = recording.about_this_run("/somewhere/stores.py", None, faiss="1.9")
    assert about["made_by"] == "tools/measure/stores.py"
    own = {"python": sys.version.split()[0], "torch": torch.__version__}
    assert about["versions"] == own | {"faiss": "1.9"}
    assert "catalog" not in about
    assert about["date"].count("-") == 2


@pytest.mark.parametrize(("threads", "said"), [(1, "1 thread"), (4, "4 threads")])
def test_a_machine_is_its_kind_of_processor_and_its_threads(threads, said, monkeypatch):
    monkeypatch.setattr(recording.torch, "get_num_threads", lambda: threads)
    assert recording.machine() == f"{platform.machine()}, {said}"


def test_a_processor_is_called_as_it_calls_itself(tmp_path, monkeypatch):
    """As Linux lists it, without the blank: runs are told apart by how the name begins."""
    cpus = tmp_path / "cpuinfo"
    cpus.write_text("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13\n")
    monkeypatch.setattr(recording, "Path", lambda _: cpus)
    assert recording.processor() == "AMD EPYC 7B13"


def test_a_run_says_its_catalog_and_how_many_pictures_it_learned_from():
    about = recording.about_this_run("/somewhere/article.py", striped_catalog(24, 6))
    assert (about["catalog"], about["pictures"]) == ("stripes", 24)
