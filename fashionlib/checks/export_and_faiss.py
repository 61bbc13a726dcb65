"""Checks of exercise 4: an ONNX file, a FAISS index, its recall, and whose index it is."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fashionlib.blocks import Plan
from fashionlib.checks import Task, close, random
from fashionlib.errors import FashionError
from fashionlib.heads import build_encoder
from fashionlib.inference import predict
from fashionlib.search import euclidean
from fashionlib.settings import optional
from fashionlib.transforms import Preparation, to_input
from fashionlib.weights import fingerprint

PLAN, SIZE = Plan(8, ((2, 16, 1, 2),)), 40  # of a small encoder, exported in a second or two
TOLERANCE = 1e-4  # of an embedding's numbers


def export_encoder(answer: Callable) -> None:
    """Task 1: `answer(encoder, path)` writes an ONNX file with the preparation in it."""
    runtime = optional("onnxruntime", "export")
    task = Task(1, "write the encoder to `path`, as an ONNX file")
    encoder, images = _small_encoder(0), _pictures(5)
    before = fingerprint(encoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        task.call(answer, encoder, path)
        task.value(path if path.is_file() else None)
        still = fingerprint(encoder) == before
        task.need(still, "the encoder has learned from the example: put it into evaluation mode.")
        alone = [entry.name for entry in Path(folder).iterdir()] == [path.name]
        task.need(alone, "the weights are in a second file, which gets lost: external_data=False.")
        try:
            session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's have no base class of their own
            task.need(False, f"onnxruntime cannot read it: {str(error).splitlines()[0]}")
        _check_signature(task, session)
        found, one = (_run(task, session, part) for part in (images, images[:1]))
    alone = close(one, found[:1])
    task.need(alone, "an embedding depends on the others of its batch: is all in evaluation mode?")
    unit = (to_input(images, SIZE) + 1) / 2
    mistakes = {
        "the pictures are not resized to the encoder's size.": to_input(images),
        "the pictures go from 0 to 1, and should from -1 to 1.": unit,
        "the pictures go from 0 to 255, and should from -1 to 1.": 255 * unit,
    }
    with torch.no_grad():
        encoder.eval()
        task.rule_out({s: close(found, encoder(x), 1e-2) for s, x in mistakes.items()})
    worst = float((found - predict(encoder, images)).abs().max())
    task.need(worst < TOLERANCE, f"embeddings differ from PyTorch's by up to {worst:.1g}.")
    task.done(f"equal to PyTorch within {TOLERANCE:.0e}, in batches of any size")


def _check_signature(task: Task, session: Any) -> None:
    """One input `images`, uint8 with a free batch, and one output `embedding`."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [entry.name for entry in inputs], [entry.name for entry in outputs]
    task.need(names[0] == ["images"], f"the input is to be called images, not {names[0]}.")
    task.need(names[1] == ["embedding"], f"the output is to be called embedding, not {names[1]}.")
    kind, count = inputs[0].type, inputs[0].shape[0]
    task.need(kind == "tensor(uint8)", f"the file takes a {kind}: put the preparation into it.")
    fixed = f"the file takes just {count} pictures at a time: free N with dynamic_shapes."
    task.need(not isinstance(count, int), fixed)


def _run(task: Task, session: Any, images: Tensor) -> Tensor:
    try:
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    except Exception as error:
        reason = str(error).splitlines()[0]
        task.need(False, f"the file does not run on {len(images)} pictures of 160 × 160: {reason}")
        raise


def search_faiss(answer: Callable) -> None:
    """Task 2: `answer(index, queries, k)` gives distances and positions, as torch tensors."""
    faiss = optional("faiss", "stores")
    task = Task(2, "return distances and positions")
    vectors, queries = random(6, 4, seed=0), random(3, 4, seed=1)
    index = faiss.IndexFlatL2(4)
    index.add(vectors.numpy())

    def search(index: Any, k: int) -> tuple[Tensor, Tensor]:
        result = task.call(answer, index, queries, k)
        task.several(result, 2, "return two tensors, `distances, positions`.")
        arrays = any(isinstance(part, np.ndarray) for part in result)
        task.need(not arrays, "these are numpy arrays: torch.from_numpy makes tensors.")
        return result

    distances, positions = search(index, 4)
    right, order = euclidean(queries, vectors).sort(dim=1)
    integers = isinstance(distances, Tensor) and not distances.is_floating_point()
    task.need(not integers, "distances come first, then positions.")
    task.tensor(distances, (3, 4), "the first result")
    task.tensor(positions, (3, 4), "the second result")
    four = right[:, :4]
    mistakes = {"these distances are still squared.": four**2, "one root is enough.": four**0.5}
    task.compare(distances, four, mistakes, "these are not the Euclidean distances.")
    task.need(torch.equal(positions, order[:, :4]), "the positions are not those of the nearest.")
    distances, positions = search(index, 8)
    task.need(tuple(distances.shape) == (3, 8), "k results are wanted, even where -1 fills up.")
    none, endless = (positions[:, 6:] == -1).all(), distances[:, 6:].isinf().all()
    task.need(none, "where nothing was found, leave the position -1.")
    last = f"where nothing was found the distance is to be infinity, not {distances[0, 7]:.2g}."
    task.need(endless, last)
    task.need(close(distances[:, :6], right), "infinity is only for what was not found.")
    rounded = np.full((3, 1), -1e-9, np.float32), np.zeros((3, 1), np.int64)
    distances, _ = search(SimpleNamespace(search=lambda x, k: rounded), 1)
    broken = distances.isnan().any()
    task.need(not broken, "rounding can leave a square of -1e-9, whose root is nan: clamp it at 0.")
    task.done("Euclidean distances, and infinity where nothing was found")


