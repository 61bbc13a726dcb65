"""ONNX files in whole numbers of 8 bits: far smaller, at the cost of a little accuracy.

Static quantisation (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", arXiv 1712.05877): weights get one scale for each output
channel, and what flows between layers one scale each, from the extremes that real pictures reach.
"""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.export import load_onnx, seal
from fashionlib.files import check_place, replacing
from fashionlib.settings import optional

# Blocks and linear layers. Norms and roots stay as they are, and so does the preparation of
# pictures: it computes in doubles, which are never quantised
QUANTISED = ("Conv", "Clip", "Add", "Gemm")
BATCH = 32  # pictures looked at in one run


def quantise_onnx(path: Path | str, out: Path | str, pictures: Tensor) -> None:
    """Write what `export_onnx` wrote to `path` with weights and activations of 8 bits to `out`.

    The preparation of pictures stays as it is, and so do input and output; `load_onnx` runs the
    file. Its metadata have the entry `quantised`, and a fingerprint of their own: embeddings in 8
    bits are not those of the encoder they come from.

    Args:
        path: an ONNX file of this library.
        out: where to write.
        pictures: uint8 [N, 3, H, W], a few hundred training pictures, which set the scales.

    Raises:
        FashionError: `out` does not end in .onnx, is `path` itself or cannot be written (what was
            there before is unharmed), `path` is no such file or is quantised already, there are no
            pictures, or the optional packages are missing.
    """
    onnx = optional("onnx", "export")
    quantisation = optional("onnxruntime.quantization", "export")
    if Path(out).suffix != ".onnx":
        raise FashionError(f"{out}: the result is an ONNX file, so end it in .onnx.")
    check_place(Path(out), path)
    run, metadata = load_onnx(path)
    if "quantised" in metadata:
        raise FashionError(f"{path} is quantised already: start from the exported file.")
    run(pictures[:1])  # complains about what are no pictures
    model = onnx.load(path)
    # torch has folded the norms
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    batches = iter([{"images": batch.numpy()} for batch in pictures.split(BATCH)])
    with replacing(out) as temporary:
        quantisation.quantize_static(
            model,
            temporary,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            per_channel=True,
            # The fast instructions multiply unsigned by signed bytes. Without VNNI they add two
            # products in 16 bits and cut off what does not fit; weights of 7 bits always fit, so
            # the answers are the same on every processor
            activation_type=quantisation.QuantType.QUInt8,
            weight_type=quantisation.QuantType.QInt8,
            reduce_range=True,
            op_types_to_quantize=list(QUANTISED),
        )
        model = onnx.load(temporary)
        graph = hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()
        about = {"from": metadata["fingerprint"], "pictures": len(pictures)}
        metadata |= {"fingerprint": graph[:16], "quantised": about}
        onnx.helper.set_model_props(model, {"fashionlib": json.dumps(metadata, sort_keys=True)})
        onnx.save(model, temporary)
        seal(temporary)
