"""Verdicts follow from measurements by a rule; the ledger keeps and shows them."""

import json
import re

import pytest

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
        (0.0904, 0.09, 1, True),
        (0.824, 0.82, 2, True),
        (0.826, 0.82, 2, False),
    ],
)
def test_rounds_to(value, said, digits, same):
    assert ledger.rounds_to(value, said, digits) is same


def test_covers_and_mean_and_range():
    assert all(ledger.covers([0.1, 0.3], said) for said in (0.1, 0.2, 0.3))
    assert not any(ledger.covers([0.1, 0.3], said) for said in (0.09, 0.31))
    assert ledger.mean_and_range([0.1, 0.2, 0.6], ".1f") == "0.3 (0.1 to 0.6)"


def test_interval_of_three_seeds():
    """By hand: mean 60, s = 1, t for two degrees of freedom 4.303, so 60 ± 4.303 / √3."""
    low, high = ledger.t_interval([59, 60, 61])
    assert (low, high) == pytest.approx((60 - 2.4842, 60 + 2.4842), abs=1e-3)
    assert ledger.t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert ledger.mean_and_interval([0.59, 0.60, 0.61], ".1%") == "60.0% (57.5% to 62.5%)"


def test_the_table_shows_every_entry_escaped():
    entries = [entry(False, True), ledger.uncheckable("a < b", "there", "2 ms", "No machine.")]
    shown = ledger.ledger_html(entries)
    assert shown.count("<tr ") == 2
    assert re.findall(r"<th scope='col'>(.*?)</th>", shown) == [
        "the article says, and where", "measured here", "verdict", "why",
    ]  # fmt: skip
    first = re.search(r"<tr data.*?</tr>", shown)[0]
    assert [re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", first)] == [
        "A claimsomewhere", "1", "◐ holds if", "perhaps.",
    ]  # fmt: skip
    assert "a &lt; b" in shown
    assert "<span class='where'>somewhere</span>" in shown
    assert "2 claims" in shown
    assert "holds if (1)" in shown
    assert "cannot be checked (1)" in shown
    assert "does not hold" not in shown


def test_a_verdict_is_chosen_and_its_claims_are_left(chromium):
    entries = [entry(True, True), entry(False, True), entry(False, False)]
    page = chromium.new_page()
    page.set_content(ledger.ledger_html(entries))
    rows = page.locator("tbody tr")
    assert [row.is_visible() for row in rows.all()] == [True, True, True]
    page.get_by_label("holds if (1)").check()
    assert [row.is_visible() for row in rows.all()] == [False, True, False]
    page.get_by_label("all").check()
    assert [row.is_visible() for row in rows.all()] == [True, True, True]
    page.close()


def test_holds_if_goes_on_with_its_condition():
    found = ledger.judge("A claim", "there", "1", (False, ""), (True, "If it is red. Not else."))
    assert ledger.verdict_line(found).endswith("*A claim*: **holds if** it is red. Not else.")
    assert ledger.verdict_line(entry(False, False)).endswith("**does not hold**. no.")


def test_surprises_are_those_that_do_not_hold_in_the_order_given():
    entries = [
        ledger.judge(name, "there", "1", (holds, "plain."), otherwise="no < yes.")
        for name, holds in (("a", False), ("b", True), ("c", False), ("d", False))
    ]
    shown = ledger.surprises_html(entries, ["d", "b", "a", "c"], most=2)
    assert shown.count("<li>") == 2
    assert shown.index("“d”") < shown.index("“a”")
    assert "no &lt; yes." in shown
    with pytest.raises(KeyError):
        ledger.surprises_html(entries, ["a claim that nobody entered"])


def test_what_holds_under_a_condition_is_a_surprise_too():
    shown = ledger.surprises_html([entry(False, True)], ["A claim"])
    assert "“A claim”" in shown
    assert ledger.HOLDS_IF in shown


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
