"""Smart Fashion Search: what the chapters build, for a shop to use.

```python
import fashionlib

encoder, _ = fashionlib.load_encoder(fashionlib.shipped("encoder_photos"))
catalog = fashionlib.load_catalog("my/clothes")
index = fashionlib.build_index(encoder, catalog.train.images, catalog.train.names)
for split in filter(len, (catalog.validation, catalog.test)):  # a small folder may lack one
    index = index.add(fashionlib.predict(encoder, split.images), split.names)
index.save("clothes.safetensors")
picture = fashionlib.read_picture("query.jpg")
print(index.search(fashionlib.embed_picture(encoder, picture), k=5).ids[0])
```

The core, in the order of the chapters: blocks, heads; transforms, inference, metrics, training;
triplets, siamese, look_encoder, retrieval; search. Around it are rooms, one folder each.
"""

import os
from importlib import import_module
from typing import Any

# torch's threads wait for each other in busy loops. Where other programs need the cores too, that
# makes a training several times as slow: let them sleep soon. torch reads this when it is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Where each name is defined. It is imported when it is first used: torch takes seconds, and a
# search needs none of what a training does.
_HOMES = {
    "load_catalog": "catalog",
    "read_picture": "catalog.pictures",
    "build_classifier": "heads",
    "train_classifier": "training",
    "encoder_for": "siamese",
    "train_siamese": "siamese",
    "load_classifier": "weights",
    "load_encoder": "weights",
    "save_classifier": "weights",
    "save_encoder": "weights",
    "shipped": "weights",
    "fingerprint": "weights",
    "predict": "inference",
    "SearchIndex": "search",
    "build_index": "search",
    "embed_picture": "search",
    "open_store": "stores",
    "FashionError": "errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - of the names above, all there


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
