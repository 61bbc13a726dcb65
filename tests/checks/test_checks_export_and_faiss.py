"""Exercise 4: the checkers accept the solution, and tell each mistake from the others."""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
import pytest
import torch
from solved import EXERCISES, defined, must_accept, must_ask_for, solved, told
from torch import nn

from fashionlib.checks import NotYet, export_and_faiss
from fashionlib.errors import FashionError
from fashionlib.export import PreparationLayer
from fashionlib.weights import fingerprint

SOLVED = solved("4_export_and_faiss", faiss=faiss, onnxruntime=onnxruntime)
UNTOUCHED = defined(EXERCISES / "4_export_and_faiss.py", faiss=faiss, onnxruntime=onnxruntime)
TASKS = {
    "export_encoder": export_and_faiss.export_encoder,
    "search_faiss": export_and_faiss.search_faiss,
    "recall": export_and_faiss.recall,
    "choose_nprobe": export_and_faiss.choose_nprobe,
    "load_faiss": export_and_faiss.load_faiss,
}


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_is_accepted(name, capsys):
    must_accept(TASKS[name], SOLVED[name], list(TASKS).index(name) + 1, capsys)


@pytest.mark.parametrize("name", TASKS)
def test_an_untouched_task_is_still_to_do(name):
    must_ask_for(TASKS[name], UNTOUCHED[name], list(TASKS).index(name) + 1)


class Scaled(nn.Module):
    """A preparation whose pictures end up in another range."""

    def __init__(self, size, factor, shift):
        super().__init__()
        self.right, self.factor, self.shift = PreparationLayer(size), factor, shift

    def forward(self, images):
        return self.right(images) * self.factor + self.shift


class Centred(PreparationLayer):
    """As batch normalisation in training does, it takes its mean from the batch."""

    def forward(self, images):
        inputs = super().forward(images)
        return inputs - inputs.mean(dim=0)


class Unresized(nn.Module):
    def forward(self, images):
        return images.float() / 127.5 - 1


def exporting(before=PreparationLayer, train=False, floats=False, **changes):
    """An answer to task 1; `changes` replace what it says to the exporter."""

    def answer(encoder, path):
        size = encoder.preparation.size
        example = torch.zeros(2, 3, 160, 160, dtype=torch.uint8)
        model = nn.Sequential(before(size), encoder).train(train)
        with torch.no_grad():
            model(example)
        if floats:
            model, example = encoder.eval(), torch.zeros(2, 3, size, size)
        settings = {
            "input_names": ["images"],
            "output_names": ["embedding"],
            "dynamic_shapes": ({0: "batch"},),
            "external_data": False,
        }
        torch.onnx.export(
            model, (example,), path, dynamo=True, verbose=False, **{**settings, **changes}
        )
        return path

    return answer


def not_onnx(encoder, path):
    torch.save(encoder.state_dict(), path)
    return path


def searching(change):
    """An answer to task 2 that changes the right results."""
    return lambda index, queries, k: change(*SOLVED["search_faiss"](index, queries, k))


def squared(index, queries, k):
    distances, positions = (torch.from_numpy(part) for part in index.search(queries.numpy(), k))
    return distances, positions


def rooted(index, queries, k):
    distances, positions = squared(index, queries, k)
    return distances.sqrt(), positions


def unclamped(index, queries, k):
    distances, positions = rooted(index, queries, k)
    return distances.masked_fill(positions < 0, torch.inf), positions


def same(found, exact):
    return found[:, :, None] == exact[:, None, :]


def choosing(change, exact_match=False):
    """An answer to task 4 that tries the right numbers, and then errs."""

    def answer(index, queries, exact, wanted):
        nprobe = SOLVED["choose_nprobe"](index, queries, exact, wanted)
        return change(index, nprobe)

    return answer


def trying(numbers, enough=lambda share, wanted: share >= wanted, otherwise=None):
    def answer(index, queries, exact, wanted):
        for nprobe in numbers(index.nlist):
            index.nprobe = nprobe
            found = torch.from_numpy(index.search(queries.numpy(), exact.shape[1])[1])
            if enough(SOLVED["recall"](found, exact), wanted):
                return nprobe
        if otherwise is None:
            raise FashionError("ask for less")
        return otherwise(index)

    return answer


def unset(index, nprobe):
    index.nprobe = 1
    return nprobe


def doubling(nlist):
    return [1, 2, 4, 8, nlist]


def no_such_setting(index):
    raise ValueError("out of reach")


def loads_all(path, encoder):
    return faiss.read_index(str(path))


def refuses_all(path, encoder):
    raise FashionError("no")


def wrong_kind(path, encoder):
    if json.loads(Path(f"{path}.json").read_text())["made_by"] != fingerprint(encoder):
        raise ValueError("other weights")
    return faiss.read_index(str(path))


def needs_note(path, encoder):
    if json.loads(Path(f"{path}.json").read_text())["made_by"] != fingerprint(encoder):
        raise FashionError("other weights")
    return faiss.read_index(str(path))


def without_note(path, encoder):
    return needs_note(path, encoder) if Path(f"{path}.json").is_file() else loads_all(path, encoder)


def silent(path, encoder):
    try:
        return needs_note(path, encoder)
    except FashionError as error:
        raise FashionError from error


def gives_note(path, encoder):
    needs_note(path, encoder)
    return Path(f"{path}.json")


class Remembers:
    """Takes the first encoder it meets for the right one, whatever the note says."""

    first = None

    def __call__(self, path, encoder):
        self.first = self.first or fingerprint(encoder)
        if self.first != fingerprint(encoder):
            raise FashionError("other weights")
        return faiss.read_index(str(path))


