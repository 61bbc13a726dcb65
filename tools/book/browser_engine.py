"""What the page *Try it* loads: both networks, the catalog's embeddings and its pictures, as files.

The page is static, so all that a server would compute is computed here, when the book is built.
What depends on the reader's picture, the reader's browser computes (book/_static/search_engine.js).
"""

import hashlib
import json
import shutil
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from fetch_runtime import BOOK_CACHE, FILES, runtime_package, unpack_runtime
from onnx import TensorProto, helper, numpy_helper
from page_key import library_hash
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.catalog import Catalog, Split, load_catalog
from fashionlib.errors import FashionError
from fashionlib.export import PreparationLayer, to_program
from fashionlib.files import new_folder
from fashionlib.inference import predict
from fashionlib.look_encoder import LOOK_SHARE
from fashionlib.search import SIDE
from fashionlib.settings import budget
from fashionlib.weights import load_classifier, load_encoder, shipped

THUMBNAIL = 96  # pixels; the page shows them at this size
ACROSS, DOWN = 8, 8  # thumbnails in one sheet
UNIT = 32767  # what 1.0 becomes as a 16-bit number
OUTPUTS = ["probabilities", "evidence", "embedding"]


def write_search_engine(target: Path, source: str | Path | None = None) -> None:
    """Fill the folder `target` with what the page loads; what was there goes.

    Made once for each catalog, state of the library and weights, and kept in `.book_cache`.
    Without a network and without the runtime in the cache the files come without it, and the
    page says so.

    Raises:
        FashionError: `source` is no catalog that weights come with, or the disk is full.
    """
    catalog = load_catalog(source, few=budget(False, quick=True))
    print(catalog.about)
    made = BOOK_CACHE / f"search_engine-{_key(catalog)}"
    if not made.is_dir():
        with new_folder(made) as temporary:
            make_engine(catalog, temporary)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target)
    about = json.loads((target / "engine.json").read_text(encoding="utf-8"))
    about["version"] = made.name  # part of every address: a browser keeps none of an older book
    try:
        unpack_runtime(runtime_package(), target / "runtime")
        about["runtime"] = {name: (target / "runtime" / name).stat().st_size for name in FILES}
    except FashionError as error:
        about["runtime"] = None
        print(f"The page Try it is built without its runtime: {error}")
    (target / "engine.json").write_text(json.dumps(about), encoding="utf-8")


def _key(catalog: Catalog) -> str:
    """Changes with everything that the files are made from."""
    code = library_hash(Path(__file__).read_text(encoding="utf-8"))
    pictures = [zlib.crc32(split.images.numpy()) for split in catalog.splits.values()]
    train = catalog.train
    made_from = repr((code, catalog.name, train.names, train.attributes, pictures))
    return hashlib.sha256(made_from.encode()).hexdigest()[:12]


def make_engine(catalog: Catalog, folder: Path) -> None:
    """Write the model, the embeddings, sheets of thumbnails, examples and `engine.json`."""
    classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
    encoder, metadata = load_encoder(shipped(f"encoder_{catalog.name}"))
    export_engine(BothNetworks(classifier, encoder), folder / "model.onnx")
    embeddings = predict(encoder, catalog.train.images)
    order = arranged(embeddings, catalog.train.labels)
    (folder / "embeddings.bin").write_bytes(to_int16(embeddings[order]).tobytes())
    for number, part in enumerate(order.split(ACROSS * DOWN)):
        _sheet(catalog.train.images[part]).save(folder / f"sheet{number}.webp", quality=60)
    description = {
        "catalog": catalog.name,
        "classes": catalog.classes,
        "counts": catalog.train.labels.bincount(minlength=len(catalog.classes)).tolist(),
        "dimensions": embeddings.shape[1],
        "look": {"size": len(encoder.colours) + len(encoder.patterns), "share": LOOK_SHARE},
        "attributes": attributes(catalog.train.at(order)),
        "unit": UNIT,
        "side": SIDE,
        "limit": metadata.get("distance_limit"),
        "thumbnail": THUMBNAIL,
        "across": ACROSS,
        "down": DOWN,
        "examples": _write_examples(catalog, folder),
        "bytes": {n: (folder / n).stat().st_size for n in ("model.onnx", "embeddings.bin")},
    }
    (folder / "engine.json").write_text(json.dumps(description), encoding="utf-8")


# The networks


