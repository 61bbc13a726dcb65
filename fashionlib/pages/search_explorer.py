"""The search explorer: choose a picture, see what the index finds for it (chapter 4).

It has two faces. One runs in Jupyter and searches. The other is for the built page, where no
Python runs: it holds the answers to a handful of queries, and `book/_static/search_explorer.js`
shows the chosen one. Both are drawn by `as_html`.
"""

import base64
import html
import io
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import Template

from PIL import Image
from torch import Tensor, nn

from fashionlib.catalog import SUFFIXES, Catalog
from fashionlib.catalog.contents import Labels, labels_of
from fashionlib.errors import FashionError
from fashionlib.look_encoder import LOOK_SHARE, LookEncoder
from fashionlib.pages.result_strips import FRAMES, SIGNS
from fashionlib.search import (
    Found,
    SearchIndex,
    describe,
    embed_picture,
    narrowed,
    read_query,
)

SHOWN_SIDE = 64  # pixels; six queries in seven classes take about 200 pictures: 250 KB
QUALITY = 70
WORDS = {True: "right", False: "wrong", None: ""}


def _template(name: str) -> Template:
    """A file beside this one; what stands there as `$name` is put in."""
    return Template(Path(__file__).with_name(name).read_text(encoding="utf-8").strip())


PAGE, ANSWER = _template("search_explorer.html"), _template("search_explorer_answer.html")
RESULT = _template("search_explorer_result.html")
STYLE = _template("search_explorer.css").substitute(
    right=FRAMES[True]["color"], wrong=FRAMES[False]["color"]
)


# What is asked, and what was found


@dataclass(frozen=True, eq=False)
class Query:
    """A picture to search with."""

    name: str  # its name in the catalog, or that of an uploaded file
    category: str | None  # None where nobody knows it
    picture: Tensor  # uint8 [3, H, W]
    embedding: Tensor  # float32 [D]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a search found, nearest first."""

    query: Query
    asked: dict[str, str]  # labels that were searched, {"category": "hat"}; empty for all
    count: int  # pictures among which
    found: list[Found]  # ids are names of training pictures


def known_labels(index: SearchIndex, encoder: nn.Module, catalog: Catalog) -> Labels:
    """The labels of each picture in the index, once it is sure that they belong together."""
    index.check(encoder)
    labels = labels_of(catalog)
    for name in index.ids:
        if name not in labels:
            stranger = f"the index holds {name!r}, which is no training picture of {catalog.name}"
            raise FashionError(f"{stranger}: build it from this catalog's.")
    return {name: labels[name] for name in index.ids}


def choices(labels: Labels, key: str) -> list[str]:
    """What can be asked for of a category or a look: "" for all, then each name that occurs."""
    return sorted({"", *(own.get(key, "") for own in labels.values())})


def catalog_query(catalog: Catalog, position: int, encoder: nn.Module) -> Query:
    """One of the catalog's test pictures with its embedding."""
    picture = catalog.test.images[position]
    category = catalog.classes[catalog.test.labels[position]]
    embedding = embed_picture(encoder, picture)
    return Query(catalog.test.names[position], category, picture, embedding)


def uploaded_query(name: str, content: bytes, encoder: nn.Module) -> Query:
    """The bytes of a person's own picture file with its embedding.

    Raises:
        FashionError: they are not a picture, or a broken one.
    """
    file = io.BytesIO(content)
    name = name.encode("utf-8", "replace").decode()  # a front end knows no halves of letters
    file.name = " ".join(name.split())  # by this name `read_picture` complains, in one line
    picture = read_query(file)
    return Query(file.name, None, picture, embed_picture(encoder, picture))


def find(query: Query, index: SearchIndex, labels: Labels, asked: dict[str, str], k: int) -> Answer:
    """The k nearest with the labels that are asked for, "" for any; all where there are fewer.

    That is a search of its own: among the k nearest of all there may be none.
    """
    asked = {key: name for key, name in asked.items() if name}
    index, found = narrowed(index, labels, asked), []
    if index.ids:
        results = index.search(query.embedding, k)
        found = describe(results, lambda name: labels[name]["category"], query.category)
    return Answer(query, asked, len(index), found)


# How it is shown


