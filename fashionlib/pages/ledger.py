"""A claim, what was measured, and the verdict that follows from it (chapter 5).

A verdict is never typed. It comes from the first case that is true: the claim as it stands
(*holds*), the claim under a condition it does not state (*holds if*), else *does not hold*. A claim
that says too little to be measured *cannot be checked*.
"""

import html
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from IPython.display import display

from fashionlib.errors import FashionError
from fashionlib.files import replacing

HOLDS, HOLDS_IF, DOES_NOT_HOLD = "holds", "holds if", "does not hold"
CANNOT_BE_CHECKED = "cannot be checked"
MARKS = {HOLDS: "✓", HOLDS_IF: "◐", DOES_NOT_HOLD: "✗", CANNOT_BE_CHECKED: "?"}


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; all texts, so that it can be kept as JSON."""

    claim: str  # in our words
    where: str  # in the article
    measured: str
    verdict: str  # a key of MARKS
    why: str  # one sentence


def judge(
    claim: str,
    where: str,
    measured: str,
    holds: tuple[bool, str],
    holds_if: tuple[bool, str] = (False, ""),
    otherwise: str = "",
) -> Entry:
    """The entry whose verdict is the first true case; each case brings the sentence that says why.

    Raises:
        ValueError: the case that came out has no sentence.
    """
    cases = [(HOLDS, *holds), (HOLDS_IF, *holds_if), (DOES_NOT_HOLD, True, otherwise)]
    verdict, why = next((name, text) for name, true, text in cases if true)
    if not why:
        raise ValueError(f"“{claim}” came out as “{verdict}”, and no sentence says why")
    return Entry(claim, where, measured, verdict, why)


def uncheckable(claim: str, where: str, measured: str, why: str) -> Entry:
    """An entry for a claim that names too little: `why` says what is missing."""
    return Entry(claim, where, measured, CANNOT_BE_CHECKED, why)


def rounds_to(value: float, said: float, digits: int = 2) -> bool:
    """Whether `value`, rounded to as many significant digits as the claim has, is what was said."""
    if value == 0:
        return said == 0
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return math.isclose(round(value, places), said)


def covers(values: Sequence[float], said: float) -> bool:
    """Whether what was said lies between the least and the greatest of several measurements."""
    return min(values) <= said <= max(values)


def mean_and_range(values: Sequence[float], form: str = ".2f") -> str:
    """Mean, least and greatest of the runs: `0.93 (0.91 to 0.95)`."""
    mean = sum(values) / len(values)
    return f"{mean:{form}} ({min(values):{form}} to {max(values):{form}})"


def save_ledger(entries: Iterable[Entry], path: Path) -> None:
    """Write the run's entries as JSON, whole or not at all."""
    with replacing(path) as temporary:
        text = json.dumps([asdict(entry) for entry in entries], indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_ledger(path: Path) -> list[Entry]:
    """The entries of a saved ledger.

    Raises:
        FashionError: no such file, or not a ledger.
    """
    try:
        entries = [Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        if not all(entry.verdict in MARKS and _is_text(entry) for entry in entries):
            raise ValueError("other values than a ledger has")
    except (OSError, ValueError, TypeError, RecursionError):
        raise FashionError(f"{path} is no ledger: run chapter 5, which writes it.") from None
    return entries


def _is_text(entry: Entry) -> bool:
    return all(isinstance(text, str) for text in asdict(entry).values())


def verdict_line(entry: Entry) -> str:
    """An entry as a sentence of Markdown."""
    return f"{MARKS[entry.verdict]} *{entry.claim}*: **{entry.verdict}.** {entry.why}"


def ledger_html(entries: Sequence[Entry]) -> str:
    """The entries as a table, and how many verdicts there are of each kind."""
    heads = ("the article says, and where", "measured here", "verdict", "why")
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(entry.claim)}"
        f"<span class='where'>{html.escape(entry.where)}</span></th>"
        f"<td>{html.escape(entry.measured)}</td>"
        f"<td><span aria-hidden='true'>{MARKS[entry.verdict]}</span> {entry.verdict}</td>"
        f"<td>{html.escape(entry.why)}</td></tr>"
        for entry in entries
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    counts = Counter(entry.verdict for entry in entries)
    verdicts = ", ".join(f"“{name}” {counts[name]}" for name in MARKS if counts[name])
    return (
        "<div class='ledger' tabindex='0' role='region' aria-label='The claims ledger'>"
        f"<table class='table'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<p>{len(entries)} claims: {verdicts}.</p>"
    )


def glue(name: str, text: str) -> None:
    """Leave HTML in the notebook's outputs, for other pages of the book to show.

    They do so by ``{glue} name`` with ``:doc:``. The same mark as myst-nb's `glue` sets, without
    needing the book's packages to run the notebook.
    """
    prefix = "application/papermill.record/"
    mark = {"scrapbook": {"name": name, "mime_prefix": prefix}}
    display({f"{prefix}text/html": text}, metadata=mark, raw=True)