def recall(answer: Callable) -> None:
    """Task 3: `answer(found, exact)` is the share of `exact` that is in the same row of `found`."""
    task = Task(3, "return the share of the exact positions that were found")
    found, exact = torch.tensor([[1, 2, 3], [4, 5, 9]]), torch.tensor([[3, 1, 9], [6, 5, 4]])
    value = task.one_number(task.call(answer, found, exact))
    mistakes = {
        "the order does not matter, what counts is whether a position is there at all.": 1 / 6,
        "a query with one right position is not fully right: count the share.": 1.0,
        "that is a count: divide by how many there are.": 4.0,
        "that is a count for each query: divide by k.": 2.0,
        "each query has results of its own: 9 was found, but for the other one.": 5 / 6,
        "that is what was missed, not what was found.": 1 / 3,
        "no query has all of its positions, but each has a share of them.": 0.0,
    }
    task.rule_out({sentence: abs(value - wrong) < 1e-6 for sentence, wrong in mistakes.items()})
    task.need(abs(value - 2 / 3) < 1e-6, f"4 of 6 were found, that is 0.667, not {value:.3f}.")
    short = task.call(answer, torch.tensor([[7, -1, -1]]), torch.tensor([[7, 8, 9]]))
    third = abs(task.one_number(short) - 1 / 3) < 1e-6
    task.need(third, "1 of 3 was found, where -1 fills up: divide by the exact ones, not by found.")
    task.done("in any order, query by query")


def choose_nprobe(answer: Callable) -> None:
    """Task 4: `answer(index, queries, exact, wanted)`, the smallest nprobe that is enough."""
    faiss = optional("faiss", "stores")
    task = Task(4, "return the smallest nprobe with the wanted recall")
    vectors, queries = random(3000, 16, seed=2), random(200, 16, seed=3)
    exact = euclidean(queries, vectors).argsort(dim=1)[:, :10]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 12)
    index.train(vectors.numpy())
    index.add(vectors.numpy())
    recalls = {}
    for nprobe in (1, 2, 4, 8, 12):
        index.nprobe = nprobe
        found = torch.from_numpy(index.search(queries.numpy(), 10)[1])
        recalls[nprobe] = float((found[:, :, None] == exact[:, None, :]).any(dim=1).float().mean())

    between = (recalls[2] + recalls[4]) / 2
    for wanted, right in {between: 4, recalls[2]: 2, 0.0: 1, 1.0: 12}.items():
        index.nprobe = 1
        found = task.call(answer, index, queries, exact.clone(), wanted)
        whole = isinstance(found, int) and not isinstance(found, bool)
        task.need(whole, "return the number of cells, an int.")
        cells = f"for a recall of {wanted:.2f} it takes {right} of 12 cells"
        chosen = f"you choose {found} ({right} gives {recalls[right]:.2f})."
        task.need(found == right, f"{cells}, {chosen}")
        task.need(index.nprobe == right, f"leave index.nprobe at {right}, it is {index.nprobe}.")
    # a neighbour that is not in the index: what it has comes to a recall of nine tenths
    exact = torch.cat([exact[:, :9], torch.full((200, 1), len(vectors))], dim=1)
    beyond = "a recall that even all cells do not reach"
    _refused(task, beyond, answer, index, queries, exact, 0.95)
    task.done("the smallest that is enough, and an error where none is")


def load_faiss(answer: Callable) -> None:
    """Task 5: `answer(path, encoder)` reads an index, unless other weights made it."""
    faiss = optional("faiss", "stores")
    task = Task(5, "read the index if this encoder made it, and refuse it otherwise")
    encoder, other = _small_encoder(0), _small_encoder(1)
    index = faiss.IndexFlatL2(4)
    index.add(random(6, 4, seed=0).numpy())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.faiss"
        note = Path(f"{path}.json")
        faiss.write_index(index, str(path))
        note.write_text(json.dumps({"made_by": fingerprint(encoder)}))
        loaded = task.call(answer, path, encoder)
        good = isinstance(loaded, faiss.Index) and loaded.ntotal == 6
        task.need(good, f"return the FAISS index of 6 vectors, not {type(loaded).__name__}.")
        _refused(task, "an index of other weights", answer, path, other)
        note.write_text(json.dumps({"made_by": fingerprint(other)}))
        good = _raised_by(answer, path, other) is None
        task.need(good, "an index of the other encoder belongs to that one: read the note anew.")
        note.unlink()
        _refused(task, "an index without its note", answer, path, encoder)
    task.done("only the encoder that made it may search it")


def _raised_by(answer: Callable, *arguments: Any) -> Exception | None:
    try:
        answer(*arguments)
    except Exception as error:
        return error
    return None


def _refused(task: Task, what: str, answer: Callable, *arguments: Any) -> None:
    """Go on if the call raises a FashionError that says something, as a person's mistake should."""
    error = _raised_by(answer, *arguments)
    task.need(error is not None, f"{what} is to be refused, with a FashionError.")
    other = f"{what} raises {type(error).__name__}, and should raise a FashionError."
    task.need(isinstance(error, FashionError), other)
    task.need(str(error).strip(), f"{what} is refused without a word: say what to do.")


def _small_encoder(seed: int) -> nn.Module:
    """In training mode, with norms that have seen pictures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_encoder(PLAN, 16)
    encoder.preparation = Preparation(SIZE)
    with torch.no_grad():
        for _ in range(20):
            encoder(to_input(_pictures(5), SIZE))
    return encoder


def _pictures(count: int) -> Tensor:
    """Coarse noise, each picture of a brightness of its own: uint8 [count, 3, 160, 160]."""
    generator = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, 3, 10, 10, generator=generator)
    coarse *= torch.linspace(0.4, 1, count)[:, None, None, None] * 255
    return coarse.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3).byte()