def sentence(answer: Answer) -> str:
    """The answer in words, as a screen reader says them after a change."""
    found, count = answer.found, answer.count
    asked = " and ".join(f"the {key} {name}" for key, name in answer.asked.items())
    searched = asked or "all categories"
    if not found:
        return f"There are none in {searched}."
    one, first, last = len(found) == 1, found[0].distance, found[-1].distance
    if len(found) == count:
        text = f"There {'is' if one else 'are'} only {count:,} in {searched},"
    elif one:
        text = f"The nearest of {count:,} in {searched} is"
    else:
        text = f"The {len(found)} nearest of {count:,} in {searched} are"
    text += f" at distance {first:.3f}." if one else f" at distances {first:.3f} to {last:.3f}."
    if answer.query.category is None:
        return f"{text} The query's category is not known, so none is marked right or wrong."
    right = sum(each.right for each in found)
    return f"{text} {right} of {len(found)} right: the query's category is {answer.query.category}."


def as_html(answer: Answer, catalog: Catalog, source: Callable[[str, Tensor], str]) -> str:
    """The sentence, the query and the results.

    `source(name, picture)` gives the attributes that say where a picture uint8 [3, H, W] is, the
    query's first.
    """
    query, train = answer.query, catalog.train
    own, results = source(query.name, query.picture), ""
    for found in answer.found:
        # the text under a picture is what its alt text says; nobody needs to hear it twice
        word, category, away = WORDS[found.right], escaped(found.category), f"{found.distance:.3f}"
        results += RESULT.substitute(
            kind=f' class="sx-{word}"' if word else "",
            alt=f"{category}, distance {away}" + (f", {word}" if word else ""),
            source=source(found.id, train.images[train.names.index(found.id)]),
            mark=f"<b>{SIGNS[found.right]}{word}</b><br>" if word else "",
            category=category,
            distance=away,
        )
    name = escaped("your picture" if query.category is None else query.category)
    said = escaped(sentence(answer))
    return ANSWER.substitute(said=said, name=name, source=own, results=results)


def escaped(text: str) -> str:
    """Text for HTML, in an attribute too; what UTF-8 has no bytes for becomes a question mark."""
    return html.escape(text.encode("utf-8", "replace").decode())


def thumbnail(picture: Tensor) -> str:
    """A picture uint8 [3, H, W] as the `data:` address of a JPEG, at most 64 pixels wide."""
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


# The face in a running notebook


def search_explorer(index: SearchIndex, encoder: nn.Module, catalog: Catalog):
    """Search with a test picture or one of the reader's own, as an ipywidgets VBox.

    The index, which the encoder made, holds training pictures of the catalog under their names
    there.

    Raises:
        FashionError: other weights made the index, or it holds more than training pictures.
    """
    import ipywidgets  # noqa: PLC0415 - part of the notebooks extra; the library works without it

    labels, has_looks = known_labels(index, encoder, catalog), isinstance(encoder, LookEncoder)
    picture, upload, look, look_upload, share, *filters, k = _controls(catalog, labels)
    problem, out = ipywidgets.HTML(), ipywidgets.HTML()
    query: Query | None = None

    def inside(name: str, picture: Tensor) -> str:
        # the picture is in the HTML, with its name for whoever points at it
        return f'src="{thumbnail(picture)}" title="{escaped(name)}"'

    def update(_: object = None) -> None:
        if query is None:
            return
        wanted = query
        if has_looks:
            other = (look.value or query).embedding
            wanted = replace(query, embedding=encoder.blended(query.embedding, other, share.value))
        asked = {control.description: control.value for control in filters}
        shown = as_html(find(wanted, index, labels, asked, k.value), catalog, inside)
        out.value = f'<style>{STYLE}</style><div class="search-explorer">{shown}</div>'

    def choose(_: object = None) -> None:
        nonlocal query
        if picture.value is not None:
            query = catalog_query(catalog, picture.value, encoder)
            problem.value = ""
            update()

    def receive(change) -> None:
        nonlocal query
        if not change.new:
            return
        (file,) = change.new
        change.owner.value = ()  # else the same file, chosen again, would be no change
        try:
            own = uploaded_query(file["name"], bytes(file["content"]), encoder)
        except FashionError as error:
            problem.value = f'<p role="alert">{escaped(str(error))}</p>'
            return
        problem.value = ""
        if change.owner is look_upload:
            look.options = [("none", None), (own.name, own)]
            look.value = own  # which is a choice, and so an update
            return
        query = own
        picture.value = None  # what is shown is none of the test pictures
        update()

    acts = [(picture, choose), (upload, receive), (look_upload, receive)]
    acts += [(control, update) for control in (look, share, *filters, k)]
    for control, act in acts:
        control.observe(act, names="value")
    choose()
    ends = ipywidgets.HBox([share, ipywidgets.Label("how it looks")])
    inner = [look, look_upload, ends, *filters] if has_looks else filters[:1]
    return ipywidgets.VBox([picture, upload, *inner, k, problem, out])


