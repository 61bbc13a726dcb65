"""Chapter 6 shows what was recorded for a slowed-down processor, and says that it is no phone."""

import re
import statistics
from pathlib import Path

import jupytext
import phone

from fashionlib.pages.recorded_results import recorded

ROOT = Path(__file__).resolve().parents[2]
CELLS = jupytext.read(ROOT / "notebooks" / "06_into_production.py").cells
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]


def test_the_phone_was_measured_by_the_script_as_it_is():
    rows = recorded("phone")["rows"]
    assert [row["slowed by"] for row in rows] == list(phone.RATES)
    for row in rows:
        assert len(row["search"]) == len(row["networks"]) == 7 * phone.ROUNDS  # an example a class
    for key in ("search", "networks"):
        medians = [statistics.median(row[key]) for row in rows]
        assert medians == sorted(medians)
        assert medians[0] * 2 < medians[-1] < medians[0] * 20


def test_the_page_that_is_measured_is_the_books(tmp_path, monkeypatch):
    monkeypatch.setattr(phone, "write_search_engine", lambda target, source: target.mkdir())
    phone.write_page(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert 'class="se-examples"' in page
    for name in re.findall(r'(?:src|href)="(_static/[^"]+)"', page):
        assert (tmp_path / name).is_file()


def test_it_says_that_this_is_no_phone():
    (place,) = (n for n, cell in enumerate(CELLS) if 'recorded("phone")' in cell.source)
    assert "not a phone" in CELLS[place + 1].source


def test_there_is_something_to_touch():
    assert sum(source.splitlines()[-1].startswith("slider(") for source in CODE) == 1
