"""Chapter 7 says of a backbone that it has learned something only beside one that has not."""

from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parents[2]
CELLS = jupytext.read(ROOT / "notebooks" / "07_detection_head.py").cells
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]


def test_the_control_is_the_same_network_and_head_but_for_its_weights():
    (cell,) = (source for source in CODE if "random_weights = build_classifier(" in source)
    assert 'build_classifier("fashion", len(SEVEN))' in cell
    assert "update_bn(" in cell
    assert "control = train_heads(random_maps)" in cell
    assert any("\ntrained = train_heads(maps)\n" in source for source in CODE)
    (test,) = (source for source in CODE if "always the mean box" in source)
    assert "random_maps" in test


def test_what_the_control_says_is_chosen_by_its_measurement():
    (cell,) = (source for source in CODE if 'comes "\n' in source)
    assert cell.count("if ") >= 3
    assert "gains[1] / gains[0]" in cell


def test_there_is_something_to_touch():
    assert sum(source.splitlines()[-1].startswith("slider(") for source in CODE) == 1
