"""The command line as a person uses it: real processes, a real folder of pictures."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from commands import fashionlib
from PIL import Image
from safetensors.torch import load_file
from tiny import save_garments

from fashionlib import cli
from fashionlib.__main__ import Notes, main
from fashionlib.blocks import PLANS
from fashionlib.catalog import Catalog, load_catalog
from fashionlib.cli import ObjectiveName, PlanName
from fashionlib.export import load_onnx
from fashionlib.heads import build_encoder
from fashionlib.running import processes, search_command, training_commands
from fashionlib.running.shards import Embedded
from fashionlib.siamese import OBJECTIVES
from fashionlib.weights import load_classifier, load_encoder, save_encoder, shipped

SHORT = ["train-classifier", "--epochs", "2", "--size", "32", "--plan", "article"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Class folders of a person's own: 30 pictures of each of three classes."""
    root = tmp_path_factory.mktemp("clothes")
    save_garments(root, 210)
    return root


def test_the_options_name_what_the_library_has():
    assert [str(name) for name in PlanName] == list(PLANS)
    assert [str(name) for name in ObjectiveName] == list(OBJECTIVES)


RUNNING = "fashionlib.running"
# What does the work of a command, and what it is given: option by option, by default and if asked
WORK = {
    "train-classifier": (
        f"{RUNNING}.training_commands.train_classifier",
        {
            "--epochs": (10, 4),
            "--data": (None, "drawn"),
            "--plan": ("fashion", "article-dense"),
            "--size": (None, 40),
            "--seed": (0, 3),
            "--out": (Path("runs/classifier.safetensors"), Path("c.safetensors")),
        },
    ),
    "train-siamese": (
        f"{RUNNING}.training_commands.train_encoder",
        {
            "--epochs": (15, 4),
            "--data": (None, "drawn"),
            "--start": (None, Path("c.safetensors")),
            "--objective": ("looks", "two-views"),
            "--size": (None, 40),
            "--seed": (0, 3),
            "--out": (Path("runs/encoder.safetensors"), Path("e.safetensors")),
        },
    ),
    "search": (
        f"{RUNNING}.search_command.run_search",
        {
            "--query": (Path("q.png"), Path("q.png")),
            "--top-k": (5, 3),
            "--catalog": (None, "photos"),
            "--weights": (None, Path("e.safetensors")),
            "--look": (None, Path("l.png")),
            "--look-weight": (None, 0.25),
            "--colour": (None, "red"),
            "--pattern": (None, "dots"),
            "--json": (False, True),
            "--show": (True, False),  # the one that is asked for first: no flag is another's
            "--out": (None, Path("r.png")),
        },
    ),
    "embed": (
        f"{RUNNING}.shards.embed_folder",
        {
            "--catalog": (Path("clothes"), Path("clothes")),
            "--out": (Path("made"), Path("made")),
            "--weights": (shipped("encoder_photos"), Path("e.safetensors")),
            "--processes": (1, 3),
        },
    ),
    "export": (
        "fashionlib.export.export_onnx",
        {
            "--weights": (Path("e.safetensors"), Path("e.safetensors")),
            "--out": (Path("e.onnx"), Path("e.onnx")),
        },
    ),
}


