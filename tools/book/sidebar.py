"""A chapter's title on its page and in the sidebar, with the number by which the text calls it."""

from chapters import CHAPTERS
from docutils import nodes
from sphinx.application import Sphinx

TITLES = {f"chapters/{page.name}": page.title for page in CHAPTERS}


def number(app: Sphinx, doctree: nodes.document) -> None:
    """Sphinx doctree-read, before Sphinx itself collects the titles: as the list has them."""
    whole = TITLES.get(app.env.docname)
    title = next(doctree.findall(nodes.title), None)
    if whole and title is not None:
        title[:] = [nodes.Text(whole)]
