"""Saving and loading: tensors and plain text in one safetensors file; loading runs no code."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from fashionlib.blocks import Plan
from fashionlib.catalog.pictures import PREPROCESSING
from fashionlib.errors import FashionError
from fashionlib.files import replacing, taking_apart
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.look_encoder import LookEncoder, look_encoder_from
from fashionlib.transforms import Preparation

SHIPPED = Path(__file__).with_name("shipped")


def save_tensors(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and metadata (anything JSON can hold) to `path`, whole or not at all.

    Raises:
        FashionError: the place cannot be written; what was there before is unharmed.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry: safetensors writes several in an order that changes from run to run
    about = {"about": metadata, "sha256": tensors_hash(plain, metadata)}
    text = {"fashionlib": json.dumps(about, sort_keys=True)}
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, text)
        except SafetensorError as error:  # it wraps what the disk said
            raise OSError(str(error)) from error


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: tensors on the CPU, and the metadata.

    The file is read once, so another process may replace it meanwhile.

    Raises:
        FashionError: no such file; it cannot be read, is not one of ours, or not as it was written.
    """
    path = Path(path)
    if not path.is_file() and path.exists():  # reading a pipe would never end
        raise FashionError(f"{path} is no file: name another, or move it away.")
    if not path.is_file():
        raise FashionError(f"no file {path}: train a model first, or check the path.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FashionError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        tensors = load(content)
        end = 8 + int.from_bytes(content[:8], "little")  # of the header, which begins there
        found = json.loads(json.loads(content[8:end])["__metadata__"]["fashionlib"])
        about, written = dict(found["about"]), found["sha256"]
    except (SafetensorError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise FashionError(f"{path} is not a whole file of this library: {error}") from error
    if tensors_hash(tensors, about) != written:
        raise FashionError(f"{path} is damaged: its content is not what was written. Make it anew.")
    return tensors, about


def tensors_hash(tensors: Mapping[str, Tensor], metadata: Any = None) -> str:
    """Hash of names, kinds, shapes and values of tensors, and of metadata that JSON can hold."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def save_classifier(
    path: Path | str, model: nn.Module, classes: Sequence[str], **more: Any
) -> None:
    """Save a classifier with all it takes to use it: plan, class names, preparation of pictures.

    `more` goes into the metadata too (recipe, catalog, measured accuracy).

    Raises:
        FashionError: the place cannot be written; what was there before is unharmed.
    """
    _save(path, model, {"kind": "classifier", "classes": list(classes), **more})


def save_encoder(path: Path | str, model: nn.Module, **more: Any) -> None:
    """Save an encoder with all it takes to use it; `more` goes into the metadata too.

    Raises:
        FashionError: the place cannot be written; what was there before is unharmed.
    """
    names = None
    if isinstance(model, LookEncoder):
        names = model.categories, model.colours, model.patterns
    about = {"kind": "encoder", "dimensions": dimensions_of(model), "names": names}
    _save(path, model, about | more)


def dimensions_of(encoder: nn.Module) -> int:
    """How many numbers an encoder's embedding has."""
    looks = isinstance(encoder, LookEncoder)
    return sum(encoder.sizes) if looks else encoder.head.linear.out_features


def _save(path: Path | str, model: nn.Module, metadata: dict[str, Any]) -> None:
    metadata["plan"] = asdict(model.backbone.plan)
    metadata["preprocessing"] = asdict(model.preparation)
    save_tensors(path, model.state_dict(), metadata)


def load_classifier(path: Path | str) -> tuple[nn.Sequential, dict[str, Any]]:
    """A classifier ready to use (evaluation mode, on the CPU), and its metadata.

    Raises:
        FashionError: no such file, not a classifier, weights of another model, or no numbers.
    """
    return _load(path, "classifier")


def load_encoder(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """An encoder ready to use (evaluation mode, on the CPU), and its metadata.

    Raises:
        FashionError: no such file, not an encoder, weights of another model, or no numbers.
    """
    return _load(path, "encoder")


def _load(path: Path | str, kind: str) -> tuple[nn.Module, dict[str, Any]]:
    tensors, metadata = load_tensors(path)
    if metadata.get("kind") != kind:
        raise FashionError(f"{path} holds no {kind}: give a file that holds one.")
    with taking_apart(path):
        model = _built(kind, metadata, len(tensors))
        model.preparation = Preparation(metadata["preprocessing"]["size"])
        if json.loads(json.dumps(asdict(model.preparation))) != metadata["preprocessing"]:
            raise FashionError(f"{path} prepares pictures as this version cannot: use a newer one.")
        if type(model.preparation.size) is not int or not 8 <= model.preparation.size <= 2048:
            raise ValueError("no size of pictures")
        if math.isnan(metadata.get("distance_limit", 0)):
            raise ValueError("no distance")
        if _kinds(tensors) != _kinds(model.state_dict()):
            raise FashionError(
                f"{path} holds the weights of another model than its plan says: train it again."
            )
        if not are_numbers(tensors):
            raise FashionError(f"{path} holds weights that are no numbers: train it again.")
        model.load_state_dict(tensors, assign=True)
    return model.to(memory_format=torch.channels_last).eval(), metadata


def are_numbers(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a network can compute with these: all finite, and no variance below 0."""
    squares = (t for name, t in tensors.items() if name.endswith(("running_var", "exp_avg_sq")))
    finite = all(tensor.isfinite().all() for tensor in tensors.values())
    return finite and all((tensor >= 0).all() for tensor in squares)


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


def _built(kind: str, metadata: dict[str, Any], tensors: int) -> nn.Module:
    """The model that metadata describe, without memory for its weights: these are in the file."""
    stages = tuple(map(tuple, metadata["plan"]["stages"]))  # JSON knows lists, a plan has tuples
    plan = Plan(**metadata["plan"] | {"stages": stages})
    if sum(count for _, _, count, _ in stages) > tensors:
        raise ValueError("more blocks than there are weights for")
    # no tensor's shape would tell of these
    if any(type(stride) is not int or not 1 <= stride <= 4 for *_, stride in stages):
        raise ValueError("no stride")
    for names in (metadata.get("classes") or (), *(metadata.get("names") or ())):
        "".join(names)  # fails for what is no text
    named = [metadata["classes"]] if kind == "classifier" else metadata.get("names") or ()
    if not all(named):  # torch would warn of layers without numbers
        raise ValueError("no names")
    with torch.device("meta"):
        if kind == "classifier":
            return build_classifier(plan, len(metadata["classes"]))
        if metadata.get("names"):  # None for one whole embedding
            start = build_classifier(plan)
            return look_encoder_from(start, metadata["names"], metadata["dimensions"])
        return build_encoder(plan, metadata["dimensions"])


def fingerprint(model: nn.Module) -> str:
    """Hash of all that decides what a network answers to a picture file.

    That is its weights and running statistics, how it prepares pictures, and how this version of
    the library reads them. An index remembers which encoder made its embeddings.
    """
    preparation = repr((model.preparation, PREPROCESSING))
    return hashlib.sha256((weights_hash(model) + preparation).encode()).hexdigest()[:16]


def weights_hash(model: nn.Module) -> str:
    """Hash of a network's weights and running statistics alone."""
    return tensors_hash(model.state_dict())[:16]


def shipped(name: str) -> Path:
    """Weights that come with the library: `shipped("encoder_photos")`.

    Raises:
        FashionError: none of that name.
    """
    path = SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        raise FashionError(f"no {name} weights come with this copy: train some, or install again.")
    return path
