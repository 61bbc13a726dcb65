"""A search in the page on a slowed-down processor (chapter 6): `python tools/measure/phone.py`.

Builds the engine of the page *Try it*, opens the page in Chromium, and has the browser slow itself
down (`Emulation.setCPUThrottlingRate`, which pauses the page's thread for most of the time). All
rates take turns, round after round. Writes `pages/results/phone.json`: the milliseconds of each
search, as the page tells them and of the networks alone.
"""

import os
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from recording import about_this_run, processor, write_results

from fashionlib.catalog import load_catalog

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools" / "book"))

import browser  # noqa: E402 - they live beside the package, not in it
from browser_engine import write_search_engine  # noqa: E402
from serving import served  # noqa: E402

RATES = (1, 4, 6)  # 4 and 6 are what Chromium's own tools offer for a mid and a low phone
ROUNDS = 5
ANSWER = """async (square) => {
  const engine = await window.engine;
  const started = performance.now();
  await engine.answer(new Uint8Array(square));
  return performance.now() - started;
}"""


def write_page(folder: Path) -> None:
    """The page *Try it* without the book around it, as `index.html`, and all that it loads."""
    text = (ROOT / "book" / "try_it.md").read_text(encoding="utf-8")
    part = re.search(r"```\{raw\} html\n(.*?)```", text, re.DOTALL)[1]
    (folder / "index.html").write_text(f"<!doctype html><title>t</title>{part}", encoding="utf-8")
    (folder / "_static").mkdir()
    for file in (ROOT / "book" / "_static").glob("search_engine*"):
        shutil.copy(file, folder / "_static")
    write_search_engine(folder / "_static" / "search_engine", "photos")


def searched(page: Page, example: int) -> int:
    """Search with an example; the milliseconds that the page tells."""
    before = page.locator(".search-engine").get_attribute("data-answers") or "0"
    page.locator(".se-examples button").nth(example).click()
    page.wait_for_function(
        "n => Number(document.querySelector('.search-engine').dataset.answers || 0) > n",
        arg=int(before),
    )
    return int(re.search(r"Computed in (\d+) ms", page.locator(".se-status").inner_text())[1])


def measure(page: Page, side: int) -> list[dict]:
    """A row for each rate, of as many searches as there are rounds times examples."""
    rows = {rate: {"slowed by": rate, "search": [], "networks": []} for rate in RATES}
    control = page.context.new_cdp_session(page)
    page.evaluate(
        "() => { window.engine = import('./_static/search_engine_load.js')"
        ".then(({ loadEngine }) => loadEngine(() => {})); return window.engine.then(() => 0); }"
    )
    examples = page.locator(".se-examples button").count()
    for turn in range(ROUNDS + 1):  # the first warms up
        for rate, row in rows.items():
            control.send("Emulation.setCPUThrottlingRate", {"rate": rate})
            for example in range(examples):
                found = searched(page, example)
                alone = page.evaluate(ANSWER, [100] * (3 * side * side))
                if turn:
                    row["search"].append(found)
                    row["networks"].append(round(alone))
    control.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    return list(rows.values())


def main() -> None:
    """Build, open, measure, and write it down."""
    os.environ["FASHIONLIB_BUDGET"] = "full"  # the whole catalog
    catalog = load_catalog("photos")
    path, flags = browser.find(), ["--no-sandbox", "--disable-gpu"]
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        write_page(Path(place))
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        with served(Path(place)) as address:
            page = chromium.new_page()
            page.goto(f"{address}/index.html")
            page.wait_for_selector('.search-engine[data-state="ready"]', timeout=120_000)
            rows = measure(page, catalog.test.images.shape[-1])
        about = about_this_run(__file__, catalog, chromium=chromium.version)
        chromium.close()
    for row in rows:
        print(row["slowed by"], *(statistics.median(row[key]) for key in ("search", "networks")))
    write_results("phone", about | {"processor": processor(), "rows": rows})


if __name__ == "__main__":
    main()
