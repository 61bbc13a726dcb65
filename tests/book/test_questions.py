"""Each chapter ends with a list of what was learned and questions whose answers are folded."""

import re
import subprocess
import sys

import jupytext
import pytest
from browsing import opened
from chapters import CHAPTERS, ROOT
from markdown_it import MarkdownIt
from serving import served

SCRIPTS = [page.script for page in CHAPTERS]
SETTINGS = """
extensions = ["myst_parser"]
myst_enable_extensions = {extensions}
"""


def ending(script) -> str:
    """The last Markdown cell, from "What you have learned" on."""
    last = jupytext.read(script, fmt="py:percent").cells[-1]
    assert last.cell_type == "markdown"
    _, heading, after = last.source.partition("## What you have learned")
    assert heading, f"{script.name} does not end with what was learned"
    return heading + after


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The endings of all chapters as pages, made with the book's own Markdown extensions."""
    source = tmp_path_factory.mktemp("endings")
    settings = (ROOT / "book" / "conf.py").read_text()
    extensions = re.search(r"^myst_enable_extensions = (.*)$", settings, re.MULTILINE)[1]
    (source / "conf.py").write_text(SETTINGS.format(extensions=extensions))
    for script in SCRIPTS:
        # links between chapters lead to their endings here
        text = re.sub(r"\((\d\d_\w+)\.ipynb", r"(\1.md", ending(script))
        (source / f"{script.stem}.md").write_text(f"# x\n\n{text}\n")
    pages = "".join(f"{script.stem}\n" for script in SCRIPTS)
    (source / "index.md").write_text(f"# x\n\n```{{toctree}}\n{pages}```\n")
    out = source / "_build"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(source), str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with served(out) as address:
        yield address


@pytest.fixture(scope="module", params=SCRIPTS, ids=lambda script: script.stem)
def page(request, built, chromium):
    with opened(chromium, f"{built}/{request.param.stem}.html") as (page, _, _):
        yield page


def test_a_list_says_what_was_learned(page):
    points = page.locator("#what-you-have-learned > ul > li")
    assert 3 <= points.count() <= 7
    assert all(point.is_visible() for point in points.all())


def test_every_question_has_one_folded_answer(page):
    questions = page.locator("#questions > p", has=page.locator("strong")).all()
    answers = page.locator("#questions details").all()
    assert 3 <= len(questions) <= 5
    numbers = [question.locator("strong").first.inner_text() for question in questions]
    assert numbers == [f"{n}." for n in range(1, len(questions) + 1)]
    assert all(question.inner_text().strip().endswith("?") for question in questions)
    following = page.eval_on_selector_all(
        "#questions > p:has(strong)", "all => all.map(one => one.nextElementSibling.tagName)"
    )
    assert following == ["DETAILS"] * len(answers) == ["DETAILS"] * len(questions)
    for answer in answers:
        text = answer.locator("p")
        assert text.count() == 1
        assert not text.is_visible()
        answer.locator("summary").click()
        assert text.is_visible()
        assert len(text.inner_text()) > 40


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_answers_are_folded_in_jupyterlab_too(script):
    """There a cell is plain Markdown: only an HTML block after an empty line folds and renders."""
    source = ending(script)
    html = MarkdownIt("commonmark").render(source)
    folded = re.findall(
        r'<details class="answer"><summary>Answer</summary>\n<p>.*?</p>\n</details>',
        html,
        re.DOTALL,
    )
    assert len(folded) == source.count("<details") >= 3
    assert "`" not in "".join(folded)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_answers_are_short(script):
    for answer in re.findall(r"Answer</summary>\n\n(.*?)\n\n</details>", ending(script), re.DOTALL):
        plain = re.sub(r"`[^`]*`", "code", answer)
        assert len(re.findall(r"[.?!](?:\s|$)", plain)) <= 4, answer
