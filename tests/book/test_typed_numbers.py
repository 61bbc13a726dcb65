"""Numbers that a chapter's code says are computed where it says them; number words fit the recipes.

`test_prose.py` looks at the text between the cells. Here it is what cells show: a figure that is
typed into a sentence of `say(…)`, a caption or a table would stay when the measurement changes.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ablation
import article
import jupytext
import pytest
import shipped_weights
import small_networks
import transfer
from chapters import CHAPTERS, EXERCISES
from test_prose import MEASURED, NOT_PROSE

from fashionlib.training import RECIPE

PAGES = {page.script.stem: page.script for page in (*CHAPTERS, *EXERCISES) if page.script.exists()}
SHOWS = ("say", "show", "table", "print")
PARAGRAPH = re.compile(r"\n\s*\n")

# what code may say without having measured it here, in any chapter, with the reason
STATED = {
    "85%": "the article's accuracy",
    "3×": "the article's claim",
    "3.5": "the article's ratio of times",
    "0.82": "the article's first loss",
    "0.09": "the article's last loss",
    "429,399": "asserted by chapter 1's code",
    "276": "validation photos, counted by a test of the catalog",
    "296": "test photos, likewise",
    "128": "the side of pictures, a setting",
    "224": "likewise",
    "95 %": "of an interval, by definition",
    "90%": "the share that the footprint of chapter 1 is cut at",
    "0.95": "the recall that chapter 6 asks for",
}


def pieces(node: ast.AST) -> Iterator[str]:
    """The texts below an expression; of an f-string what is typed, without what is computed."""
    if isinstance(node, ast.JoinedStr):
        parts = node.values
        yield "".join(p.value if isinstance(p, ast.Constant) else "\0" for p in parts)
        for part in parts:
            if isinstance(part, ast.FormattedValue):  # and not its format
                yield from pieces(part.value)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.Subscript):  # a key is looked up, not shown
        yield from pieces(node.value)
    elif isinstance(node, ast.Compare):  # it decides what is shown
        return
    else:
        for child in ast.iter_child_nodes(node):
            yield from pieces(child)


def shown(code: str) -> Iterator[str]:
    """What the calls of a program show, as far as it is typed; formats such as ".1%" are not."""
    for call in ast.walk(ast.parse(code)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in SHOWS:
            for given in (*call.args, *(word.value for word in call.keywords)):
                yield from (
                    text for text in pieces(given) if not re.fullmatch(r"\+?\.\d\w?%?", text)
                )


def code_of(script: Path) -> str:
    cells = jupytext.read(script, fmt="py:percent").cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def typed_measurements(code: str) -> set[str]:
    texts = " ".join(NOT_PROSE.sub(" ", text) for text in shown(code))
    return {found.strip() for found in MEASURED.findall(texts)}


@pytest.mark.parametrize("page", PAGES)
def test_code_says_no_measurement_that_somebody_typed(page):
    assert typed_measurements(code_of(PAGES[page])) - STATED.keys() == set()


@pytest.mark.parametrize(
    "planted",
    [
        'say("It reaches 91.3% of them.")',
        'say(f"It reaches {share:.1%}, and 91.3% before.")',
        'say("More." if better else f"Less: {x} of 277.")',
        'show(figure, alt="Bars", caption="Ours takes 15 ms.")',
        'table(["network", "ms"], [["ours", "4.7"]])',
        'print("26× smaller")',
    ],
)
def test_a_measurement_typed_into_what_code_says_is_noticed(planted):
    assert len(typed_measurements(planted)) == 1


def test_what_is_computed_and_how_it_is_written_is_no_typed_measurement():
    code = 'say(f"{share:.1%} of {len(x):,}, see `lr=0.003`"); print(means["0.25"], f"{x:.3f}")'
    assert typed_measurements(code) == set()


# Number words

WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40,
    "fifty": 50, "sixty": 60, "hundred": 100,
}  # fmt: skip
EPOCHS = re.compile(rf"\b({'|'.join(WORDS)}|\d+) (?:more |plain |usual )?epochs\b", re.IGNORECASE)

# the recipes that a chapter speaks of, besides those that its own code sets
LONGER = ablation.TRIALS["twenty epochs"].recipe
SHIPPED = shipped_weights.CLASSIFIER_RECIPES["photos"], shipped_weights.MILD_RECIPE
SPOKEN_OF = {
    "03_train_with_triplets": (article.ARTICLE_TRIPLETS, transfer.ENCODER),
    "05_every_number": (RECIPE, article.ARTICLE_RECIPE, article.ARTICLE_TRIPLETS),
    "09_what_each_change_is_worth": (RECIPE, LONGER, small_networks.RECIPE, *SHIPPED),
}


def epochs_set(code: str) -> set[int]:
    """What the code itself gives as a number of epochs: `epochs=2`, `EPOCHS = budget(8, 1)`."""
    nodes = list(ast.walk(ast.parse(code)))
    given = [n.value for n in nodes if isinstance(n, ast.keyword) and n.arg == "epochs"]
    given += [
        n.value for n in nodes
        if isinstance(n, ast.Assign) and "EPOCHS" in ast.unparse(n.targets[0]).upper()
    ]  # fmt: skip
    parts = (part for value in given for part in ast.walk(value))
    return {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, int)}


def told_epochs(text: str) -> set[int]:
    """Of "ten epochs" and "10 epochs" 10."""
    found = EPOCHS.findall(" ".join(text.split()))
    return {WORDS[word.lower()] if word.lower() in WORDS else int(word) for word in found}


@pytest.mark.parametrize("page", PAGES)
def test_number_words_are_numbers_of_a_recipe_that_the_page_speaks_of(page):
    """Ten epochs in a text stays when the recipe is changed to eight; then nothing is ten."""
    cells = jupytext.read(PAGES[page], fmt="py:percent").cells
    code = code_of(PAGES[page])
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    told = told_epochs(text) | told_epochs(" ".join(shown(code)))
    recipes = {recipe.epochs for recipe in SPOKEN_OF.get(page, (RECIPE,))}
    assert told - recipes - epochs_set(code) == set()


@pytest.mark.parametrize(
    ("planted", "told"),
    [("Eleven epochs", 11), ("for 13\nepochs.", 13), ("nine more epochs", 9), ("no epochs", None)],
)
def test_a_number_word_is_read(planted, told):
    assert told_epochs(planted) == {told} - {None}
