"""Embeddings as a map: 64 numbers become a place on paper (chapter 8).

Source: van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from sklearn.manifold import TSNE
from torch import Tensor
from torch.nn import functional as F

from fashionlib.errors import FashionError, printable
from fashionlib.pages.plots import PALETTE, as_it_is

THUMBNAIL = 24  # side in pixels: small enough for some hundreds on one map


def places_on_map(embeddings: Tensor) -> Tensor:
    """A place for each of embeddings float32 [N, D]: float32 [N, 2], both from 0 to 1.

    t-SNE tries to keep neighbours neighbours. It does not keep distances: how far two groups lie
    apart on the map, and how large a group is drawn, means nothing.

    Raises:
        FashionError: fewer than 5 embeddings; there is no map of so few.
    """
    if len(embeddings) < 5:
        raise FashionError(f"a map of {len(embeddings)} pictures: take at least 5.")
    perplexity = min(30, (len(embeddings) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
    places = torch.from_numpy(flat.fit_transform(embeddings.numpy()))
    low, high = places.min(dim=0).values, places.max(dim=0).values
    return (places - low) / (high - low)


@as_it_is
def map_figure(places: Tensor, images: Tensor, labels: Tensor, classes: Sequence[str]) -> Figure:
    """The pictures as thumbnails on their places, with a frame and a name for each class.

    Places float32 [N, 2] from `places_on_map`, pictures uint8 [N, 3, H, W], labels int64 [N].
    """
    figure, axis = plt.subplots(figsize=(9, 9))
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[], yticks=[], frame_on=False)
    small = F.interpolate(images.float(), (THUMBNAIL, THUMBNAIL), mode="area").byte()
    for place, picture, label in zip(places.tolist(), small, labels.tolist(), strict=True):
        thumbnail = OffsetImage(np.moveaxis(picture.numpy(), 0, -1))
        frame = {"edgecolor": PALETTE[label % len(PALETTE)], "linewidth": 1.5}
        axis.add_artist(AnnotationBbox(thumbnail, place, pad=0.1, bboxprops=frame))
    for label in sorted(set(labels.tolist())):
        own = places[labels == label]
        middle = own[torch.cdist(own, own).sum(dim=1).argmin()]  # nearest to all of its class
        frame = {"boxstyle": "round", "facecolor": "white", "alpha": 0.85, "edgecolor": "none"}
        axis.text(*middle.tolist(), printable(classes[label]), zorder=5, ha="center", va="center",
                  fontweight="bold", bbox=frame)  # fmt: skip
    return figure
