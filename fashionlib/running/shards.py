"""Embedding a folder of any size: several processes, many small files, going on after a stop.

The folder is gone through in the order of its names and cut into shards. A worker process takes a
whole shard, decodes its pictures, embeds them in batches and writes one file. A file is whole or
not there, and remembers which pictures it was made from and by which weights. So a run that was
killed loses only the shards it was at, and the next one makes just those that are missing or no
longer right. Memory holds a few shards and the names in one folder, never the catalog.
"""

import hashlib
import json
import os
import re
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any

import torch
from torch import nn

from fashionlib.catalog.pictures import is_readable
from fashionlib.errors import FashionError
from fashionlib.files import remove_abandoned, replacing, taking_apart, texts
from fashionlib.inference import pick_device
from fashionlib.running.folder_index import embed_named, picture_files, read_file, sorted_out
from fashionlib.search import SIDE, SearchIndex, index_from
from fashionlib.settings import progress_bar
from fashionlib.weights import dimensions_of, fingerprint, load_encoder, load_tensors, save_tensors

SHARD = 256  # pictures a file: what a killed run loses, for each of its processes
CONTENTS = "contents.json"  # written last, so where it is the shards are complete
MOST = 1_000  # processes: each has PyTorch in its memory

Files = list[tuple[str, list[int]]]  # names, and numbers that change when the picture does


@dataclass(frozen=True)
class Embedded:
    """What is in the shards of a folder."""

    pictures: int  # with an embedding
    fresh: int  # of these, embedded in this run
    shards: int
    skipped: tuple[str, ...]  # one line for each that cannot be read, beginning with its name


@dataclass(frozen=True)
class Shard:
    """A part of a folder that becomes one file."""

    path: Path  # of the file
    files: Files
    root: Path
    weights: Path
    made_by: str  # fingerprint of the encoder
    dimensions: int  # of its embeddings

    def describe(self) -> dict[str, Any]:
        """What the file has to say about itself to be the right one."""
        return {
            "kind": "shard",
            "folder": str(self.root.resolve()),
            "made_by": self.made_by,
            "files": hashlib.sha256(json.dumps(self.files).encode()).hexdigest(),
        }


def shard_path(out: Path, number: int) -> Path:
    """Where a shard goes: `shard-000012.safetensors`."""
    return out / f"shard-{number:06d}.safetensors"