def exit_code_of(command: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["fashionlib", command, *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code or 0


@pytest.mark.parametrize("command", WORK)
def test_what_is_asked_for_and_what_is_not_reach_the_work(command, tmp_path, monkeypatch):
    """The first column is what a command does unless it is told otherwise.

    A training, alone, joins the processes that torchrun may have started.
    """
    work, options = WORK[command]
    monkeypatch.chdir(tmp_path)
    given, embedded, inside = [], Embedded(0, 0, 0, ()), []
    monkeypatch.setattr(work, lambda *values: given.append((*values, *inside)) or embedded)

    @contextmanager
    def joined() -> Iterator[None]:
        inside.append("with torchrun's other processes")
        yield
        inside.pop()

    monkeypatch.setattr(processes, "joined", joined)
    Path("e.onnx").touch()  # which would be written
    for column in (0, 1):
        words = []
        for option, values in options.items():
            if isinstance(values[column], bool):
                words += [option] * values[column]
            elif column or values[0] == values[1]:  # it has to be given
                words += [option, str(values[1])]
        assert exit_code_of(command, words, monkeypatch) == 0
        shared = ["with torchrun's other processes"] * command.startswith("train")
        assert given[column] == (*(values[column] for values in options.values()), *shared)


OF_A_TRAINING = {"--epochs": (1, 10**6), "--size": (32, 1024), "--seed": (0, 2**31)}
LIMITS = {
    "train-classifier": OF_A_TRAINING,
    "train-siamese": OF_A_TRAINING,
    "search": {"--top-k": (1, None), "--look-weight": (0, 1)},
    "embed": {"--processes": (1, None)},
}


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command in LIMITS for option in LIMITS[command]]
)
def test_a_number_at_its_limit_is_taken_and_one_beyond_it_is_not(
    command, option, tmp_path, monkeypatch, capsys
):
    work, options = WORK[command]
    monkeypatch.chdir(tmp_path)
    given, embedded = [], Embedded(0, 0, 0, ())
    monkeypatch.setattr(work, lambda *values: given.append(values) or embedded)
    needed = [word for name, values in options.items() if values[0] == values[1]
              for word in (name, str(values[1]))]  # fmt: skip
    for limit, step in zip(LIMITS[command][option], (-1, 1), strict=True):
        if limit is not None:
            assert exit_code_of(command, [*needed, option, str(limit)], monkeypatch) == 0
            assert given.pop()[list(options).index(option)] == limit
            assert exit_code_of(command, [*needed, option, str(limit + step)], monkeypatch) == 2
            assert not given
            assert option in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train-classifier", "--epochs", "many"]])
def test_help_and_a_mistyped_option_do_not_wait_for_torch(arguments):
    code = (
        "import sys\nfrom fashionlib.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments],
                          check=True, capture_output=True, text=True)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"


def test_train_classifier_on_a_folder(folder, tmp_path):
    done = fashionlib(*SHORT, "--data", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"validation +\d+\.\d% \(\d+ of \d+, \d", done.stdout)
    assert re.search(r"test +\d+\.\d% \(\d+ of \d+, \d", done.stdout)
    model, metadata = load_classifier(tmp_path / "runs" / "classifier.safetensors")
    assert metadata["classes"] == ["hat", "pants", "t-shirt"]
    assert metadata["recipe"]["epochs"] == 2
    assert metadata["preprocessing"]["size"] >= 32
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["classifier.safetensors"]


def test_train_classifier_shows_progress(folder, tmp_path):
    done = fashionlib(*SHORT, "--data", folder, cwd=tmp_path, TQDM_DISABLE="")
    assert "training: 100%" in done.stderr
    assert "validation_accuracy=" in done.stderr


