import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from fashionlib.drawn.not_garments import pictures_of_no_garment


def test_pictures_of_each_kind_and_the_same_again():
    first, again = (pictures_of_no_garment(3, seed=1, size=48) for _ in range(2))
    assert list(first) == ["empty backdrop", "temple", "flower", "printed page", "noise"]
    for name, images in first.items():
        assert images.shape == (3, 3, 48, 48), name
        assert images.dtype == torch.uint8
        assert torch.equal(images, again[name])
        assert not torch.equal(images[0], images[1]), name
        assert images.float().std() > 5, name  # not one flat colour


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
    upright = torch.cat([found["temple"], found["flower"]]).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(upright, pieces)
    assert 0.39 < min(sides) < 0.55
    assert 0.85 < max(sides) <= 1.0
    for name, own in (("china.jpg", wholes[:15]), ("flower.jpg", wholes[15:])):  # temple first
        photograph = load_sample_image(name)
        assert all(np.array_equal(whole, photograph) for whole in own)
