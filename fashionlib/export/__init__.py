"""Trained networks as ONNX files: for programs that have neither PyTorch nor this library.

A network answers well only to pictures prepared as in training. So the preparation is part of the
graph: the file takes pictures as they are stored, of any height and width.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fashionlib.errors import FashionError
from fashionlib.files import check_place, replacing
from fashionlib.settings import optional
from fashionlib.weights import fingerprint, load_classifier, load_encoder, load_tensors

OPSET = 18  # what torch's exporter writes without converting, known to runtimes since 2023

KINDS = {"classifier": (load_classifier, "logits"), "encoder": (load_encoder, "embedding")}


def export_onnx(weights: Path | str, out: Path | str) -> None:
    """Write the classifier or encoder saved in `weights` to `out` as one ONNX file.

    Input: `images`, uint8 [N, 3, H, W]; N, H and W of at least 1 are free at each run. Output:
    `logits` float32 [N, classes] of a classifier, `embedding` float32 [N, dimensions] of an
    encoder. All that the weights file says about itself, and the weights' fingerprint, is in the
    file's metadata: JSON under the key `fashionlib`.

    Raises:
        FashionError: `out` does not end in .onnx, is `weights` or cannot be written (what was there
            before is unharmed), `weights` holds neither kind, or optional packages are missing.
    """
    if Path(out).suffix != ".onnx":
        raise FashionError(f"{out}: the export is an ONNX file, so end it in .onnx.")
    check_place(Path(out), weights)
    for name in ("onnx", "onnxscript"):  # torch would ask for them late, in a long traceback
        optional(name, "export")
    kind = str(load_tensors(weights)[1].get("kind"))
    if kind not in KINDS:
        raise FashionError(f"{weights} holds no classifier or encoder: give a file that does.")
    load, output = KINDS[kind]
    model, metadata = load(weights)
    whole = nn.Sequential(PreparationLayer(model.preparation.size), model)
    pictures = torch.zeros(2, 3, 160, 128, dtype=torch.uint8)  # only free dimensions are taken
    free = {n: torch.export.Dim(name) for n, name in {0: "batch", 2: "height", 3: "width"}.items()}
    program = to_program(whole, pictures, [output], free)
    metadata["fingerprint"] = fingerprint(model)
    program.model.metadata_props["fashionlib"] = json.dumps(metadata, sort_keys=True)
    with replacing(out) as temporary:
        program.save(temporary, external_data=False)
        seal(temporary)


def seal(path: Path) -> None:
    """Write a file's hash behind it, as one more entry of the graph's metadata.

    In protobuf, what stands behind a message is a part of it: any reader still takes the file.
    """
    content = path.read_bytes()
    path.write_bytes(content + _entry(content))


def _entry(content: bytes) -> bytes:
    """`metadata_props`, field 14 of ModelProto: key `sha256`, 76 bytes in all."""
    digest = hashlib.sha256(content).hexdigest().encode()
    return b"\x72\x4a\x0a\x06sha256\x12\x40" + digest


def load_onnx(path: Path | str) -> tuple[Callable[[np.ndarray | Tensor], Tensor], dict[str, Any]]:
    """What `export_onnx` wrote, run by onnxruntime on the CPU; and its metadata.

    Returns:
        `run`, which takes pictures uint8 [N, 3, H, W] to float32 [N, outputs] in one batch, and
        raises a FashionError for anything else; and the metadata.

    Raises:
        FashionError: no such file, not one of ours as it was written, or onnxruntime is missing.
    """
    runtime = optional("onnxruntime", "export")
    if not Path(path).is_file():
        raise FashionError(f"no file {path}: export a model first, or check the path.")
    try:
        content = Path(path).read_bytes()
        if content[-76:] != _entry(content[:-76]):
            raise ValueError("other content than was written")
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["fashionlib"])
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise FashionError(f"{path} is not a whole ONNX file of this library.") from error

    def run(images: np.ndarray | Tensor) -> Tensor:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or not images.size:
            given = f"{images.dtype} {list(images.shape)}"
            raise FashionError(f"pictures are uint8 [N, 3, H, W], at least one, not {given}.")
        return torch.from_numpy(session.run(None, {"images": images})[0])

    return run, metadata


def to_program(
    model: nn.Module, images: Tensor, outputs: list[str], free: dict[int, Any] | None = None
) -> torch.onnx.ONNXProgram:
    """A network in evaluation mode as ONNX, traced on pictures uint8 [N, 3, H, W].

    The input is `images`; of its dimensions those in `free` may have other sizes at each run.
    """
    model.eval()
    program = torch.onnx.export(model, (images,), dynamo=True, opset_version=OPSET, verbose=False,
                                input_names=["images"], output_names=outputs,
                                dynamic_shapes=(free,) if free else None)  # fmt: skip
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces, with the folders of who exported it
    return program


class PreparationLayer(nn.Module):
    """`to_input` in operations that ONNX has: uint8 [N, 3, H, W] to float32 [N, 3, size, size].

    ONNX has an antialiased Resize, but onnxruntime's rounds otherwise than torch: 8 of 100 values
    came out one or two of 256 levels off. So the resize is two matrix products, and equal to
    torch's to the last bit. A machine without AVX2 or NEON, or a GPU, makes torch resize in
    floats, with one level's difference here and there.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Uint8 [N, 3, H, W] to float32 [N, 3, size, size] from -1 to 1."""
        # first across, then down: torch rounds to bytes in between
        levels = images.double()
        weights, unit = resize_weights(images.shape[3], self.size)
        levels = _to_bytes(levels @ weights.T, unit)
        weights, unit = resize_weights(images.shape[2], self.size)
        levels = _to_bytes(weights @ levels, unit)
        return levels.float() / 127.5 - 1.0


def resize_weights(length: int, size: int) -> tuple[Tensor, Tensor]:
    """What each of `length` pixels adds to each of `size`, as torch's resize of bytes counts it.

    A triangle around the new pixel's place, as wide as its neighbours' places are apart, of sum
    1; then in units that make the largest weight fit 16 bits (Pillow-SIMD's way; in torch
    aten/src/ATen/native/cpu/UpSampleKernel.cpp, `_compute_index_ranges_int16_weights`). Doubles
    hold these integers and their sums exactly.

    Returns:
        Whole numbers float64 [size, length], and how many make 1, float64 [].
    """
    pixels = torch.arange(length, dtype=torch.float64) + 0.5
    scale = (pixels[-1] + 0.5) / size  # a tensor, so that ONNX computes it anew for each length
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    distances = (pixels[None, :] - places[:, None]).abs() / scale.clamp(min=1.0)
    weights = (1.0 - distances).clamp(min=0.0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    units = 2.0 ** torch.arange(23, dtype=torch.float64)
    unit = torch.where((weights.max() * units + 0.5).floor() < 2**15, units, 1.0).max()
    return (weights * unit + 0.5).floor(), unit


def _to_bytes(sums: Tensor, unit: Tensor) -> Tensor:
    return ((sums + unit / 2) / unit).floor().clamp(0.0, 255.0)