def test_interrupted_then_resumed_is_as_uninterrupted(folder, tmp_path):
    """Kill it once an epoch is saved, give the same command again, compare every byte."""
    command = [*SHORT, "--epochs", "6", "--data", folder, "--out"]
    whole = fashionlib(*command, "whole.safetensors", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    arguments = [*map(str, command), "cut.safetensors"]
    process = subprocess.Popen([sys.executable, "-m", "fashionlib", *arguments], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    checkpoint = tmp_path / "cut.checkpoint.safetensors"
    until = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoint.exists()
    assert not (tmp_path / "cut.safetensors").exists(), "it finished before it was killed"
    resumed = fashionlib(*command, "cut.safetensors", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    files = [tmp_path / name for name in ("whole.safetensors", "cut.safetensors")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not checkpoint.exists()


def heed_interrupts() -> None:
    """A shell's background job, as CI may be, ignores Ctrl-C and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_says_how_to_go_on(folder, tmp_path):
    command = [sys.executable, "-m", "fashionlib", *SHORT, "--epochs", "500", "--data", str(folder)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               preexec_fn=heed_interrupts)  # fmt: skip  # noqa: PLW1509
    checkpoint = tmp_path / "runs" / "classifier.checkpoint.safetensors"
    until = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert load_file(checkpoint)


def test_train_siamese_starts_from_the_classifier(folder, tmp_path):
    assert fashionlib(*SHORT, "--data", folder, cwd=tmp_path).returncode == 0
    command = ["train-siamese", "--epochs", "2", "--size", "32", "--data", folder]
    done = fashionlib(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "starting from the backbone in runs/classifier.safetensors" in done.stdout
    assert re.search(r"validation precision@5 +\d\.\d{3}", done.stdout)
    encoder, metadata = load_encoder(tmp_path / "runs" / "encoder.safetensors")
    assert metadata["plan"]["stem"] == 16  # the classifier's plan, "article"
    assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, 64)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "classifier.safetensors",
        "encoder.safetensors",
    ]


def test_train_siamese_without_a_classifier_says_so(folder, tmp_path):
    command = ["train-siamese", "--epochs", "1", "--size", "32", "--data", folder]
    done = fashionlib(*command, "--objective", "random", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "from scratch" in done.stdout


def test_train_siamese_from_an_encoder_is_a_mistake(folder, tmp_path):
    save_encoder(tmp_path / "e.safetensors", build_encoder("article"))
    done = fashionlib("train-siamese", "--start", "e.safetensors", "--data", folder, cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no classifier" in done.stderr
    assert done.stderr.count("\n") == 1


MISTAKES = {
    "missing folder": (["train-classifier", "--data", "nowhere"], "nowhere does not exist"),
    "not a number": (["train-classifier", "--epochs", "many"], "epochs"),
    "unknown option": (["train-classifier", "--epoch", "3"], "--epoch"),
    "unknown command": (["train"], "train"),
    "unknown objective": (["train-siamese", "--objective", "hope"], "hope"),
    "no start": (["train-siamese", "--start", "x.safetensors"], "no file x.safetensors"),
    "unknown plan": (["train-classifier", "--plan", "vgg"], "vgg"),
    "obeyed by terminals": (["export", "--weights", "a\x1b[2K\n", "--out", "x.onnx"], "a?[2K?:"),
    "export of nothing": (["export", "--weights", "x", "--out", "x.onnx"], "no file x"),
    "export to a wrong suffix": (["export", "--weights", "x", "--out", "x.onnx.pt"], "end it in"),
    "wrong suffix": (["train-classifier", "--out", "x.safetensors.pt"], "so end it in that"),
    "weights that are a folder": (["train-siamese", "--out", "f.safetensors"], "is a folder"),
    "weights below a file": (["train-siamese", "--out", "q.png/x.safetensors"], "is no folder"),
    "export to a folder": (["export", "--weights", "x", "--out", "f.onnx"], "is a folder"),
    "embeddings below a file": (["embed", "--catalog", ".", "--out", "q.png"], "is no folder"),
    "drawn to a folder": (["search", "--query", "q.png", "--out", "f.png"], "is a folder"),
    "too many to draw": (["search", "--query", "q.png", "--top-k", "60", "--out", "x.png"], "50"),
    "a seed of 19 digits": (["train-classifier", "--seed", "1234567890123456789"], "--seed"),
    "epochs beyond sense": (["train-classifier", "--epochs", "9" * 400], "epochs"),
    "empty data": (["train-classifier", "--data", ""], "--data is empty: give it a value."),
    "empty start": (["train-siamese", "--start="], "--start is empty: give it a value."),
    "empty out": (["embed", "--catalog", "f.png", "--out", ""], "--out is empty"),
    "empty weights": (["export", "--weights", "", "--out", "x.onnx"], "--weights is empty"),
    "export over weights": (["export", "--weights", "w.onnx", "--out", "w.onnx"], "is read for"),
    "export to a pipe": (["export", "--weights", "x", "--out", "pipe.onnx"], "could not write"),
    "too long a name": (["search", "--query", "q" * 300], "File name too long"),
    "too long a folder": (["train-classifier", "--data", "d" * 300], "File name too long"),
    "too long weights": (["export", "--weights", "w" * 300, "--out", "x.onnx"], "File name too"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(name, tmp_path, monkeypatch, capsys):
    """And is told before anything is loaded, let alone trained or searched."""
    arguments, word = MISTAKES[name]

    def load(data: str | None, **_: bool) -> Catalog:
        return pytest.fail("it began") if data in (None, "drawn") else load_catalog(data)

    for module in (training_commands, search_command):
        monkeypatch.setattr(module, "load_catalog", load)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fashionlib", *arguments])
    Image.new("RGB", (9, 9)).save(tmp_path / "q.png")
    (tmp_path / "w.onnx").touch()
    os.mkfifo(tmp_path / "pipe.onnx")
    for folder in ("f.safetensors", "f.onnx", "f.png"):
        (tmp_path / folder).mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert said.startswith("fashionlib: ")
    assert said.count("\n") == 1
    assert word in said
    assert sorted(tmp_path.rglob("*")) == before


def test_what_typer_complains_of_moves_no_cursor(monkeypatch, capsys):
    """It repeats what was typed; only newer ones show how that was written."""

    def complain(**_: bool) -> None:
        raise typer.BadParameter("no option --\x1b[2K\nhelp")

    monkeypatch.setattr(cli, "app", complain)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "fashionlib: Invalid value: no option --?[2K?help\n"


def test_outputs_that_are_closed_or_full(tmp_path):
    """One line at most, no traceback, and nothing of one output in the other."""
    shell = f"{sys.executable} -m fashionlib"
    mistake = f"{shell} train-classifier --out x.pt"  # which is told before torch is loaded
    for command, code in (
        (f"{shell} --help > /dev/full", 2),
        (f"{shell} --help >&-", 0),
        (f"{mistake} 2>&-", 2),
        (f"{mistake} >&- 2>&-", 2),
        (f"{mistake} 2> /dev/full", 2),
        (f"{mistake} 2> >(true)", 2),
        (f"{shell} mistyped 2> /dev/full", 2),
    ):
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == code, (command, done)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
        assert done.stderr.count("\n") <= 1
        assert not done.stdout


def test_an_answer_that_finds_no_room_is_told_before_python_ends(monkeypatch, capsys):
    """Python itself would say so in two lines, after all of ours."""
    monkeypatch.setattr(cli, "main", lambda: print("an answer"))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "fashionlib: No space left on device.\n"


def test_a_note_that_finds_no_room_is_dropped_at_once():
    """Else closing the stream, as Python does when it ends, would fail."""
    with open("/dev/full", "w") as full:
        assert Notes(full).write("a note\n") == 7


def test_who_has_seen_enough_of_an_answer_may_close_it(monkeypatch, capsys):
    """As `| head` does: no word of it, and the exit code of whom the shell's SIGPIPE ended."""
    monkeypatch.setattr(cli, "main", lambda: print("an answer"))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 128 + signal.SIGPIPE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("make", [torch.ones, np.ones, bytes])
def test_too_little_memory_is_one_line(make, monkeypatch, capsys):
    """As PyTorch says it, as NumPy does, and as Python, which says nothing."""
    monkeypatch.setattr(training_commands, "train_classifier", lambda *_: make(10**15))
    monkeypatch.setattr(sys, "argv", ["fashionlib", "train-classifier"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("fashionlib: too little memory")
    assert "smaller --size" in said
    assert said.count("\n") == 1


def test_ctrl_c_while_the_library_loads(tmp_path):
    arguments = ["-m", "fashionlib", "search", "--query", "none.png"]
    command = [sys.executable, "-X", "importtime", *arguments]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               preexec_fn=heed_interrupts)  # fmt: skip  # noqa: PLW1509
    said = ""
    while "torch._C" not in said:  # in the middle of it
        said = process.stderr.readline()
        assert said, "torch was not loaded"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.rstrip().endswith("stopped")


def test_one_class_only(folder, tmp_path):
    lone = tmp_path / "lone"
    lone.mkdir()
    (lone / "hat").symlink_to(folder / "hat")
    real = tmp_path / "real" / "hat"
    real.mkdir(parents=True)
    for path in list((folder / "hat").iterdir())[:3]:
        (real / path.name).write_bytes(path.read_bytes())
    done = fashionlib("train-classifier", "--data", tmp_path / "real", cwd=tmp_path)
    assert done.returncode == 2
    assert "only the class 'hat'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_arguments_shows_help(tmp_path):
    done = fashionlib(cwd=tmp_path)
    assert "train-classifier" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "a-file").write_text("in the way")
    done = fashionlib(*SHORT, "--data", folder, "--out", "a-file/x.safetensors", cwd=tmp_path)
    assert done.returncode == 2
    assert "could not write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "a-file").read_text() == "in the way"


def test_an_exported_file_is_told_in_millions_of_bytes(tmp_path, monkeypatch, capsys):
    write = lambda _, out: out.write_bytes(bytes(2_000_000))  # noqa: E731
    monkeypatch.setattr("fashionlib.export.export_onnx", write)
    cli.export(Path("e.safetensors"), tmp_path / "\x1be.onnx")
    assert capsys.readouterr().out == f"saved {tmp_path / '?e.onnx'}, 2.0 MB\n"


def test_export(tmp_path):
    save_encoder(tmp_path / "e.safetensors", build_encoder("article"))
    done = fashionlib("export", "--weights", "e.safetensors", "--out", "e.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "saved e.onnx" in done.stdout
    run, metadata = load_onnx(tmp_path / "e.onnx")
    assert metadata["kind"] == "encoder"
    assert run(torch.zeros(2, 3, 50, 40, dtype=torch.uint8)).shape == (2, 64)
