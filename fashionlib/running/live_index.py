"""Searching goes on while a catalog is embedded anew: two indexes and a swap (chapter 6)."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor, nn

from fashionlib.search import Results, SearchIndex, embed_picture


@dataclass(frozen=True, eq=False)
class Engine:
    """An encoder and the index that it made: of no use apart, so they are kept together.

    Raises:
        FashionError: other weights made the index.
    """

    encoder: nn.Module  # in evaluation mode
    index: SearchIndex
    size: int  # side in pixels that queries are embedded at

    def __post_init__(self) -> None:
        self.index.check(self.encoder)

    def search(self, picture: Image.Image | Tensor, k: int) -> Results:
        """The k nearest to a picture: RGB from `read_picture`, or uint8 [3, H, W]."""
        return self.index.search(embed_picture(self.encoder, picture, self.size), k)


class LiveIndex:
    """What a service searches in; threads may search while another one swaps.

    `engine` is one reference, read once for each search. So a query that began with the old
    encoder ends in the old index, and the next one finds both new: no lock, and no pause.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def swap(self, engine: Engine) -> Engine:
        """Search in this one from now on; returns the old one, which running queries may use."""
        self.engine, old = engine, self.engine
        return old

    def search(self, picture: Image.Image | Tensor, k: int) -> Results:
        """As `Engine.search`, in the engine of this moment."""
        return self.engine.search(picture, k)
