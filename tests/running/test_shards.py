"""Shards hold what `build_index` gives, whatever happens on the way."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, redirect_stderr, redirect_stdout, suppress
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from complaints import complaint
from PIL import Image
from tiny import tiny_encoder

from fashionlib import cli
from fashionlib.catalog.pictures import PREPROCESSING
from fashionlib.drawn import drawn_pictures
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.running import shards
from fashionlib.running.folder_index import folder_source, picture_files
from fashionlib.running.shards import embed_folder, index_from_shards, shard_path
from fashionlib.search import build_index
from fashionlib.weights import (
    load_encoder,
    load_tensors,
    save_classifier,
    save_encoder,
    save_tensors,
    weights_hash,
)

# in order of the paths, which is not the order of the folders
NAMES = ["a-b/1.png", "a.png", "a/2.JPG", "a/b/3.png", "a/b.png", "a0.png", "é/4.webp"]


def picture(seed: int) -> Image.Image:
    images, _ = drawn_pictures(1, seed, 32)
    return Image.fromarray(np.moveaxis(images[0], 0, -1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "encoder.safetensors", 0)


def save_weights(path: Path, seed: int, size: int = 32) -> Path:
    save_encoder(path, tiny_encoder(seed, size))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Seven pictures, one broken file, and what is no picture."""
    root = tmp_path / "clothes"
    for seed, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(root / name)
    (root / "a" / "torn.png").write_text("not a picture")
    (root / "notes.txt").write_text("not a picture either")
    for hidden in (".hidden.png", ".hidden/5.png"):
        (root / hidden).parent.mkdir(exist_ok=True)
        picture(9).save(root / hidden)
    return root


@pytest.fixture
def in_threads(monkeypatch) -> None:
    """Starting processes takes seconds. What they are asked to do is the same."""
    pool = lambda workers, *_: ThreadPoolExecutor(workers)  # noqa: E731
    monkeypatch.setattr(shards, "ProcessPoolExecutor", pool)


def expected(root: Path, weights: Path):
    """The index of the pictures that can be read, by the functions that know no shards."""
    encoder, _ = load_encoder(weights)
    source = folder_source(root)
    names = [name for name in source.stamps if not name.endswith("torn.png")]
    images = torch.stack([source.read(name) for name in names])
    return build_index(encoder, images, names), encoder


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def check(root: Path, out: Path, weights: Path) -> None:
    """Each picture is there once, with the embedding of `build_index`."""
    wanted, encoder = expected(root, weights)
    index = index_from_shards(out, encoder)
    assert index.ids == wanted.ids
    assert index.made_by == wanted.made_by
    assert torch.allclose(index.embeddings, wanted.embeddings, atol=1e-6)


@pytest.mark.parametrize("processes", [1, 2])
def test_embeddings_are_those_of_build_index(folder, weights, tmp_path, processes):
    embedded = embed_folder(folder, tmp_path / "out", weights, processes, shard_size=3)
    check(folder, tmp_path / "out", weights)
    assert (embedded.pictures, embedded.fresh, embedded.shards) == (7, 7, 3)
    assert len(embedded.skipped) == 1
    assert embedded.skipped[0].startswith("a/torn.png is not a picture")
    names = sorted(contents(tmp_path / "out"))
    assert names == ["contents.json", *(shard_path(Path(), n).name for n in range(3))]


def test_the_folder_is_gone_through_as_folder_source_does(folder):
    (folder / "link").symlink_to(folder / "a")
    (folder / "link.png").symlink_to(folder / "a")
    (folder / "nowhere.png").symlink_to(folder / "nothing.png")
    found = list(picture_files(folder))
    assert dict(found) == folder_source(folder).stamps
    assert [name for name, _ in found] == list(folder_source(folder).stamps)


def test_only_what_changed_is_embedded_again(folder, weights, tmp_path, in_threads):
    """Shards of three: a-b/1 a.png a/2 | a/b.png a/b/3 a/torn | a0 é/4."""
    out = tmp_path / "out"

    def embed() -> tuple[int, int, int]:
        embedded = embed_folder(folder, out, weights, shard_size=3)
        check(folder, out, weights)
        return embedded.pictures, embedded.fresh, embedded.shards

    assert embed() == (7, 7, 3)
    whole = contents(out)
    assert embed() == (7, 0, 3)
    assert contents(out) == whole
    picture(20).save(folder / "a" / "b.png")
    assert embed() == (7, 2, 3)  # a/torn.png is tried again, and is still broken
    picture(21).save(folder / "b.png")
    picture(22).save(folder / "c.png")
    assert embed() == (9, 4, 4)
    for name in ("a.png", "a0.png", "b.png", "c.png"):
        (folder / name).unlink()
    assert embed() == (5, 5, 2)
    assert max(contents(out)) == "shard-000001.safetensors"


