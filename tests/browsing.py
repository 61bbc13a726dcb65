"""Pages for the tests, opened with the network cut."""

import contextlib
import time
from collections.abc import Callable

from playwright.sync_api import Page, Request


@contextlib.contextmanager
def opened(chromium, address: str, **settings):
    """A page with everything but this machine cut off; also what it asked for and complained of."""
    context = chromium.new_context(**settings)
    page, asked, complaints = context.new_page(), [], []

    def cut(route):
        asked.append(route.request.url)
        route.abort()

    page.route(lambda url: not url.startswith(("http://127.0.0.1", "data:", "blob:")), cut)
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.on("response", lambda r: complaints.append(r.url) if r.status >= 400 else None)
    until_quiet(page, lambda: page.goto(address))
    yield page, asked, complaints
    context.close()


def until_quiet(page: Page, act: Callable[[], object]) -> None:
    """Do something, such as opening an address, then wait until it has led to all that it leads to.

    That is when the browser has had nothing to do twice, and nothing was asked for meanwhile.
    Playwright's "networkidle" comes too early on a slow machine, which may be busy for half a
    second before a page's scripts run, and sometimes not at all.
    """
    waiting: set[Request] = set()

    def ask(request: Request) -> None:
        waiting.add(request)

    def end(request: Request) -> None:
        waiting.discard(request)

    page.on("request", ask)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    act()
    quiet, until = 0, time.monotonic() + 60
    while quiet < 2:
        assert time.monotonic() < until, [request.url for request in waiting]
        page.wait_for_function("new Promise(done => requestIdleCallback(() => done(true)))")
        page.wait_for_timeout(100)
        quiet = 0 if waiting else quiet + 1


def weighed(page: Page) -> dict[str, int]:
    """Bytes of each answer that the page gets from now on, by address; filled as they come."""
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda r: sizes.update({r.url: r.sizes()["responseBodySize"]}))
    return sizes


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


# how light an element's text stands out from what is behind it
LUMINANCE = """element => {
  const light = (text) => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  let behind = element;
  while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) {
    behind = behind.parentElement;
  }
  const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
  const [low, high] = pair.map(light).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""
