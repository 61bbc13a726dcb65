"""Searching goes on while a catalog is embedded anew: two indexes and a swap (chapter 6)."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor, nn

from fashionlib.search import Results, SearchIndex, embed_picture


@dataclass(frozen=True, eq=False)
class Searcher:
    """An encoder and the index that it made: of no use apart, so they are kept together.

    Raises:
        FashionError: another encoder made the index.
    """

    encoder: nn.Module
    index: SearchIndex

    def __post_init__(self) -> None:
        self.index.check(self.encoder)

    def search(self, picture: Image.Image | Tensor, k: int) -> Results:
        """The k nearest to a picture: RGB from `read_picture`, or uint8 [3, H, W]."""
        return self.index.search(embed_picture(self.encoder, picture), k)


class LiveIndex:
    """What a service searches in; threads may search while another one swaps.

    `searcher` is one reference, read once for each search. So a query that began with the old
    encoder ends in the old index, and the next one finds both new: no lock, and no pause.
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher

    def swap(self, searcher: Searcher) -> Searcher:
        """Search in this one from now on; returns the old one, which running queries may use."""
        self.searcher, old = searcher, self.searcher
        return old

    def search(self, picture: Image.Image | Tensor, k: int) -> Results:
        """As `Searcher.search`, in the searcher of this moment."""
        return self.searcher.search(picture, k)