def test_skipped_pictures_are_named_in_their_order(folder, weights, tmp_path, in_threads):
    """Also where the first shard is made anew, while the others are there already."""
    (folder / "a-a.png").write_text("not a picture")
    for seed in (1, 20):
        picture(seed).save(folder / "a-b" / "1.png")
        embedded = embed_folder(folder, tmp_path / "out", weights, 2, shard_size=3)
        assert [line.split()[0] for line in embedded.skipped] == ["a-a.png", "a/torn.png"]
    assert embedded.fresh == 2


def test_shards_below_the_pictures_are_none_of_them(folder, weights, in_threads):
    """Else the second run would call the first one's shards broken, and never come to an end."""
    out = folder / "a-b" / "out"
    assert embed_folder(folder, out, weights, shard_size=3).pictures == 7
    again = embed_folder(folder, out, weights, shard_size=3)
    assert (again.pictures, again.fresh) == (7, 0)
    assert not [reason for reason in again.skipped if "out/" in reason]


def test_a_shard_of_broken_pictures_alone_does_not_spoil_the_index(
    folder, weights, tmp_path, in_threads
):
    embed_folder(folder, tmp_path / "out", weights, shard_size=1)
    check(folder, tmp_path / "out", weights)


def test_a_picture_that_could_not_be_read_for_a_while_is_embedded_later(
    folder, weights, tmp_path, in_threads
):
    """A disk was away, say: size and times of the picture are what they were."""
    out, read = tmp_path / "out", shards.read_file

    def away(root: Path, name: str) -> torch.Tensor:
        if name == "a.png":
            raise FashionError("a.png cannot be read.")
        return read(root, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "read_file", away)
        assert embed_folder(folder, out, weights, shard_size=3).pictures == 6
    assert embed_folder(folder, out, weights, shard_size=3).fresh == 3
    check(folder, out, weights)


def test_the_progress_that_is_shown_counts_every_picture(
    folder, weights, tmp_path, in_threads, monkeypatch
):
    """Also those that are broken, and those that are there already."""
    steps = []
    bar = lambda *_: nullcontext(SimpleNamespace(update=steps.append))  # noqa: E731
    monkeypatch.setattr(shards, "progress_bar", bar)
    for _ in range(2):
        embed_folder(folder, tmp_path / "out", weights, shard_size=3)
    assert steps == [3, 3, 2] * 2


