"""Catalogs: pictures with labels, in three splits, decoded once.

The real photos, the drawn garments and a folder of the reader's own all become the same
`Catalog`, so that no chapter has to know which one it works with.
"""

from fashionlib.catalog.contents import SPLITS, Catalog, Split
from fashionlib.catalog.loading import load_catalog
from fashionlib.catalog.pictures import SUFFIXES
from fashionlib.drawn import SEVEN

__all__ = ["SEVEN", "SPLITS", "SUFFIXES", "Catalog", "Split", "load_catalog"]
