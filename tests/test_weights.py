"""Weights files: whole or not at all, nothing executed, errors a person can act on."""

import resource
import subprocess
import sys
import textwrap

import pytest
import torch
from safetensors.torch import load_file, save_file

from fashionlib.blocks import PLANS
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.weights import load_classifier, load_tensors, save_classifier, save_tensors


def test_a_classifier_comes_back_with_all_it_needs(tmp_path):
    model = build_classifier("fashion", 3).eval()
    path = tmp_path / "new folder" / "classifier.safetensors"
    save_classifier(path, model, PLANS["fashion"], ("a", "b", "é"), 128, seed=4)
    loaded, metadata = load_classifier(path)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(loaded(x), model(x), atol=1e-5)
    assert metadata["classes"] == ["a", "b", "é"]
    assert metadata["preprocessing"] == {"resize": "square", "size": 128, "range": [-1.0, 1.0]}
    assert metadata["plan"]["stem"] == 24
    assert metadata["seed"] == 4
    assert not loaded.training


def test_the_same_model_makes_the_same_bytes(tmp_path):
    model = build_classifier("article")
    for name in ("one", "two"):
        save_classifier(tmp_path / name, model, PLANS["article"], ("a",) * 7, 64)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FashionError, match="no file") as caught:
        load_classifier(tmp_path / "none.safetensors")
    assert "none.safetensors" in one_line(caught)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 64])
def test_not_a_weights_file(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(FashionError, match=r"broken\.safetensors") as caught:
        load_tensors(path)
    one_line(caught)


def test_a_truncated_weights_file(tmp_path):
    path = tmp_path / "cut.safetensors"
    save_classifier(path, build_classifier("article"), PLANS["article"], ("a",) * 7, 64)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FashionError, match="not a whole weights file") as caught:
        load_classifier(path)
    one_line(caught)


def test_weights_of_another_model(tmp_path):
    path = tmp_path / "other.safetensors"
    model = build_classifier("article-dense")
    save_classifier(path, model, PLANS["article"], ("a",) * 7, 64)
    with pytest.raises(FashionError, match="another model") as caught:
        load_classifier(path)
    one_line(caught)


def test_other_tensors_are_not_a_classifier(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(FashionError, match="holds no classifier") as caught:
        load_classifier(path)
    one_line(caught)


def test_a_full_disk_leaves_the_old_weights_whole(tmp_path):
    """A file size limit stands in for the full disk; both are an OSError in the middle of it."""
    path = tmp_path / "kept.safetensors"
    save_tensors(path, {"x": torch.arange(4.0)}, {"kind": "old"})
    program = textwrap.dedent("""
        import resource, signal, sys, torch
        from fashionlib.errors import FashionError
        from fashionlib.weights import save_tensors
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_tensors(sys.argv[1], {"x": torch.zeros(1_000_000)}, {"kind": "new"})
        except FashionError as error:
            print(error)
            sys.exit(2)
    """)
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "could not write" in done.stdout
    assert done.stdout.count("\n") == 1
    assert torch.equal(load_file(path)["x"], torch.arange(4.0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.safetensors"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
