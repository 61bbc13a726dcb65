"""Quantised files: 8 bits where it counts, nearly the same answers, and one-line errors."""

import sys
from pathlib import Path

import onnx
import onnxruntime.quantization
import pytest
import torch
from complaints import complaint
from onnx import TensorProto, numpy_helper
from tiny import sized
from torch import nn

from fashionlib.blocks import Plan
from fashionlib.catalog import load_catalog
from fashionlib.drawn import SEVEN, drawn_pictures
from fashionlib.export import export_onnx, load_onnx
from fashionlib.export.quantise import quantise_onnx
from fashionlib.heads import build_classifier
from fashionlib.look_encoder import NAMELESS, look_encoder_from
from fashionlib.transforms import to_input
from fashionlib.weights import save_classifier, save_encoder, shipped

PLAN = Plan(8, ((2, 16, 2, 2), (4, 40, 2, 2)))
SIZE = 57
CLASSES = ("hat", "skirt", "é")
PICTURES = torch.from_numpy(drawn_pictures(80, 7, 120)[0])
CALIBRATION, OTHERS = PICTURES[:40], PICTURES[40:]


def settled(model: nn.Module) -> nn.Module:
    """With norms that have seen pictures, and weights where new ones are 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.any():
            nn.init.normal_(layer.weight)
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        model.train()(to_input(PICTURES, SIZE))
    return sized(model.eval(), SIZE)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Of each kind the exported file and the quantised one."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("quantised")
    classifier = settled(build_classifier(PLAN, len(CLASSES)))
    save_classifier(folder / "classifier.safetensors", classifier, CLASSES)
    encoder = settled(look_encoder_from(build_classifier(PLAN), (SEVEN, *NAMELESS)))
    save_encoder(folder / "encoder.safetensors", encoder, distance_limit=0.5)
    made = {}
    for kind in ("classifier", "encoder"):
        exported, small = folder / f"{kind}.onnx", folder / f"{kind}_int8.onnx"
        export_onnx(folder / f"{kind}.safetensors", exported)
        quantise_onnx(exported, small, CALIBRATION)
        made[kind] = exported, small
    return made


@pytest.mark.parametrize("kind", ["classifier", "encoder"])
def test_answers_are_nearly_those_of_the_exported_file(files, kind):
    """For pictures that set no scale: all at once, one at a time, and of another size."""
    exact, small = (load_onnx(path)[0] for path in files[kind])
    spread = (exact(OTHERS) - exact(OTHERS).mean(dim=0)).norm(dim=1).mean()
    for pictures, at_once in ((OTHERS, 40), (OTHERS, 1), (OTHERS[:, :, :90, :61], 5)):
        expected = exact(pictures)
        answer = torch.cat([small(batch) for batch in pictures.split(at_once)])
        assert answer.dtype == torch.float32
        assert answer.shape == expected.shape
        assert not torch.equal(answer, expected), "nothing was rounded"
        assert (answer - expected).norm(dim=1).mean() < 0.25 * spread
        if kind == "encoder":
            assert torch.allclose(answer.norm(dim=1), torch.ones(len(answer)), atol=0.02)


@pytest.mark.parametrize("kind", ["classifier", "encoder"])
def test_weights_of_convolutions_are_bytes_and_the_preparation_is_untouched(files, kind):
    exact, small = (onnx.load(path) for path in files[kind])
    onnx.checker.check_model(small, full_check=True)
    assert [(entry.domain, entry.version) for entry in small.opset_import] == [("", 18)]
    stored = {tensor.name: tensor for tensor in small.graph.initializer}
    made = {name: node for node in small.graph.node for name in node.output}
    convolutions = [node for node in small.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 8
    for node in convolutions:
        weights = made[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        assert stored[weights.input[0]].data_type == TensorProto.INT8
        values, scales, zeros = (numpy_helper.to_array(stored[name]) for name in weights.input)
        assert not zeros.any()
        # Two products with bytes fit in 16 bits, as processors without VNNI need it
        largest = abs(values.astype(int)).max()
        assert largest > 32
        assert 2 * 255 * largest < 2**15
        assert scales.shape == values.shape[:1]
    kept = {node.name: node for node in small.graph.node}
    for node in exact.graph.node:
        if node.op_type == "Conv":
            break
        assert kept[node.name] == node
    assert files[kind][1].stat().st_size < files[kind][0].stat().st_size


@pytest.mark.parametrize("kind", ["classifier", "encoder"])
def test_what_flows_between_layers_is_unsigned_bytes(files, kind):
    """From 0 to 255: what a convolution or a linear layer reads comes out of such bytes."""
    small = onnx.load(files[kind][1])
    stored = {tensor.name: tensor for tensor in small.graph.initializer}
    made = {name: node for node in small.graph.node for name in node.output}
    rounded = [node for node in small.graph.node if node.op_type == "QuantizeLinear"]
    assert len(rounded) > 8
    assert {stored[node.input[2]].data_type for node in rounded} == {TensorProto.UINT8}
    layers = [node for node in small.graph.node if node.op_type in ("Conv", "Gemm")]
    for node in layers:
        assert made[node.input[0]].op_type == "DequantizeLinear", node.name
    assert {node.op_type for node in layers} == {"Conv", "Gemm"}


def test_skips_and_limits_of_a_block_are_in_bytes_too(files):
    """Of PLAN's four blocks two have a skip; ReLU6 is nothing but the range of its bytes."""
    graph = onnx.load(files["classifier"][1]).graph
    made = {name: node for node in graph.node for name in node.output}
    first = [node.op_type for node in graph.node].index("Conv")
    network = list(graph.node)[first:]
    skips = [node for node in network if node.op_type == "Add"]
    assert len(skips) == 2
    for node in skips:
        assert [made[name].op_type for name in node.input] == ["DequantizeLinear"] * 2
        readers = {other.op_type for other in network if node.output[0] in other.input}
        assert readers == {"QuantizeLinear"}
    assert not [node for node in network if node.op_type == "Clip"]