def leave_behind(path: Path) -> None:
    """What a process leaves beside a file that is killed while it writes it."""
    code = (
        "import os, sys; from fashionlib.files import replacing\n"
        "with replacing(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert list(path.parent.glob(f".{path.name}.*"))


def test_damaged_and_half_written_shards_are_made_again(folder, weights, tmp_path, in_threads):
    out = tmp_path / "out"
    embed_folder(folder, out, weights, shard_size=3)
    whole = contents(out)
    torn = shard_path(out, 1)
    torn.write_bytes(torn.read_bytes()[:-10])
    shard_path(out, 2).unlink()
    for number in (0, 2):  # one that is kept, and one that is written again
        leave_behind(shard_path(out, number))
    mine = {"shards of mine.txt": b"1", "shard-precious.safetensors": b"2",
            "shard-000007 of mine.safetensors": b"3", "shard-7.safetensors": b"4"}  # fmt: skip
    for name, content in mine.items():
        (out / name).write_bytes(content)
    shutil.copy(out / "shard-000000.safetensors", out / "shard-000009.safetensors")
    (out / "contents.json").unlink()
    assert embed_folder(folder, out, weights, shard_size=3).fresh == 4
    assert contents(out) == whole | mine
    (out / "shard-000007.safetensors").mkdir()
    assert embed_folder(folder, out, weights, shard_size=3).fresh == 0


SPOILED = {
    "no ids": lambda rows, about: ({"embeddings": rows}, about | {"ids": []}),
    "null": lambda rows, about: ({"embeddings": rows}, about | {"ids": None}),
    "a text": lambda rows, about: ({"embeddings": rows}, about | {"ids": "abc"}),
    "numbers": lambda rows, about: ({"embeddings": rows}, about | {"ids": [1, 2, 3]}),
    "missing": lambda rows, about: ({}, about),
    "a row less": lambda rows, about: ({"embeddings": rows[1:]}, about),
    "another kind": lambda rows, about: ({"embeddings": rows.half()}, about),
    "not finite": lambda rows, about: ({"embeddings": rows / 0}, about),
    "skipped no list": lambda rows, about: ({"embeddings": rows}, about | {"skipped": 5}),
    "of another length": lambda rows, about: ({"embeddings": rows[:, :5].clone()}, about),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_shard_that_makes_no_index_is_named_and_made_again(
    folder, weights, tmp_path, in_threads, spoil
):
    """It was taken for right for ever, or its pictures were missing without a word."""
    out, path = tmp_path / "out", shard_path(tmp_path / "out", 0)
    embed_folder(folder, out, weights, shard_size=3)
    tensors, metadata = load_tensors(path)
    save_tensors(path, *SPOILED[spoil](tensors["embeddings"], metadata))
    named = (out,) if spoil in ("skipped no list", "of another length") else (path, "damaged")
    complaint(lambda: index_from_shards(out, load_encoder(weights)[0]), *named)
    assert embed_folder(folder, out, weights, shard_size=3).fresh == 3
    check(folder, out, weights)


@pytest.mark.parametrize(
    "written",
    [
        '{"shards": 2, "pictures": 7}', '{"shards": 1, "pictures": 3}', '{"pictures": 7}',
        '{"shards": 3, "pictures": 6}', '{"shards": 0, "pictures": 0}', '{"shards": 3}',
        '{"shards": -1, "pictures": 7}', '{"shards": 2.7, "pictures": 7}', "[3, 7]", "{",
    ],
)  # fmt: skip
def test_contents_that_do_not_fit_the_shards(folder, weights, tmp_path, in_threads, written):
    """One flipped bit of the number of shards: some of the catalog was never found."""
    out, encoder = tmp_path / "out", load_encoder(weights)[0]
    embed_folder(folder, out, weights, shard_size=3)
    (out / "contents.json").write_text(written)
    complaint(lambda: index_from_shards(out, encoder), out / "contents.json")
    assert embed_folder(folder, out, weights, shard_size=3).fresh == 0
    check(folder, out, weights)


def test_embeddings_of_different_lengths_are_no_index(folder, weights, tmp_path, in_threads):
    out, path = tmp_path / "out", shard_path(tmp_path / "out", 0)
    embed_folder(folder, out, weights, shard_size=3)
    tensors, metadata = load_tensors(path)
    save_tensors(path, {"embeddings": tensors["embeddings"][:, :5].clone()}, metadata)
    complaint(lambda: index_from_shards(out, load_encoder(weights)[0]), out, "damaged")


def test_shards_of_other_weights_or_pictures_are_left_alone(folder, weights, tmp_path, in_threads):
    out = tmp_path / "out"
    embed_folder(folder, out, weights, shard_size=3)
    whole = contents(out)
    other = save_weights(tmp_path / "other.safetensors", 1)
    complaint(lambda: embed_folder(folder, out, other, shard_size=3), out, "other weights")
    folder.rename(tmp_path / "others")
    moved = tmp_path / "others"
    complaint(lambda: embed_folder(moved, out, weights, shard_size=3), out, "other pictures")
    assert contents(out) == whole
    complaint(lambda: index_from_shards(out, load_encoder(other)[0]), "other weights")


def test_shards_know_their_folder_by_any_path(folder, weights, tmp_path, in_threads, monkeypatch):
    """And another one, which has the same name in another place, for another."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    folder = folder.rename(os.fsdecode(bytes(folder) + b"\xef"))  # a name that is no UTF-8
    embed_folder(folder, out, weights)
    monkeypatch.chdir(folder.parent)
    assert embed_folder(Path(folder.name), out, weights).fresh == 0
    shutil.copytree(folder, elsewhere / folder.name)
    monkeypatch.chdir(elsewhere)
    complaint(lambda: embed_folder(Path(folder.name), out, weights), out, "other pictures")


def test_shards_of_the_same_weights_at_another_size_are_left_alone(
    folder, weights, tmp_path, in_threads
):
    out = tmp_path / "out"
    embed_folder(folder, out, weights, shard_size=3)
    whole = contents(out)
    larger = save_weights(tmp_path / "larger.safetensors", 0, 40)
    words = "other weights, or of another picture size", "name another folder, or delete it"
    complaint(lambda: embed_folder(folder, out, larger, shard_size=3), out, *words)
    encoder = load_encoder(larger)[0]
    complaint(lambda: index_from_shards(out, encoder), "at another picture size", "embed")
    assert contents(out) == whole
    check(folder, out, weights)


@pytest.mark.parametrize("size", [32, 40])
def test_shards_that_knew_weights_and_size_apart_are_refused(
    folder, weights, tmp_path, in_threads, size
):
    """As f519cf9 wrote them, with `made_with`: in one line, and nothing is changed."""
    out, encoder = tmp_path / "out", load_encoder(weights)[0]
    embed_folder(folder, out, weights, shard_size=3)
    made_with = {"made_by": weights_hash(encoder), "size": size, "preprocessing": PREPROCESSING}
    for number in range(3):
        tensors, metadata = load_tensors(shard_path(out, number))
        del metadata["made_by"]
        save_tensors(shard_path(out, number), tensors, metadata | {"made_with": made_with})
    whole = contents(out)
    complaint(lambda: embed_folder(folder, out, weights, shard_size=3), out, "delete it")
    complaint(lambda: index_from_shards(out, encoder), "embed the folder again")
    assert contents(out) == whole


def test_no_index_of_half_a_catalog(folder, weights, tmp_path, in_threads):
    out, encoder = tmp_path / "out", load_encoder(weights)[0]
    complaint(lambda: index_from_shards(out, encoder), out, "no complete embeddings")
    embed_folder(folder, out, weights, shard_size=3)
    picture(30).save(folder / "a.png")

    def killed(shard: shards.Shard):
        raise RuntimeError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_make", killed)
        with pytest.raises(RuntimeError):
            embed_folder(folder, out, weights, shard_size=3)
    complaint(lambda: index_from_shards(out, encoder), out, "no complete embeddings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_file", lambda path: True)  # until a run beside this one began
        complaint(lambda: index_from_shards(out, encoder), out, "no complete embeddings")
    embed_folder(folder, out, weights, shard_size=3)
    shutil.copy(shard_path(out, 0), shard_path(out, 3))  # a run beside this one is at it
    complaint(lambda: index_from_shards(out, encoder), "does not fit the shards")
    shard_path(out, 3).unlink()
    shard_path(out, 1).unlink()
    complaint(lambda: index_from_shards(out, encoder), shard_path(out, 1))


def test_shards_that_a_run_replaces_under_way_make_no_index(
    folder, weights, tmp_path, in_threads, monkeypatch
):
    """As many pictures as before: one was gone, and another was there, in none of the shards."""
    out, encoder, load = tmp_path / "out", load_encoder(weights)[0], load_tensors
    embed_folder(folder, out, weights, shard_size=3)

    def overtaken(path: Path) -> tuple:
        found = load(path)
        if path == shard_path(out, 0) and (folder / "a.png").exists():
            (folder / "a.png").unlink()
            picture(31).save(folder / "é" / "z.png")
            embed_folder(folder, out, weights, shard_size=3)
        return found

    monkeypatch.setattr(shards, "load_tensors", overtaken)
    complaint(lambda: index_from_shards(out, encoder), out / "contents.json", "does not fit")
    check(folder, out, weights)


def test_weights_that_change_under_way_are_noticed(folder, weights, tmp_path, in_threads):
    path = save_weights(tmp_path / "mine.safetensors", 0)
    load = shards.load_encoder

    def changes(path: Path):
        loaded = load(path)
        save_weights(path, 7)
        return loaded

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "load_encoder", changes)
        complaint(lambda: embed_folder(folder, tmp_path / "out", path), path, "changed")


# Memory


@pytest.mark.parametrize("processes", [1, 2])
def test_shards_are_taken_as_they_are_needed(
    folder, weights, tmp_path, in_threads, monkeypatch, processes
):
    """However long the catalog is, the parent has a few shards in hand."""
    taken, done = [], []
    cut, made = shards._cut, shards._made

    def counting(files, size):
        for part in cut(files, size):
            taken.append(part)
            yield part

    def watching(shards, processes):
        for result in made(shards, processes):
            done.append(len(taken) - len(done))
            yield result

    monkeypatch.setattr(shards, "_cut", counting)
    monkeypatch.setattr(shards, "_made", watching)
    embed_folder(folder, tmp_path / "out", weights, processes, shard_size=1)
    assert len(done) == len(taken) == 8
    assert max(done) <= processes + 2  # those at work, one in the queue, one about to join it
    done.clear(), taken.clear()
    embed_folder(folder, tmp_path / "out", weights, processes, shard_size=1)
    assert max(done) == 1


def test_workers_share_the_threads_of_the_machine(folder, weights, tmp_path, monkeypatch):
    """Of eight, say; each has one at least."""
    asked = []

    def pool(workers: int, _: object, __: object, given: tuple) -> ThreadPoolExecutor:
        asked.append((workers, given[0]))
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(shards, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for processes in (2, 3, 20):
        embed_folder(folder, tmp_path / "out", weights, processes)
    assert asked == [(2, 4), (3, 2), (20, 1)]


def test_a_folder_is_listed_when_its_turn_comes(folder, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    files = picture_files(folder)
    next(files)
    assert listed == [folder / "", folder / "a-b"]


# Killed: an unfinished pipe with the name of a picture stops a worker in the middle of a shard


@pytest.fixture
def many(tmp_path) -> Path:
    """1,300 pictures, which are six shards of the command."""
    root = tmp_path / "many"
    root.mkdir()
    for number in range(1_300):
        colour = (number % 256, number // 8, 255 - number % 200)
        Image.new("RGB", (16, 16), colour).save(root / f"{number:04d}.png")
    return root


def wait_for(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_killed_in_the_middle_of_a_shard_it_goes_on(many, weights, tmp_path, monkeypatch):
    """In two processes, and then in one."""
    out = tmp_path / "out"
    options = ["--catalog", "many", "--out", "out", "--weights", weights]
    command = [sys.executable, "-m", "fashionlib", "embed", *options, "--processes", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)  # fmt: skip
    wait_for(shard_path(out, 0))
    process.kill()
    process.communicate(timeout=60)  # returns once all have let go of the pipe: the workers too
    assert process.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    assert 1 <= len(kept) < 6
    assert not (out / "contents.json").exists()
    monkeypatch.chdir(tmp_path)
    code, said, complaints = run(*options)
    assert code in (0, None), complaints
    fresh = 1_300 - sum(len(load_tensors(path)[1]["ids"]) for path in kept)
    assert f"1,300 pictures in 6 shards in out, {fresh:,} of them embedded now" in said
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    check(many, out, weights)
    other = tmp_path / "uninterrupted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(n))
        embed_folder(many, other, weights)
    assert list(contents(out)) == list(contents(other))
    indexes = [index_from_shards(place, load_encoder(weights)[0]) for place in (out, other)]
    assert indexes[0].ids == indexes[1].ids


def test_a_worker_that_is_killed_is_a_mistake_that_can_be_mended(many, weights, tmp_path):
    with ThreadPoolExecutor() as pool:
        run = pool.submit(embed_folder, many, tmp_path / "out", weights, 2, shard_size=4)
        wait_for(shard_path(tmp_path / "out", 0))
        for worker in active_children():
            worker.kill()
        complaint(run.result, "a worker process was killed", "the same command goes on")
    assert not (tmp_path / "out" / "contents.json").exists()


def test_ctrl_c_while_the_workers_start_is_one_line(many, weights, tmp_path):
    """Each of them printed a traceback while it imported torch."""
    options = {"--catalog": many, "--out": tmp_path / "out", "--weights": weights, "--processes": 2}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "fashionlib", "embed", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, start_new_session=True,
                               preexec_fn=heed_interrupts)  # fmt: skip  # noqa: PLW1509
    children, loading = Path(f"/proc/{process.pid}/task/{process.pid}/children"), False
    while not loading:
        for child in children.read_text().split():
            with suppress(OSError):  # some end
                a_worker = "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
                loading |= a_worker and "/torch/" in Path(f"/proc/{child}/maps").read_text()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (130, "\nstopped; the same command goes on\n")


def heed_interrupts() -> None:
    """A shell's background job ignores Ctrl-C and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


SCRIPT = """
import sys
from pathlib import Path
from fashionlib.running.shards import embed_folder

print(embed_folder(*map(Path, sys.argv[1:4]), int(sys.argv[4])).fresh)
"""


def test_a_script_without_a_guard_is_told_so_and_needs_none_for_one_process(
    folder, weights, tmp_path
):
    """It said that a worker was killed, perhaps for want of memory."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for processes, code in ((2, 1), (1, 0)):
        command = [sys.executable, script, folder, tmp_path / "out", weights, str(processes)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    assert done.stdout == "7\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_start_worker", os._exit)  # before its first line, as without one
        words = "memory ran out, or", 'if __name__ == "__main__":'  # which of them nobody can tell
        complaint(lambda: embed_folder(folder, tmp_path / "o", weights, 2), *words)


def test_no_processes_and_more_than_there_can_be_are_mistakes(folder, weights, tmp_path):
    """For whoever calls it from Python: the command has a lower limit of its own."""
    for count in (0, -1, 1001):
        complaint(
            lambda count=count: embed_folder(folder, tmp_path / "out", weights, count),
            f"{count} processes: give 1 to 1,000",
        )
    assert not (tmp_path / "out").exists()


# The command line


def run(*arguments: object) -> tuple[int, str, str]:
    """The command in this process: exit code, standard output, standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fashionlib", "embed", *map(str, arguments)])
        with (
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as err,
            pytest.raises(SystemExit) as left,
        ):
            cli.main()
    return left.value.code, out.getvalue(), err.getvalue()


def test_the_command_names_the_broken_pictures_at_the_end(folder, weights, tmp_path, in_threads):
    (folder / "é" / "t\x1born\n.png").write_text("not a picture")
    options = ["--catalog", folder, "--weights", weights, "--out", tmp_path / "o\x1but"]
    for fresh in (7, 0):
        code, out, _ = run(*options, "--processes", 2)
        assert code in (0, None)
        lines = out.splitlines()
        assert lines[0] == f"Weights {weights}: as asked."
        assert lines[1].endswith(f"7 pictures in 1 shards in {tmp_path / 'o?ut'}, "
                                 f"{fresh} of them embedded now")  # fmt: skip
        assert lines[2].startswith("Skipped: a/torn.png is not a picture")
        assert lines[3].startswith("Skipped: é/t?orn?.png is not a picture")
        assert len(lines) == 4


def test_without_weights_it_takes_ones_own(folder, tmp_path, in_threads, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder.rename("drawn")  # a folder of photos, whatever its name
    assert "Weights encoder_photos: shipped" in run("--catalog", "drawn", "--out", "out")[1]
    save_weights(tmp_path / "runs" / "encoder.safetensors", 0)
    assert "runs/encoder.safetensors" in run("--catalog", "drawn", "--out", "mine")[1]


GOOD = {"--catalog": "clothes", "--out": "new", "--weights": "encoder.safetensors"}
MISTAKES = {
    "missing folder": ({"--catalog": "none"}, "none does not exist"),
    "a file": ({"--catalog": "encoder.safetensors"}, "encoder.safetensors is a file"),
    "empty folder": ({"--catalog": "empty"}, "empty has no pictures in it"),
    "broken pictures only": ({"--catalog": "broken"}, "broken has no picture that can be read"),
    "missing weights": ({"--weights": "none.safetensors"}, "no file none.safetensors"),
    "a classifier": ({"--weights": "classifier.safetensors"}, "holds no encoder"),
    "beyond all sense": ({"--processes": "99999999999"}, "99999999999 processes: give 1 to 1,000"),
    "no processes": ({"--processes": "0"}, "--processes"),
    "out is a file": ({"--out": "encoder.safetensors"}, "could not write encoder.safetensors"),
    "other weights": ({"--out": "old"}, "old holds embeddings of other weights"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_one_line_and_exit_code_2(
    name, folder, weights, tmp_path, in_threads, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    save_weights(tmp_path / "encoder.safetensors", 0)
    save_classifier(tmp_path / "classifier.safetensors", build_classifier("article"), "abcdefg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_text("not a picture")
    embed_folder(folder, tmp_path / "old", save_weights(tmp_path / "other.safetensors", 1))
    before = contents(tmp_path / "old")
    change, words = MISTAKES[name]
    code, _, err = run(*(text for option in (GOOD | change).items() for text in option))
    assert code == 2
    assert err.startswith("fashionlib: ")
    assert err.count("\n") == 1
    assert words in err
    assert contents(tmp_path / "old") == before


def test_contents_are_what_they_say(folder, weights, tmp_path, in_threads):
    embed_folder(folder, tmp_path / "out", weights, shard_size=3)
    written = json.loads((tmp_path / "out" / "contents.json").read_text())
    assert {key: written[key] for key in ("pictures", "shards")} == {"pictures": 7, "shards": 3}
    assert re.fullmatch("[0-9a-f]{64}", written["digest"])