WRONG = {
    "export_encoder": [
        (exporting(train=True), "learned from the example"),
        (exporting(Centred), "others of its batch"),
        (exporting(dynamic_shapes=None), "just 2 pictures"),
        (exporting(floats=True), "takes a tensor(float)"),
        (exporting(input_names=["x"]), "called images"),
        (exporting(output_names=["y"]), "called embedding"),
        (exporting(external_data=True), "second file"),
        (exporting(lambda size: Scaled(size, 0.5, 0.5)), "go from 0 to 1"),
        (exporting(lambda size: Scaled(size, 127.5, 127.5)), "go from 0 to 255"),
        (exporting(lambda size: Unresized()), "not resized"),
        (exporting(lambda size: Scaled(size, 0.999, 0.0)), "differ from PyTorch's"),
        (not_onnx, "cannot read it"),
        (lambda encoder, path: encoder.onnx, "raised AttributeError"),
    ],
    "search_faiss": [
        (squared, "still squared"),
        (rooted, "to be infinity, not 1.8e+19"),
        (unclamped, "nan"),
        (searching(lambda d, p: (d.numpy(), p.numpy())), "numpy arrays"),
        (searching(lambda d, p: (p, d)), "distances come first"),
        (searching(lambda d, p: d), "two tensors"),
        (searching(lambda d, p: (d.sqrt(), p)), "one root is enough"),
        (searching(lambda d, p: (d, p.clamp(min=0))), "leave the position -1"),
        (searching(lambda d, p: (d[:, :6], p[:, :6])), "even where -1 fills up"),
        (searching(lambda d, p: (d, p.flip(1))), "not those of the nearest"),
        (
            searching(lambda d, p: (d.where((p >= 0).all(1, True), torch.inf), p)),
            "infinity is only for what was not found",
        ),
        (lambda index, queries, k: index.search(queries.tolist(), k), "your function raised"),
        (searching(lambda d, p: (1 - d, p)), "not the Euclidean"),
        (searching(lambda d, p: (d[:, :3], p)), "the first result gives the shape [3, 3]"),
        (searching(lambda d, p: (d, p[:, :3])), "the second result gives the shape [3, 3]"),
    ],
    "recall": [
        (lambda found, exact: (found == exact).float().mean(), "order does not matter"),
        (lambda found, exact: same(found, exact).any(2).any(1).float().mean(), "fully right"),
        (lambda found, exact: same(found, exact).sum(), "divide by how many"),
        (lambda found, exact: same(found, exact).sum() / len(found), "divide by k"),
        (lambda found, exact: torch.isin(exact, found).float().mean(), "for the other one"),
        (lambda found, exact: 1 - same(found, exact).any(dim=1).float().mean(), "missed"),
        (lambda found, exact: same(found, exact).any(1).all(1).float().mean(), "share of them"),
        (lambda found, exact: same(found, exact).sum() / (found >= 0).sum(), "1 of 3"),
        (lambda found, exact: same(found, exact).any(dim=1).float(), "one finite number"),
        (lambda found, exact: 0.5, "0.667, not 0.500"),
        (lambda found, exact: found.recall, "raised AttributeError"),
    ],
    "choose_nprobe": [
        (lambda index, *rest: index.nlist, "it takes 4 of 12 cells, you choose 12 (4 gives 0."),
        (choosing(lambda index, nprobe: 0.95), "an int"),
        (choosing(unset), "leave index.nprobe at 4, it is 1"),
        (trying(lambda nlist: range(1, nlist + 1)), "you choose 3"),
        (trying(doubling, lambda share, wanted: share > wanted), "2 of 12 cells, you choose 4 ("),
        (trying(lambda nlist: [1, 2, 4, 8], otherwise=lambda index: 16), "you choose 16"),
        (trying(doubling, otherwise=lambda index: index.nlist), "is to be refused"),
        (trying(doubling, otherwise=no_such_setting), "raises ValueError"),
        (trying(lambda nlist: [1, 2, 4, 8]), "raised FashionError"),
        (trying(lambda nlist: [2, 4, 8, nlist]), "for a recall of 0.00 it takes 1 of 12 cells"),
    ],
    "load_faiss": [
        (loads_all, "an index of other weights is to be refused"),
        (refuses_all, "raised FashionError: no"),
        (wrong_kind, "an index of other weights raises ValueError"),
        (needs_note, "an index without its note raises FileNotFoundError"),
        (without_note, "an index without its note is to be refused"),
        (silent, "without a word"),
        (gives_note, "not PosixPath" if sys.platform != "win32" else "not WindowsPath"),
        (Remembers(), "read the note anew"),
    ],
}


@pytest.mark.parametrize("name", TASKS)
def test_each_mistake_gets_its_own_sentence(name):
    sentences = []
    for answer, part in WRONG[name]:
        sentences.append(told(TASKS[name], answer))
        assert part in sentences[-1]
        assert "\n" not in sentences[-1]
    assert len(set(sentences)) == len(sentences) >= 5


def test_a_file_of_numpy_is_no_answer(tmp_path):
    """What is checked is the file, not what the function returns."""
    with pytest.raises(NotYet, match="cannot read it"):
        TASKS["export_encoder"](lambda encoder, path: np.save(path.open("wb"), [1]) or path)


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("onnxruntime", "export_encoder", "export"), ("faiss", "search_faiss", "stores")],
)
def test_without_a_package_it_says_what_to_install(monkeypatch, package, name, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FashionError, match=rf'"fashionlib\[{extra}\]"'):
        TASKS[name](SOLVED[name])


def test_what_a_reader_draws_after_a_check_is_what_it_would_be_without():
    before = torch.get_rng_state()
    TASKS["load_faiss"](SOLVED["load_faiss"])
    assert torch.equal(torch.get_rng_state(), before)
