"""On each chapter's page, the first mention of a term leads to the page *Glossary*.

The terms are read from `book/glossary.md`. A notebook knows nothing of this: the links are made
when the book is built.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY = Path(__file__).resolve().parents[2] / "book" / "glossary.md"
TERM = re.compile(r"^([\w@][^\n:]*)\n  \S", re.MULTILINE)
# other ways to say a term, as regular expressions; a plural is known without
ALSO = {
    "batch normalisation": [r"batch norm"],
    "cosine similarity": [r"cosine"],
    "fine-tuning": [r"fine-tuned?"],
    "inverted residual": [r"inverted residual block"],
    "macro accuracy": [r"macro-accuracy"],
    "mining": [r"miner", r"mined"],
    "precision@k": [r"precision@\d+", r"P@\d+"],
    "quantisation": [r"quantised"],
    "recall@k": [r"recall@\d+", r"R@\d+"],
    "Siamese network": [r"Siamese"],
    "skip connection": [r"(?<=[Tt]he )skip", r"shortcut"],
    "test split": [r"test photos", r"test pictures"],
    "top-k": [r"top-\d+", r"top (?:five|ten|\d+)"],
    "training split": [r"training photos", r"training pictures"],
    "validation split": [r"validation photos", r"validation pictures", r"validation"],
}
# words that mean something else as well: linked only where the page speaks of triplets
OF_TRIPLETS = ("negative", "positive")
# where a link would not be seen for one, or would be inside another
CLOSED = (nodes.title, nodes.literal, nodes.literal_block, nodes.reference, nodes.math,
          nodes.math_block, nodes.raw, addnodes.pending_xref)  # fmt: skip


def terms(path: Path = GLOSSARY) -> list[str]:
    """The terms of the glossary, in its order."""
    return TERM.findall(path.read_text(encoding="utf-8"))


def outdated(app: Sphinx, env: BuildEnvironment, *names: set[str]) -> set[str]:
    """Sphinx env-get-outdated: chapters are linked anew when the list of terms has changed."""
    before, env.glossary_terms = getattr(env, "glossary_terms", None), terms()
    return _chapters(env.found_docs) if env.glossary_terms != before else set()


def link_terms(app: Sphinx, doctree: nodes.document) -> None:
    """Sphinx doctree-read: link the first mention of each term on a chapter's page."""
    docname = app.env.docname
    if not _chapters([docname]):
        return
    left = {term: _pattern(term) for term in terms()}
    if "triplet" not in doctree.astext():
        left = {term: pattern for term, pattern in left.items() if term not in OF_TRIPLETS}
    for text in list(doctree.findall(nodes.Text)):
        if not _inside(text, CLOSED):
            parts = list(_linked(str(text), left, docname))
            text.parent.replace(text, parts)


def _chapters(names: list[str] | set[str]) -> set[str]:
    return {name for name in names if name.startswith("chapters/")}


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def _pattern(term: str) -> re.Pattern:
    """The term at the borders of words, with or without a capital, also as a plural."""
    # "MACs" and "mAP" are no words: "map" is something else
    flags = 0 if term[:2] != term[:2].lower() else re.IGNORECASE
    ways = sorted([re.escape(term), *ALSO.get(term, ())], key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(ways)})(?:e?s)?(?![\w-])", flags)


def _linked(text: str, left: dict[str, re.Pattern], docname: str) -> Iterator[nodes.Node]:
    """The text in pieces, with a link for each term of `left` in it; those are taken out."""
    while True:
        found = [(match, term) for term, pattern in left.items() if (match := pattern.search(text))]
        if not found:
            break
        # the first; of those that begin together the longest: "triplet loss", not "triplet"
        match, term = min(found, key=lambda each: (each[0].start(), -each[0].end()))
        del left[term]
        yield nodes.Text(text[: match.start()])
        yield _link(term, match[0], docname)
        text = text[match.end() :]
    yield nodes.Text(text)


def _link(term: str, said: str, docname: str) -> addnodes.pending_xref:
    options = {"refdomain": "std", "reftype": "term", "reftarget": term, "refexplicit": True}
    inner = nodes.inline(said, said, classes=["xref", "std", "std-term"])
    return addnodes.pending_xref("", inner, refdoc=docname, refwarn=True, **options)