def test_the_file_says_what_it_is(files):
    for exported, small in files.values():
        before, after = load_onnx(exported)[1], load_onnx(small)[1]
        assert after["quantised"] == {"from": before["fingerprint"], "pictures": 40}
        assert after["fingerprint"] != before["fingerprint"]
        assert len(after["fingerprint"]) == len(before["fingerprint"])
        changed = {"quantised", "fingerprint"}
        assert {k: v for k, v in after.items() if k not in changed} == {
            k: v for k, v in before.items() if k not in changed
        }
        assert [p.key for p in onnx.load(small).metadata_props] == ["fashionlib", "sha256"]


def test_the_same_file_twice_and_another_for_other_pictures(files, tmp_path, caplog):
    exported, small = files["classifier"]
    quantise_onnx(exported, tmp_path / "again.onnx", CALIBRATION)
    assert (tmp_path / "again.onnx").read_bytes() == small.read_bytes()
    quantise_onnx(exported, tmp_path / "other.onnx", OTHERS[:20])
    metadata = load_onnx(tmp_path / "other.onnx")[1]
    assert metadata["quantised"]["pictures"] == 20
    assert metadata["fingerprint"] != load_onnx(small)[1]["fingerprint"]
    assert not caplog.records


@pytest.mark.parametrize("name", ["classifier_photos", "encoder_photos"])
def test_shipped_weights_lose_little(photos_here, tmp_path, name):
    """On every third test photo; scales are set by training photos."""
    catalog = load_catalog("photos")
    exported, small = tmp_path / "exported.onnx", tmp_path / "small.onnx"
    export_onnx(shipped(name), exported)
    quantise_onnx(exported, small, catalog.train.images[::20])
    exact, rounded = (load_onnx(path)[0](catalog.test.images[::3]) for path in (exported, small))
    assert small.stat().st_size < 0.4 * exported.stat().st_size
    if name == "classifier_photos":
        same = (exact.argmax(dim=1) == rounded.argmax(dim=1)).float().mean()
        print(f"{same:.1%} of {len(exact)} photos get the same class")
        assert same > 0.97
    else:
        moved = (exact - rounded).norm(dim=1).mean()
        apart = torch.pdist(exact).mean()
        print(f"embeddings move by {moved:.3f}, and are {apart:.2f} apart")
        assert moved < 0.05 * apart


# Mistakes


def test_out_must_end_in_onnx(files, tmp_path):
    for name in ("small", "small.int8"):
        complaint(
            lambda name=name: quantise_onnx(files["encoder"][0], tmp_path / name, CALIBRATION),
            name,
            "end it in .onnx",
        )
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_quantised(files, tmp_path):
    out, text = tmp_path / "out.onnx", tmp_path / "text.onnx"
    text.write_text("not a graph")
    complaint(lambda: quantise_onnx(tmp_path / "none.onnx", out, CALIBRATION), "no file")
    complaint(lambda: quantise_onnx(text, out, CALIBRATION), text, "not a whole ONNX file")
    exact, small = files["classifier"]
    complaint(lambda: quantise_onnx(exact, exact, CALIBRATION), exact, "is read for this")
    complaint(lambda: quantise_onnx(small, out, CALIBRATION), small, "quantised already")
    assert not out.exists()


@pytest.mark.parametrize(
    "pictures",
    [CALIBRATION[:0], CALIBRATION.float(), CALIBRATION[0]],
    ids=["none", "floats", "one"],
)
def test_what_are_no_pictures(files, tmp_path, pictures):
    complaint(lambda: quantise_onnx(files["classifier"][0], tmp_path / "o.onnx", pictures), "uint8")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_file_whole(files, tmp_path, monkeypatch):
    out = tmp_path / "kept.onnx"
    out.write_bytes(b"old")

    def full(model, destination, *_, **__):
        Path(destination).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", full)
    complaint(lambda: quantise_onnx(files["classifier"][0], out, CALIBRATION), out, "No space")
    assert out.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.onnx"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime.quantization"])
def test_a_missing_package_is_one_line(files, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = complaint(
        lambda: quantise_onnx(files["encoder"][0], tmp_path / "out.onnx", CALIBRATION), package
    )
    assert 'pip install "fashionlib[export]"' in message
    assert not list(tmp_path.iterdir())


def test_every_picture_sets_the_scales(files, tmp_path):
    """The bright ones come last, behind a whole batch of dark ones."""
    dark, bright = CALIBRATION[:1] // 16, CALIBRATION[8:]
    made = []
    for name, pictures in (("dark", dark.expand(32, -1, -1, -1)),
                           ("both", torch.cat([dark.expand(32, -1, -1, -1), bright]))):  # fmt: skip
        quantise_onnx(files["classifier"][0], tmp_path / f"{name}.onnx", pictures)
        made.append(load_onnx(tmp_path / f"{name}.onnx")[0](OTHERS))
    exact = load_onnx(files["classifier"][0])[0](OTHERS)
    worse, better = ((answer - exact).norm(dim=1).mean() for answer in made)
    assert better < 0.8 * worse
