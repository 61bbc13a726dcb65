"""Time of one network beside others (chapter 5): `python tools/measure/latency.py`.

Ours, the article's two, and four of torchvision's, with a head of seven classes each; batches of 1
and 64, three sizes, PyTorch eager and ONNX Runtime, one thread. All take turns, round after round,
so that whatever else the machine does slows all alike; what counts is the ratio within a round.
Writes `pages/results/latency.json`: parameters, MACs, and the milliseconds of every round.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and onnxruntime read it

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torchvision
from onnxruntime import InferenceSession
from recording import about_this_run, write_results
from torch import nn

from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import build_classifier
from fashionlib.pages.latency import eager, take_turns

CLASSES = 7
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ours": lambda: build_classifier("fashion", CLASSES),
    "article as printed": lambda: build_classifier("article", CLASSES),
    "article, dense": lambda: build_classifier("article-dense", CLASSES),
    "ResNet-18": lambda: torchvision.models.resnet18(num_classes=CLASSES),
    "MobileNetV2": lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES),
    "MobileNetV3-small": lambda: torchvision.models.mobilenet_v3_small(num_classes=CLASSES),
    "EfficientNet-B0": lambda: torchvision.models.efficientnet_b0(num_classes=CLASSES),
}
SIZES = (64, 128, 224)
ROUNDS = {1: 30, 64: 5}  # by batch size


def onnxruntime_session(network: nn.Module, size: int, folder: Path) -> InferenceSession:
    """The same network in ONNX Runtime, on one thread."""
    path = folder / "network.onnx"
    batch = torch.export.Dim("batch", min=1, max=1024)
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 3, size, size),),
        path,
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    return one_thread_session(path)


def one_thread_session(path: Path) -> InferenceSession:
    """An ONNX file in ONNX Runtime, on one thread of the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(path, options, providers=["CPUExecutionProvider"])


def given(session: InferenceSession, batch: int, size: int) -> Callable[[], object]:
    """A run of a session, ready for `take_turns`."""
    pictures = np.zeros((batch, 3, size, size), np.float32)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: pictures})


def measure(size: int) -> list[dict[str, Any]]:
    """Every network at one size: a row for each batch size and way to run it."""
    torch.manual_seed(0)
    networks = {name: build() for name, build in NETWORKS.items()}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {
            name: onnxruntime_session(network, size, Path(folder))
            for name, network in networks.items()
        }
    rows = []
    for batch, rounds in ROUNDS.items():
        runs = {}
        for name, network in networks.items():
            runs[name, "eager"] = eager(network, batch, size)
            runs[name, "onnxruntime"] = given(sessions[name], batch, size)
        clock, _ = take_turns(runs, rounds)
        for (name, way), spent in clock.items():
            row = {"network": name, "way": way, "size": size, "batch": batch}
            rows.append(row | {"milliseconds": [round(one, 3) for one in spent]})
            print(f"{size} px, batch {batch}, {name}, {way}: {statistics.median(spent):.1f} ms")
    return rows


def main() -> None:
    """All sizes, then the file."""
    torch.set_num_threads(1)
    networks = {
        name: {
            "parameters": count_parameters(network),
            "macs": {str(size): count_macs(network, size) for size in SIZES},
        }
        for name, network in ((name, build()) for name, build in NETWORKS.items())
    }
    rows = [row for size in SIZES for row in measure(size)]
    about = about_this_run(__file__, None, onnxruntime=onnxruntime.__version__)
    write_results("latency", about | {"networks": networks, "rows": rows})


if __name__ == "__main__":
    main()
