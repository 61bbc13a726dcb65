"""A slider shows one of its pieces, and moves without Python."""

import pytest
from browsing import opened
from serving import served

from fashionlib.pages import slider


@pytest.fixture
def html(monkeypatch):
    shown = []
    monkeypatch.setattr(slider, "display", shown.append)
    slider.slider("how <many>", {"one & a": "<p>1</p>", "two": "<p>2</p>", "three": "<p>3</p>"})
    (output,) = shown
    return output.data


def test_the_first_piece_is_shown_and_names_are_escaped(html):
    assert html.count("<div data-says=") == 3
    assert html.count(" hidden>") == 2
    assert '<div data-says="one &amp; a"><p>1</p>' in html
    assert "how &lt;many&gt;" in html
    assert 'max="2"' in html


def test_a_hand_moves_it(html, chromium, tmp_path):
    page_html = f'<!doctype html><html lang="en"><link rel="icon" href="data:,"><body>{html}'
    (tmp_path / "index.html").write_text(page_html)
    with served(tmp_path) as address, opened(chromium, f"{address}/index.html") as (page, _, wrong):
        control = page.get_by_role("slider", name="how <many>")
        for key, piece, says in (("End", "3", "three"), ("ArrowLeft", "2", "two")):
            control.press(key)
            assert page.locator("[data-says]:visible").inner_text() == piece
            assert page.locator("output").inner_text() == says
            assert control.get_attribute("aria-valuetext") == says
        assert wrong == []
