"""A figure without words for those who cannot see it must fail."""

import re

import matplotlib.pyplot as plt
import pytest
from IPython.utils.capture import capture_output
from markdown_it import MarkdownIt

from fashionlib.pages import show as module
from fashionlib.pages.show import say, show, source, table


@pytest.fixture
def figure():
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    yield figure
    plt.close("all")


@pytest.mark.parametrize(("alt", "caption"), [("", "what to see"), ("words", ""), (" ", " ")])
def test_show_refuses_a_figure_without_words(figure, alt, caption):
    with pytest.raises(ValueError, match="alt text"):
        show(figure, alt=alt, caption=caption)


def test_show_displays_picture_alt_and_caption(figure, monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", shown.append)
    show(figure, alt='5 > 3, said "he"', caption="a line & more")
    page = shown[0].data
    assert 'alt="5 &gt; 3, said &quot;he&quot;"' in page
    assert "<figcaption>a line &amp; more</figcaption>" in page
    assert 'src="data:image/png;base64,iVBOR' in page
    assert not plt.get_fignums()


def test_table_is_markdown(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", shown.append)
    table(["a", "b"], [[1, 2.5], ["x", "y"]])
    assert shown[0].data == "| a | b |\n| --- | --- |\n| 1 | 2.5 |\n| x | y |"


class Thing:
    def method(self) -> int:
        """It is shown as it would stand alone."""
        if self:
            return 1
        return 2


def test_the_source_of_a_method_begins_at_the_left(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", shown.append)
    source(Thing.method)
    assert shown[0].data == (
        '```python\ndef method(self) -> int:\n    """It is shown as it would stand alone."""\n'
        "    if self:\n        return 1\n    return 2\n```"
    )


def test_capture_output_is_what_a_notebook_sees():
    """`say` goes through IPython's display, so that Jupyter and the book both render it."""
    with capture_output() as captured:
        say("**3** pictures")
    assert "Markdown" in captured.stdout or captured.outputs


def test_names_are_data(monkeypatch):
    """Folders and classes may be called anything; on a page that is no mark-up and no formula."""
    shown = []
    monkeypatch.setattr(module, "display", lambda what: shown.append(what.data))
    say("**one** of <script>x</script> & $\\frac$\n\na\x1b[2K\udcfc")
    table(["class"], [["a|b\n<i>$x$"]])
    text, rows = shown
    assert text == r"**one** of &lt;script>x&lt;/script> &amp; \$\frac\$" + "\n\na?&#91;2K?"
    assert rows == "| class |\n| --- |\n" + r"| a\|b &lt;i>\$x\$ |"


def test_names_lead_nowhere_and_can_be_sent(figure, monkeypatch):
    """No link, no picture from elsewhere, and nothing that UTF-8 has no bytes for."""
    shown = []
    monkeypatch.setattr(module, "display", lambda what: shown.append(what.data))
    say("![a](http://b) and [c](http://d)")
    table(["class"], [["[a](http://b)"]])
    for text in shown:
        page = MarkdownIt().enable("table").render(text)
        assert "(http://b)" in page
        assert not {"<a", "<img"} & set(re.findall(r"<\w+", page))
    show(figure, alt="a\udce9", caption="b\udce9\nc")
    assert 'alt="a?"' in shown[-1]
    assert "<figcaption>b?\nc</figcaption>" in shown[-1]
