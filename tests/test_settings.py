"""One setting makes chapters quick, and a misspelt one does not pass in silence."""

import pytest

from fashionlib.errors import FashionError
from fashionlib.settings import budget


def test_full_unless_quick_is_asked_for(monkeypatch):
    monkeypatch.delenv("FASHIONLIB_BUDGET", raising=False)
    assert budget(10, quick=1) == 10
    monkeypatch.setenv("FASHIONLIB_BUDGET", "full")
    assert budget(10, quick=1) == 10
    monkeypatch.setenv("FASHIONLIB_BUDGET", "quick")
    assert budget(10, quick=1) == 1
    assert budget((2400, 300), quick=(560, 140)) == (560, 140)


def test_a_misspelt_setting_is_an_error(monkeypatch):
    monkeypatch.setenv("FASHIONLIB_BUDGET", "quik")
    with pytest.raises(FashionError, match="quik"):
        budget(10, quick=1)
