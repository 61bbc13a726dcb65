"""How far is too far? A distance to tell queries that are no clothing (chapter 8).

A search engine always finds *something*: the nearest picture of a flower is still some garment.
Whether the nearest is near enough is a question of its own.
"""

from torch import Tensor, nn

from fashionlib.catalog import Catalog
from fashionlib.errors import FashionError
from fashionlib.inference import predict
from fashionlib.search import euclidean


def distance_limit(nearest: Tensor, keep: float = 0.95) -> float:
    """The distance within which a share `keep` of known garments has its nearest picture.

    `nearest` float32 [Q] are the distances of validation pictures to their nearest training
    picture. A query that is farther from everything is unlike most garments. Calibrated on
    garments alone: nobody has to guess what people will photograph instead.

    Raises:
        FashionError: no distances, or `keep` is not between 0 and 1.
    """
    if len(nearest) == 0 or not 0 < keep < 1:
        raise FashionError("a distance limit needs distances, and a share between 0 and 1.")
    return float(nearest.quantile(keep, interpolation="higher"))


def calibrated_limit(encoder: nn.Module, catalog: Catalog) -> float:
    """`distance_limit` of an encoder: validation pictures among the training pictures.

    Raises:
        FashionError: the catalog has no validation pictures.
    """
    if len(catalog.validation) == 0:
        raise FashionError(f"{catalog.name} has no validation pictures to find a limit with.")
    queries = predict(encoder, catalog.validation.images)
    known = predict(encoder, catalog.train.images)
    return round(distance_limit(euclidean(queries, known).min(dim=1).values), 4)
