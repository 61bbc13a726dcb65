import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from fashionlib.drawn.not_garments import pictures_of_no_garment

KNOWN = {  # mean red, green and blue of the first three, as they were when chapter 8 measured them
    "empty backdrop": [[121, 105, 98], [194, 188, 183], [225, 221, 212]],
    "temple": [[187, 189, 187], [183, 182, 182], [143, 140, 134]],
    "flower": [[91, 82, 57], [81, 80, 56], [82, 83, 59]],
}


def test_pictures_of_each_kind_and_the_same_again():
    first, again = (pictures_of_no_garment(3, seed=1, size=48) for _ in range(2))
    assert list(first) == ["empty backdrop", "temple", "flower", "printed page", "noise"]
    for name, images in first.items():
        assert images.shape == (3, 3, 48, 48), name
        assert images.dtype == torch.uint8
        assert torch.equal(images, again[name])
        assert not torch.equal(images[0], images[1]), name
        assert images.float().std() > 5, name  # not one flat colour
    for name, means in KNOWN.items():
        assert first[name].float().mean(dim=(2, 3)).numpy() == pytest.approx(np.array(means), abs=3)


def test_another_seed_gives_other_pictures():
    first, other = (pictures_of_no_garment(1, seed, 48) for seed in (1, 2))
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_pieces_of_a_photograph_are_of_many_sizes(monkeypatch):
    sides, wholes, pieces, crop = [], [], [], Image.Image.crop

    def watched(picture, box):
        wholes.append(np.asarray(picture))
        sides.append((box[2] - box[0]) / min(picture.size))
        pieces.append(np.asarray(crop(picture, box).resize((48, 48))))
        return crop(picture, box)

    monkeypatch.setattr(Image.Image, "crop", watched)
    found = pictures_of_no_garment(15, seed=1, size=48)
    assert len(sides) == 30
    for name, images in found.items():  # more of each than there are kinds of backdrops
        assert len({image.numpy().tobytes() for image in images}) == 15, name
    upright = torch.cat([found["temple"], found["flower"]]).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(upright, pieces)
    assert 0.39 < min(sides) < 0.55
    assert 0.85 < max(sides) <= 1.0
    for name, own in (("china.jpg", wholes[:15]), ("flower.jpg", wholes[15:])):  # temple first
        photograph = load_sample_image(name)
        assert all(np.array_equal(whole, photograph) for whole in own)
