"""A claim, what was measured, and the verdict that follows from it (chapter 5).

A verdict is never typed. It comes from the first case that is true: the claim as it stands
(*holds*), the claim under a condition that it does not state and that was measured (*holds if*),
else *does not hold*. A claim that says too little to be measured *cannot be checked*.
"""

import html
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from IPython.display import display
from scipy import stats

HOLDS, HOLDS_IF, DOES_NOT_HOLD = "holds", "holds if", "does not hold"
CANNOT_BE_CHECKED = "cannot be checked"
MARKS = {HOLDS: "✓", HOLDS_IF: "◐", DOES_NOT_HOLD: "✗", CANNOT_BE_CHECKED: "?"}


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

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
    return f"{fmean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval for the mean over all seeds, from two or more: mean ± t·s/√n (Student 1908).

    A fourth seed lies outside the range of three half of the time. Other photos are not in it.
    """
    half = stats.t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def mean_and_interval(values: Sequence[float], form: str = ".2f") -> str:
    """Mean of the runs and its `t_interval`: `0.93 (0.91 to 0.95)`."""
    low, high = t_interval(values)
    return f"{fmean(values):{form}} ({low:{form}} to {high:{form}})"


def verdict_line(entry: Entry) -> str:
    """An entry as a sentence of Markdown."""
    return f"{MARKS[entry.verdict]} *{entry.claim}*: **{entry.verdict}**{_because(entry)}"


def _because(entry: Entry) -> str:
    """What follows the verdict: "holds if" goes on with its condition, others end there."""
    return entry.why.removeprefix("If") if entry.verdict == HOLDS_IF else f". {entry.why}"


def ledger_html(entries: Sequence[Entry]) -> str:
    """The entries as a table, of which one may show those of one verdict alone."""
    heads = ("the article says, and where", "measured here", "verdict", "why")
    rows = "".join(
        f"<tr data-verdict='{entry.verdict}'><th scope='row'>{html.escape(entry.claim)}"
        f"<span class='where'>{html.escape(entry.where)}</span></th>"
        f"<td>{html.escape(entry.measured)}</td>"
        f"<td><span aria-hidden='true'>{MARKS[entry.verdict]}</span> {entry.verdict}</td>"
        f"<td>{html.escape(entry.why)}</td></tr>"
        for entry in entries
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    counts = Counter(entry.verdict for entry in entries)
    choices, rules = ["<input type='radio' name='verdict' checked> all"], []
    for name in filter(counts.get, MARKS):
        choices.append(
            f"<input type='radio' name='verdict' value='{name}'> {name} ({counts[name]})"
        )
        chosen = f".verdicts:has([value='{name}']:checked)"
        rules.append(f"{chosen} tbody tr:not([data-verdict='{name}'])")
    return (
        f"<style>{', '.join(rules)} {{ display: none; }}"
        ".verdicts label { margin-right: 1em; }</style><div class='verdicts'>"
        f"<fieldset><legend>{len(entries)} claims. Show:</legend>"
        f"{' '.join(f'<label>{choice}</label>' for choice in choices)}</fieldset>"
        "<div class='ledger' tabindex='0' role='region' aria-label='The claims ledger'>"
        f"<table class='table'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        "</div>"
    )


def surprises_html(entries: Sequence[Entry], claims: Sequence[str], most: int = 4) -> str:
    """The first of these claims that do not hold as they stand, and why, as a list."""
    by_claim = {entry.claim: entry for entry in entries}
    chosen = [by_claim[claim] for claim in claims if by_claim[claim].verdict != HOLDS][:most]
    items = (
        f"<li><strong>“{html.escape(entry.claim)}”</strong> {MARKS[entry.verdict]} "
        f"{entry.verdict}{html.escape(_because(entry))}</li>"
        for entry in chosen
    )
    return f"<ul class='surprises'>{''.join(items)}</ul>"


def glue(name: str, text: str) -> None:
    """Leave HTML in the notebook's outputs, for other pages of the book to show.

    They do so by ``{glue} name`` with ``:doc:``. The same mark as myst-nb's `glue` sets, without
    needing the book's packages to run the notebook.
    """
    prefix = "application/papermill.record/"
    mark = {"scrapbook": {"name": name, "mime_prefix": prefix}}
    display({f"{prefix}text/html": text}, metadata=mark, raw=True)
