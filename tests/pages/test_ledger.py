"""Verdicts follow from measurements by a rule; the ledger keeps and shows them."""

import json

import pytest

from fashionlib.errors import FashionError
from fashionlib.pages import ledger


def entry(holds: bool, holds_if: bool) -> ledger.Entry:
    return ledger.judge(
        "A claim", "somewhere", "1", (holds, "plain."), (holds_if, "perhaps."), "no."
    )


@pytest.mark.parametrize(
    ("cases", "verdict", "why"),
    [
        ((True, True), ledger.HOLDS, "plain."),
        ((True, False), ledger.HOLDS, "plain."),
        ((False, True), ledger.HOLDS_IF, "perhaps."),
        ((False, False), ledger.DOES_NOT_HOLD, "no."),
    ],
)
def test_the_first_true_case_makes_the_verdict(cases, verdict, why):
    assert (entry(*cases).verdict, entry(*cases).why) == (verdict, why)


def test_a_verdict_without_a_sentence_is_an_error():
    with pytest.raises(ValueError, match=r"“A claim” came out as “does not hold”"):
        ledger.judge("A claim", "somewhere", "1", (False, "plain."))


@pytest.mark.parametrize(
    ("value", "said", "digits", "same"),
    [
        (429_399, 429_000, 3, True),
        (429_501, 429_000, 3, False),
        (33_039, 429_000, 3, False),
        (26.03, 26, 2, True),
        (26.6, 26, 2, False),
        (11_180_103, 11e6, 2, True),
        (3.49, 3, 1, True),
        (3.51, 3, 1, False),
        (0.0, 0.0, 2, True),
    ],
)
def test_rounds_to(value, said, digits, same):
    assert ledger.rounds_to(value, said, digits) is same


def test_covers_and_mean_and_range():
    assert ledger.covers([0.1, 0.3], 0.2)
    assert not ledger.covers([0.1, 0.3], 0.31)
    assert ledger.mean_and_range([0.1, 0.2, 0.6], ".1f") == "0.3 (0.1 to 0.6)"


def test_saved_and_loaded(tmp_path):
    entries = [entry(True, False), ledger.uncheckable("“Fast”", "there", "2 ms", "No machine.")]
    ledger.save_ledger(entries, tmp_path / "ledger.json")
    assert ledger.load_ledger(tmp_path / "ledger.json") == entries


ROW = {"claim": "a", "where": "b", "measured": "c", "verdict": ledger.HOLDS, "why": "d"}
WRONG = [{"claim": "only"}], [ROW | {"verdict": "perhaps"}], [ROW | {"why": 3}], 1, [1]


@pytest.mark.parametrize("text", [None, "not json", "[" * 10**5, *map(json.dumps, WRONG)])
def test_no_ledger(tmp_path, text):
    path = tmp_path / "ledger.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FashionError, match=r"ledger\.json is no ledger: run chapter 5"):
        ledger.load_ledger(path)


def test_the_table_shows_every_entry_escaped():
    entries = [entry(False, True), ledger.uncheckable("a < b", "there", "2 ms", "No machine.")]
    shown = ledger.ledger_html(entries)
    assert shown.count("<tr>") == 3
    assert "a &lt; b" in shown
    assert "<span class='where'>somewhere</span>" in shown
    assert "2 claims: “holds if” 1, “cannot be checked” 1." in shown


def test_glue_leaves_a_mark_that_the_book_finds(monkeypatch):
    outputs = []
    monkeypatch.setattr(ledger, "display", lambda data, **more: outputs.append((data, more)))
    ledger.glue("ledger", "<b>here</b>")
    ((data, more),) = outputs
    assert data == {"application/papermill.record/text/html": "<b>here</b>"}
    mark = {"name": "ledger", "mime_prefix": "application/papermill.record/"}
    assert more == {"metadata": {"scrapbook": mark}, "raw": True}


def test_every_verdict_has_a_mark_of_its_own():
    assert len(set(ledger.MARKS.values())) == len(ledger.MARKS) == 4
    assert json.dumps(list(ledger.MARKS))  # plain strings, as the file keeps them