def _digest(about: Any) -> str:
    """Of shards' metadata, by which `CONTENTS` knows them again."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def embed_folder(
    root: Path, out: Path, weights: Path, processes: int = 1, shard_size: int = SHARD
) -> Embedded:
    """Embed every picture below `root` with a saved encoder, into shards in the folder `out`.

    A shard holds `embeddings` float32 [N, D] and, in its metadata, as many `ids`, the names
    relative to `root`. Broken pictures are skipped. What earlier runs of the same folder and
    weights left in `out` is kept as far as it is right: where pictures were changed (their size or
    time), their shards are made anew; where some were added or removed, all shards from there on,
    up to the end of the folder.

    Raises:
        FashionError: no such folder, no pictures that can be read, no such weights, `out` holds
            shards of other weights or of another folder or cannot be written, a worker was
            killed, or so many processes cannot be.
    """
    if not 1 <= processes <= MOST:
        raise FashionError(f"{processes} processes: give 1 to {MOST:,}.")
    encoder, _ = load_encoder(weights)
    made_by = root, weights, fingerprint(encoder), dimensions_of(encoder)
    parts = enumerate(_cut(picture_files(root), shard_size))
    shards = (Shard(shard_path(out, n), files, *made_by) for n, files in parts)
    pictures = fresh = 0
    skipped: dict[Path, list[str]] = {}
    digests: dict[Path, str] = {}
    with progress_bar(None, "embedding", "picture") as bar:
        for shard, found, is_fresh in _made(shards, processes):
            pictures += len(found["ids"])
            fresh += len(found["ids"]) if is_fresh else 0
            digests[shard.path] = _digest(found)
            if found["skipped"]:
                skipped[shard.path] = found["skipped"]
            bar.update(len(shard.files))
    lines = tuple(line for path in sorted(skipped) for line in skipped[path])
    if not pictures:
        raise FashionError(f"{root} has no picture that can be read: {lines[0]}")
    # What is left of larger or killed runs goes, and the folder is marked as complete
    for path in out.glob("shard-*.safetensors"):  # but not what a person named nearly so
        if path not in digests and path.is_file() and re.fullmatch("shard-[0-9]{6,}", path.stem):
            path.unlink()
    remove_abandoned(out, "shard-*.safetensors")
    contents = {"shards": len(digests), "pictures": pictures}
    contents["digest"] = _digest(sorted(digests.values()))
    with replacing(out / CONTENTS) as temporary:
        temporary.write_text(json.dumps(contents) + "\n", encoding="utf-8")
    return Embedded(pictures, fresh, len(digests), lines)


def index_from_shards(out: Path, encoder: nn.Module) -> SearchIndex:
    """All shards as one index, in the order of the names, to be searched with this encoder.

    Raises:
        FashionError: no complete run filled the folder, a shard is missing or damaged, or other
            weights made it.
    """
    try:
        text = (out / CONTENTS).read_bytes() if (out / CONTENTS).is_file() else None
    except OSError:  # a run beside this one takes it away when it begins
        text = None
    if text is None:
        raise FashionError(
            f"{out} holds no complete embeddings: run `fashionlib embed` to its end."
        )
    with taking_apart(out / CONTENTS):
        contents = json.loads(text)
        shards, pictures = range(contents["shards"]), contents["pictures"]
        digest = contents["digest"]
    made_by = fingerprint(encoder)
    embeddings, ids, digests = [], [], []
    for number in shards:
        path = shard_path(out, number)
        tensors, metadata = load_tensors(path)
        if metadata.get("made_by") != made_by:
            raise FashionError(
                f"{path} was made with other weights, or at another picture size: embed the folder "
                "again."
            )
        part = index_from(path, tensors, metadata)
        digests.append(_digest(metadata))
        if part.ids:
            embeddings.append(part.embeddings)
            ids += part.ids
    # another digest: a run beside this one has replaced some of them meanwhile
    fits = _digest(sorted(digests)) == digest and len(ids) == pictures > 0
    if not fits or shard_path(out, len(shards)).exists():
        raise FashionError(f"{out / CONTENTS} does not fit the shards: embed the folder again.")
    with taking_apart(out):
        return SearchIndex(torch.cat(embeddings), tuple(ids), made_by)


# Making shards


def _cut(files: Iterable[tuple[str, list[int]]], size: int) -> Iterator[Files]:
    files = iter(files)
    while part := list(islice(files, size)):
        yield part


def _made(shards: Iterable[Shard], processes: int) -> Iterator[tuple[Shard, dict[str, Any], bool]]:
    """Each shard once its file is there, with the file's metadata and whether it was made now."""
    if processes == 1:  # none besides this one
        for shard in shards:
            old = _kept(shard)
            yield shard, old or _make(shard), old is None
        return
    context = get_context("spawn")  # a process that has used torch or CUDA must not be forked
    threads, began = max(1, torch.get_num_threads() // processes), context.Event()
    pool = ProcessPoolExecutor(processes, context, _start_worker, (threads, began))
    pending = {}
    try:
        for shard in shards:
            old = _kept(shard)
            if old is not None:
                yield shard, old, False
                continue
            while len(pending) > processes:  # one more than are at work, and no longer queue
                yield from _finished(pending)
            with _deaf():
                pending[pool.submit(_make, shard)] = shard
        while pending:
            yield from _finished(pending)
    except BrokenProcessPool:
        if not began.is_set():  # none came as far as its first line
            raise FashionError(
                "no worker process could start: memory ran out, or this is a script, which has to "
                'call it below `if __name__ == "__main__":`, since each worker imports it.'
            ) from None
        raise FashionError(
            "a worker process was killed, perhaps because memory ran out: the same command goes on "
            "where it stopped, and fewer --processes need less memory."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """A process that starts in here never hears Ctrl-C, not even while it imports torch."""
    if current_thread() is not main_thread():  # only that one may say so, and it hears Ctrl-C
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _finished(pending: dict) -> Iterator[tuple[Shard, dict[str, Any], bool]]:
    """Wait until some are done, and take them out."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result(), True


def _kept(shard: Shard) -> dict[str, Any] | None:
    """Metadata of a shard that is right as it is; else None, and its folder is incomplete now."""
    found = _right_contents(shard)
    if found is None:
        _mark_incomplete(shard.path.parent)
    return found


def _right_contents(shard: Shard) -> dict[str, Any] | None:
    """Metadata of the shard's file, if that is there, whole and of these very pictures.

    None too where a picture can be read now that could not be read then.
    """
    try:
        tensors, found = load_tensors(shard.path)
    except FashionError:  # not there yet, or damaged
        return None
    wanted = shard.describe()
    for part, what in (("made_by", "weights, or of another picture size"), ("folder", "pictures")):
        if found.get(part) != wanted[part]:
            raise FashionError(
                f"{shard.path.parent} holds embeddings of other {what}: name another folder, or "
                "delete it."
            )
    if found.get("files") != wanted["files"]:
        return None
    try:
        index = index_from(shard.path, tensors, found)
        with taking_apart(shard.path):
            texts(found["skipped"])
    except FashionError:  # it would never make an index
        return None
    if index.ids and index.embeddings.shape[1] != shard.dimensions:
        return None
    missing = [name for name, _ in shard.files if name not in found["ids"]]
    return None if any(is_readable(shard.root, name, SIDE) for name in missing) else found


def _mark_incomplete(out: Path) -> None:
    try:
        (out / CONTENTS).unlink(missing_ok=True)
    except OSError as error:
        raise FashionError(f"could not write {out}: {error.strerror}.") from error


# In a worker process


def _start_worker(threads: int, began: Event) -> None:
    began.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End with the parent: a killed one cannot end its workers, which would wait forever."""
    connection.wait([parent_process().sentinel])
    os._exit(1)


@cache
def _encoder(weights: Path, made_by: str) -> nn.Module:
    """Loaded once in each worker."""
    encoder, _ = load_encoder(weights)
    if fingerprint(encoder) != made_by:
        raise FashionError(f"{weights} changed while it was in use: start again.")
    return encoder.to(pick_device())


def _make(shard: Shard) -> dict[str, Any]:
    """Embed a shard's pictures and write its file; returns the metadata."""
    encoder = _encoder(shard.weights, shard.made_by)
    names = [name for name, _ in shard.files]
    rows, skipped = sorted_out(embed_named(names, partial(read_file, shard.root), encoder))
    metadata = shard.describe() | {"ids": list(rows), "skipped": skipped}
    embeddings = torch.stack(list(rows.values())) if rows else torch.zeros(0, 0)
    save_tensors(shard.path, {"embeddings": embeddings}, metadata)
    return metadata
