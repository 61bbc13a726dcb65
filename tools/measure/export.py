"""Four ways to run one network, and what 8 bits cost (chapter 6): `python tools/measure/export.py`.

The shipped classifier and encoder in PyTorch, compiled by `torch.compile`, in ONNX Runtime, and
there in 8 bits: bytes, milliseconds for 1 and 64 photos as they are stored, preparation included,
on one thread. All take turns, so that whatever else the machine does slows all alike; ratios are
those of processor times, since a way that is made to wait is not slower. How many photos set the
scales is chosen by the validation photos; the test photos are asked about that choice alone.
Writes `pages/results/export.json`.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and onnxruntime read it

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from latency import one_thread_session
from recording import about_this_run, quartiles, write_results
from torch import Tensor, nn

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.export import export_onnx, load_onnx
from fashionlib.export.quantise import quantise_onnx
from fashionlib.metrics import count_correct
from fashionlib.pages.latency import take_turns
from fashionlib.retrieval import matches, precision_at_k, ranking, score
from fashionlib.transforms import to_input
from fashionlib.weights import load_classifier, load_encoder, shipped, weights_hash

CALIBRATION = (32, 128, 512)  # numbers of training photos to choose from
ROUNDS = {1: 60, 64: 12}  # by batch size
K = 5
Run = Callable[[Tensor], Tensor]  # pictures uint8 [N, 3, H, W] to float32 [N, outputs]


# What 8 bits cost


def outputs(run: Run, catalog: Catalog, splits: tuple[str, ...]) -> dict[str, Tensor]:
    """Of all photos of these splits, by split."""
    parts = {split: catalog.splits[split].images.split(16) for split in splits}
    return {split: torch.cat([run(part) for part in parts[split]]) for split in splits}


def compare_classifiers(
    exact: dict[str, Tensor], rounded: dict[str, Tensor], catalog: Catalog, split: str
) -> dict[str, Any]:
    """Counts of right photos, and of photos that get the same class from both."""
    labels = catalog.splits[split].labels
    same = exact[split].argmax(dim=1) == rounded[split].argmax(dim=1)
    right = {"exact": count_correct(exact[split], labels)}
    right["int8"] = count_correct(rounded[split], labels)
    return {"right": right, "same": int(same.sum()), "photos": len(labels)}


def compare_encoders(
    exact: dict[str, Tensor], rounded: dict[str, Tensor], catalog: Catalog, split: str
) -> dict[str, Any]:
    """Category among the five nearest training photos, and how many of the five are the same.

    "mixed" searches embeddings of the exact encoder with queries of the one in 8 bits.
    """
    pairs = {"exact": (exact, exact), "int8": (rounded, rounded), "mixed": (rounded, exact)}
    labels, values = catalog.train.labels, catalog.splits[split].labels
    orders = {name: ranking(one[split], other["train"]) for name, (one, other) in pairs.items()}
    found = {
        name: asdict(score(precision_at_k(matches(order, values, labels), K)))
        for name, order in orders.items()
    }
    top = {name: [set(row) for row in order[:, :K].tolist()] for name, order in orders.items()}
    same = {
        name: sum(len(a & b) for a, b in zip(top["exact"], top[name], strict=True))
        for name in ("int8", "mixed")
    }
    return {"precision": found, "same": same, "results": K * len(values)}


def cost(kind: str, exported: Path, folder: Path, catalog: Catalog) -> tuple[Path, dict[str, Any]]:
    """The quantised file that does best on the validation photos, and all figures."""
    compare = compare_classifiers if kind == "classifier" else compare_encoders
    needed = ("validation",) if kind == "classifier" else ("train", "validation")
    exact = outputs(load_onnx(exported)[0], catalog, (*needed, "test"))
    order = torch.randperm(len(catalog.train), generator=torch.Generator().manual_seed(0))
    tried = []
    for count in CALIBRATION:
        path = folder / f"{kind}_{count}.onnx"
        quantise_onnx(exported, path, catalog.train.images[order[:count]])
        rounded = outputs(load_onnx(path)[0], catalog, needed)
        figures = compare(exact, rounded, catalog, "validation")
        tried.append({"pictures": count, "validation": figures})
        print(kind, tried[-1], flush=True)
    best = max(tried, key=lambda row: agreement(row["validation"]))
    path = folder / f"{kind}_{best['pictures']}.onnx"
    rounded = outputs(load_onnx(path)[0], catalog, (*needed, "test"))
    test = compare(exact, rounded, catalog, "test")
    print(kind, "test", test, flush=True)
    return path, {"tried": tried, "chosen": best["pictures"], "test": test}


def agreement(figures: dict[str, Any]) -> int:
    """What is chosen by: answers that 8 bits did not change."""
    same = figures["same"]
    return same if isinstance(same, int) else same["int8"]


# Ways to run


def of_torch(model: nn.Module, size: int) -> Run:
    """PyTorch as `predict` runs it: the photos prepared, then the network."""
    return torch.inference_mode()(lambda images: model(to_input(images, size)))


def of_onnx(path: Path) -> Run:
    """ONNX Runtime on one thread; `load_onnx` takes as many as there are."""
    session = one_thread_session(path)
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def compiled(model: nn.Module, size: int, images: Tensor) -> tuple[Run | None, dict[str, Any]]:
    """`torch.compile`, and the seconds of its first answer; or None and why there is none."""
    run = of_torch(torch.compile(model), size)
    started = time.perf_counter()
    try:
        run(images)
    except Exception as error:  # whatever a machine without a compiler raises
        return None, {"failed": str(error).splitlines()[0]}
    return run, {"seconds": time.perf_counter() - started}


def measure_times(
    model: nn.Module, size: int, exported: Path, small: Path, images: Tensor
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row for each way and batch size, and what `torch.compile` took for each batch size."""
    rows, about = [], {}
    for batch, rounds in ROUNDS.items():
        photos = images[:batch].contiguous()
        fast, about[str(batch)] = compiled(model, size, photos)
        ways = {"eager": of_torch(model, size), "compiled": fast}
        ways |= {"onnxruntime": of_onnx(exported), "onnxruntime int8": of_onnx(small)}
        ways = {name: run for name, run in ways.items() if run is not None}
        for name, run in ways.items():
            if name != "onnxruntime int8":
                difference = (run(photos) - ways["eager"](photos)).abs().max().item()
                assert difference < 1e-3, (name, difference)
        runs = {name: partial(run, photos) for name, run in ways.items()}
        clock, processor = take_turns(runs, rounds)
        for name in ways:
            pairs = zip(processor["eager"], processor[name], strict=True)
            row = {
                "way": name,
                "batch": batch,
                "ms": quartiles(clock[name]),
                "processor_ms": quartiles(processor[name]),
                "times_as_fast": quartiles([eager / this for eager, this in pairs]),
            }
            rows.append(row)
            print(row, flush=True)
    return rows, about


def main() -> None:
    """Both networks, then the file."""
    torch.set_num_threads(1)
    catalog = load_catalog("photos")
    networks = {}
    with tempfile.TemporaryDirectory() as name:
        for kind, load in (("classifier", load_classifier), ("encoder", load_encoder)):
            weights = shipped(f"{kind}_photos")
            exported = Path(name) / f"{kind}.onnx"
            export_onnx(weights, exported)
            small, figures = cost(kind, exported, Path(name), catalog)
            files = {"safetensors": weights, "onnx": exported, "onnx int8": small}
            figures["bytes"] = {end: path.stat().st_size for end, path in files.items()}
            model, _ = load(weights)
            figures["weights"] = weights_hash(model)
            size = model.preparation.size
            rows, about = measure_times(model, size, exported, small, catalog.test.images)
            networks[kind] = figures | {"size": size, "rows": rows, "compile": about}
    versions = {module.__name__: module.__version__ for module in (onnx, onnxruntime)}
    run = about_this_run(__file__, catalog, **versions)
    write_results("export", run | {"k": K, "networks": networks})


if __name__ == "__main__":
    main()