class BothNetworks(nn.Module):
    """Classifier and encoder in one graph, each with its preparation (a shared one, if they agree).

    uint8 [1, 3, SIDE, SIDE] to probabilities float32 [1, classes], evidence float32
    [1, classes, h, w] and an embedding float32 [1, dimensions].

    Evidence is the class activation map (Zhou et al. 2016, section 2). A linear layer on a mean
    is the mean of that layer at each place: so the evidence for a class averages to its logit,
    less the bias, and says exactly what each place added. What a place adds to all logits alike
    changes no probability, so the mean over the classes is taken off.
    """

    def __init__(self, classifier: nn.Sequential, encoder: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.classifier_input = PreparationLayer(classifier.preparation.size)
        self.encoder = encoder
        self.encoder_input = PreparationLayer(encoder.preparation.size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        x = self.classifier_input(images)
        maps = self.classifier.backbone.blocks(x)
        logits = self.classifier.head(maps.mean(dim=(2, 3)))
        evidence = F.conv2d(maps, self.classifier.head.linear.weight[:, :, None, None])
        evidence = evidence - evidence.mean(dim=1, keepdim=True)
        if self.encoder_input.size != self.classifier_input.size:
            x = self.encoder_input(images)
        return logits.softmax(dim=1), evidence, self.encoder(x)


def export_engine(networks: BothNetworks, path: Path) -> None:
    """Write the graph for one picture at a time, its weights in 8 bits where there are many."""
    images = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter about its own insides
        program = to_program(networks, images, OUTPUTS)
    onnx.save(with_small_weights(without_twins(program.model_proto)), path)


def without_twins(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with each constant once: the resize has the same across and down."""
    first: dict[tuple, str] = {}
    names = {}
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        key = (values.dtype, values.shape, values.tobytes())
        names[constant.name] = first.setdefault(key, constant.name)
    kept = [each for each in model.graph.initializer if names[each.name] == each.name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in model.graph.node:
        inputs = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
    return model


def with_small_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in about a third of the bytes; it computes with 32 bits as before.

    Kernels are stored in 8 bits, with a scale for each output channel; all else, and what looks are
    read with, in 16 bits. The graph turns both back when it is loaded.
    """
    kept, restored = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        name, small = weight.name, f"{weight.name}_small"
        if values.dtype != np.float32 or values.size <= 16:  # what restores it would be longer
            kept.append(weight)
        elif name.endswith(".weight") and values.ndim > 2:
            steps, scale = to_int8(values)
            kept += [numpy_helper.from_array(steps, small)]
            kept += [numpy_helper.from_array(scale, f"{name}_scale")]
            given = [small, f"{name}_scale"]
            restored.append(helper.make_node("DequantizeLinear", given, [name], axis=0))
        else:
            kept.append(numpy_helper.from_array(values.astype(np.float16), small))
            restored.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
    nodes = [*restored, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return model


def to_int8(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights float32 [C, ...] in steps int8 [C, ...] of size float32 [C], one for each channel."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
    scale = np.maximum(largest, np.float32(1e-12)) / np.float32(127)
    steps = np.round(weights / scale.reshape(-1, *[1] * (weights.ndim - 1)))
    return steps.astype(np.int8), scale


# The catalog


def arranged(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Positions int64 [N] class by class, and within a class with similar ones side by side.

    Neighbours share a sheet of thumbnails, so a search loads few of them. Within a class they
    follow the direction in which its embeddings float32 [N, D] differ most.
    """
    parts = []
    for label in labels.unique():  # ascending
        own = (labels == label).nonzero()[:, 0]
        centred = embeddings[own] - embeddings[own].mean(dim=0)
        direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
        parts.append(own[(centred @ direction).argsort()])
    return torch.cat(parts)


def attributes(split: Split) -> dict[str, dict[str, Any]]:
    """Colours and patterns: the names that occur, and of each picture the letter of its name.

    `{"colour": {"names": ["blue", "red"], "letters": "ab b"}}`: a space where nobody labelled one.
    """
    found = {}
    for key in ("colour", "pattern"):
        values = split.attributes.get(key, ())
        names = sorted(set(values) - {""})
        letter = {name: chr(ord("a") + n) for n, name in enumerate(names)} | {"": " "}
        found[key] = {"names": names, "letters": "".join(letter[value] for value in values)}
    return found


def to_int16(embeddings: Tensor) -> np.ndarray:
    """Numbers from -1 to 1 in steps of 1/UNIT, little-endian: half the bytes, errors of 0.00002."""
    return (embeddings * UNIT).round().numpy().astype("<i2")


def _sheet(images: Tensor) -> Image.Image:
    """Pictures uint8 [N, 3, H, W] as thumbnails in rows, from the top left."""
    rows = -(-len(images) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * THUMBNAIL, rows * THUMBNAIL))
    for n, image in enumerate(images):
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        place = (n % ACROSS * THUMBNAIL, n // ACROSS * THUMBNAIL)
        sheet.paste(picture.resize((THUMBNAIL, THUMBNAIL)), place)
    return sheet


def example_places(catalog: Catalog) -> list[int]:
    """Of each class the first test picture."""
    labels = catalog.test.labels
    return [int((labels == label).nonzero()[0, 0]) for label in labels.unique()]


def _write_examples(catalog: Catalog, folder: Path) -> list[dict[str, Any]]:
    """The examples: as they are, and in a sheet to choose from."""
    places = example_places(catalog)
    _sheet(catalog.test.images[places]).save(folder / "examples.webp", quality=60)
    examples = []
    for place in places:
        name = catalog.test.names[place]
        category = catalog.classes[catalog.test.labels[place]]
        if catalog.root is None:
            file = f"example-{category}.jpg"
            catalog.open(name).save(folder / file, quality=90)
        else:
            file = f"example-{category}{Path(name).suffix.lower()}"
            shutil.copyfile(catalog.root / name, folder / file)
        examples.append({"file": file, "category": category})
    return examples
