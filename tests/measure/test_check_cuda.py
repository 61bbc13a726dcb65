"""`tools/check_cuda.sh` says what it finds; on a machine without a GPU that is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_catalog

from fashionlib.training import Training

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "check_cuda.sh"

# A Python that finds a GPU, and writes down what it is asked to do
STUB = """#!/usr/bin/env bash
echo "$FASHIONLIB_BUDGET $HF_HUB_OFFLINE ${{FASHIONLIB_CACHE%%.*}} $*" >> {log}
case "$*" in
    *train-classifier*) echo {weights} > "${{@: -1}}" ;;
    -) program=$(cat); [[ $program == *device_name* ]] && echo "card: a card" || echo {seconds} ;;
    *pytest*) exit {passed} ;;
esac
"""


def check(python: Path | str, script: Path = SCRIPT, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", script, str(python)], check=False, capture_output=True,
                          text=True, env=os.environ | more)  # fmt: skip


def stub(folder: Path, weights: str = "equal", passed: int = 0) -> Path:
    path = folder / "python"
    seconds = '"$( [ -z "${CUDA_VISIBLE_DEVICES-x}" ] && echo 30 || echo 6 )"'
    log = folder / "log"
    path.write_text(STUB.format(log=log, weights=weights, seconds=seconds, passed=passed))
    path.chmod(0o755)
    return path


def test_without_a_gpu_it_says_so():
    done = check(sys.executable, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "no CUDA device\n")
    assert done.stderr == ""


def test_with_one_it_compares_times_and_runs_every_page(tmp_path):
    persons = {"FASHIONLIB_BUDGET": "full", "HF_HUB_OFFLINE": "0", "FASHIONLIB_CACHE": "/mine"}
    done = check(stub(tmp_path), TMPDIR=str(tmp_path), **persons)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "card: a card"
    assert lines[1].startswith("driver: ")
    assert lines[2] == "two trainings with one seed: the same to the last byte"
    assert lines[3] == "two epochs: 30.0 s on the processor, 6.0 s on the card, ratio 5.0"
    assert lines[4] == "chapters and solutions: passed"
    asked = (tmp_path / "log").read_text().splitlines()
    assert all(line.startswith(f"quick 1 {tmp_path}/tmp ") for line in asked[1:])  # after "is it?"
    trainings = [line.rpartition("--out")[0] for line in asked if "train-classifier" in line]
    assert len(trainings) == 2
    assert trainings[0] == trainings[1]
    assert "--seed 5" in trainings[0]
    (pages,) = (line for line in asked if "-m pytest" in line)
    for chapter in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert f"notebooks/{chapter.name}" in pages
    assert "notebooks/exercises/solutions" in pages
    assert "--nbval-lax" in pages.split()  # a GPU rounds otherwise than what is stored
    assert {path.name for path in tmp_path.iterdir()} == {"python", "log"}  # its own stay nowhere


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"weights": "$RANDOM$RANDOM"}, "two trainings with one seed: NOT the same"),
        ({"passed": 1}, "chapters and solutions: NOT all passed"),
        ({"passed": 124}, "chapters and solutions: NOT done after 480 s"),
    ],
)
def test_what_is_wrong_is_its_last_line(tmp_path, wrong, line):
    done = check(stub(tmp_path, **wrong), TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {"python", "log"}
    assert done.stdout.splitlines()[-1] == line


def test_the_pages_get_what_is_left_of_the_eight_minutes(tmp_path):
    """In a copy that begins after a hundred seconds, by its own clock."""
    text = SCRIPT.read_text()
    assert text.count("\nSECONDS=0\n") == 1
    script, timeout = tmp_path / "tools" / SCRIPT.name, tmp_path / "timeout"
    script.parent.mkdir()
    script.write_text(text.replace("\nSECONDS=0\n", "\nSECONDS=100\n"))
    timeout.write_text('#!/usr/bin/env bash\necho "timeout $1"\nshift\nexec "$@"\n')
    timeout.chmod(0o755)
    done = check(stub(tmp_path), script, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    (seconds,) = (line.split()[1] for line in done.stdout.splitlines() if "timeout" in line)
    assert 200 < int(seconds) <= 380


def test_two_epochs_are_timed_after_one_in_which_all_is_loaded(monkeypatch, capsys):
    """The script's second program, where a training takes no time but says what it took."""
    program = SCRIPT.read_text().split("<<'END'\n")[2].partition("\nEND\n")[0]

    def run(training: Training) -> tuple[None, list[dict[str, float]]]:
        seconds = (100.0, 1.5, 2.25, 1000.0)[: training.recipe.epochs]
        return None, [{"seconds": each} for each in seconds]

    monkeypatch.setattr("fashionlib.running.runs.run_training", run)
    monkeypatch.setattr("fashionlib.catalog.load_catalog", lambda *_, **__: tiny_catalog())
    exec(program, {})
    assert capsys.readouterr().out == "3.75\n"
