"""The search at the top of the front page: a garment and its five nearest, found by our encoder.

Made when the book is built, with the photos or, where there are none, with drawn garments. Of all
dresses in the test split the query is the one whose results are nearest: the page says so.
"""

import base64
import hashlib
import html
import io
from pathlib import Path
from string import Template

from fetch_runtime import BOOK_CACHE
from page_key import library_hash
from PIL import Image
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from torch import Tensor

from fashionlib.catalog import Catalog, load_catalog
from fashionlib.files import replacing
from fashionlib.inference import predict
from fashionlib.search import build_index
from fashionlib.settings import budget
from fashionlib.weights import load_encoder, shipped

PAGE, MARK = "index", "<!-- a search -->"
WANTED, SEVERAL, RESULTS = "dress", "dresses", 5
FIGURE = Template("""\
<figure class="first-search" aria-label="A search and what it found">
<ol>
$pictures
</ol>
<figcaption>$caption</figcaption>
</figure>""")
PICTURE = Template('<li class="$kind"><img alt="$alt" src="$source"><span>$text</span></li>')


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx source-read: put the search where the front page has its mark."""
    if docname == PAGE:
        source[0] = source[0].replace(MARK, first_search())


def outdated(app: Sphinx, env: BuildEnvironment, *names: set[str]) -> list[str]:
    """Sphinx env-get-outdated: the page is read in each build, the encoder may have changed."""
    return [PAGE] if PAGE in env.found_docs else []


def first_search(source: str | Path | None = None) -> str:
    """The search as HTML, from `.book_cache` where library, weights and catalog are the same."""
    catalog = load_catalog(source, few=budget(False, quick=True))
    code = library_hash(Path(__file__).read_text(encoding="utf-8"))
    made_from = repr((code, catalog.name, catalog.train.names, catalog.test.names))
    key = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    path = BOOK_CACHE / f"front_page-{key}.html"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(made(catalog), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def made(catalog: Catalog) -> str:
    """The search, and what to know of it, as HTML."""
    encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
    index = build_index(encoder, catalog.train.images, catalog.train.names)
    own = (catalog.test.labels == catalog.classes.index(WANTED)).nonzero()[:, 0]
    results = index.search(predict(encoder, catalog.test.images[own]), RESULTS)
    best = int(results.distances.mean(dim=1).argmin())
    positions = results.positions[best]
    categories = [catalog.classes[label] for label in catalog.train.labels[positions].tolist()]
    pictures = [picture(catalog.test.images[own[best]], "query", f"the query: {WANTED}")]
    for n, (position, category) in enumerate(zip(positions, categories, strict=True), start=1):
        alt = f"result {n}: {category}"
        pictures.append(picture(catalog.train.images[position], "result", alt, f"{n}. {category}"))
    caption = about(catalog, len(index), len(own), categories)
    return FIGURE.substitute(pictures="\n".join(pictures), caption=caption)


def about(catalog: Catalog, searched: int, queries: int, categories: list[str]) -> str:
    """What the search found, how its query was chosen, and the catalog where it is not photos."""
    right = categories.count(WANTED)
    kind = "photos" if catalog.name == "photos" else "drawn garments"
    text = (
        f"A query that the encoder of this book was not trained with, and the {RESULTS} nearest of "
        f"{searched:,} {kind}: {right} of {RESULTS} are {SEVERAL}. Of the {queries} {SEVERAL} kept "
        "for testing, this one has the nearest results. Others go less well: see "
    )
    text = html.escape(text) + '<a href="chapters/04_visual_search.html">chapter 4</a>.'
    if catalog.name != "photos":
        text += " This copy of the book was made without the photos."
    return text


def picture(image: Tensor, kind: str, alt: str, text: str = "query") -> str:
    """A picture uint8 [3, H, W] with a word below it, as an item of the list."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=85)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    words = {"alt": html.escape(alt), "text": html.escape(text)}
    return PICTURE.substitute(kind=kind, source=source, **words)