def _controls(catalog: Catalog, labels: Labels) -> list:
    """What a reader can move, from top to bottom, as ipywidgets."""
    import ipywidgets  # noqa: PLC0415 - as above

    wide = {"style": {"description_width": "7em"}, "layout": {"width": "min(32em, 98%)"}}
    below = {"width": "18em", "margin": "2px 2px 2px 7.5em"}
    upload = partial(ipywidgets.FileUpload, accept=",".join(SUFFIXES), layout=below)
    share = ipywidgets.FloatSlider(LOOK_SHARE, min=0, max=1, step=0.05, readout=False,
                                   description="what it is", **wide)  # fmt: skip
    lists = {"picture": _test_pictures(catalog), "in the look of": [("none", None)]}
    for key in ("category", "colour", "pattern"):
        lists[key] = [(name or "all", name) for name in choices(labels, key)]
    picture, look, *filters = (
        ipywidgets.Dropdown(options=options, description=name, **wide)
        for name, options in lists.items()
    )
    k = ipywidgets.IntSlider(5, 1, 20, description="results", **wide)
    uploads = upload(description="or upload your own"), upload(description="upload a picture")
    return [picture, uploads[0], look, uploads[1], share, *filters, k]


def _test_pictures(catalog: Catalog) -> list[tuple[str, int]]:
    """Each test picture's title, "dress 1", and its position; class by class."""
    options = []
    for label, category in enumerate(catalog.classes):
        own = (catalog.test.labels == label).nonzero()[:, 0].tolist()
        options += [(f"{category} {n}", position) for n, position in enumerate(own, start=1)]
    return options


# The face in the built page


def search_explorer_page(
    index: SearchIndex, encoder: nn.Module, catalog: Catalog, queries: Sequence[int], k: int
) -> str:
    """The explorer with every answer in it, as HTML: each query, among all and in each category.

    Each picture is in it once, as a small JPEG. Without JavaScript the first answer is there.

    `queries` are positions in the catalog's test pictures, k is how many results; the rest is as
    for `search_explorer`.

    Raises:
        FashionError: other weights made the index, it holds more than training pictures, a query
            is not there, there are none, or k is below 1.
    """
    if len(queries) == 0:
        raise FashionError("no queries: give positions of test pictures.")
    for position in queries:
        if not 0 <= position < len(catalog.test):
            missing = f"no test picture {position} in {catalog.name}"
            raise FashionError(f"{missing}: positions go from 0 to {len(catalog.test) - 1}.")
    labels = known_labels(index, encoder, catalog)
    names = choices(labels, "category")
    parts = [{"category": name} for name in names]
    asked = [catalog_query(catalog, position, encoder) for position in queries]
    answers = [[find(query, index, labels, part, k) for part in parts] for query in asked]
    addresses: dict[str, str] = {}  # by name, in the order in which they are numbered

    def numbered(name: str, picture: Tensor) -> str:
        if name not in addresses:
            addresses[name] = thumbnail(picture)
        return f'data-picture="{list(addresses).index(name)}"'

    # the first answer has the first pictures in it, the script takes them from there
    panels = [
        f'<template data-answer="{n} {m}">{as_html(answer, catalog, numbered)}</template>'
        for n, row in enumerate(answers)
        for m, answer in enumerate(row)
    ]
    first = as_html(answers[0][0], catalog, lambda name, _: f'src="{addresses[name]}"')
    others = list(addresses.values())[1 + len(answers[0][0].found) :]
    # JPEGs of one size begin alike, with their tables: a third of each, written once
    start = os.path.commonprefix(others)  # noqa: RUF071 - texts, not paths
    ends = [address.removeprefix(start) for address in others]
    # ids, unlike another explorer's
    prefix = f"sx{zlib.crc32(''.join(addresses.values()).encode()):08x}"
    options = [f'<option value="{n}">{escaped(s or "all")}</option>' for n, s in enumerate(names)]
    return PAGE.substitute(
        style=STYLE,
        prefix=prefix,
        queries="".join(
            f'<span><input type="radio" name="{prefix}" id="{prefix}-{n}" value="{n}"'
            f'{" checked" if n == 0 else ""}><label for="{prefix}-{n}">'
            f'<img alt="query {n + 1}: {escaped(query.category)}" '
            f"{numbered(query.name, query.picture)}></label></span>"
            for n, query in enumerate(asked)
        ),
        shelves="".join(options),
        first=first,
        answers="".join(panels),
        pictures=json.dumps({"start": start, "ends": ends}),
    )
