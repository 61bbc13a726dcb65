"""Pages for the tests: served on this machine, opened with the network cut."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


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
    page.goto(address)  # loaded: a slow machine can be busy, not asking for anything, before that
    page.wait_for_load_state("networkidle")
    yield page, asked, complaints
    context.close()


def weighed(page: Page) -> dict[str, int]:
    """Bytes of each answer that the page gets from now on, by address; filled as they come."""
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda r: sizes.update({r.url: r.sizes()["responseBodySize"]}))
    return sizes


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
