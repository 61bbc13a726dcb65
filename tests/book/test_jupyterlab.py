"""The chapters in a real JupyterLab: text reads as text, and chapter 1 runs up to its sliders."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from chapters import CHAPTERS, EXERCISES, ROOT
from playwright.sync_api import Browser, Page
from quick_book import NOWHERE
from test_plain_markdown import DIRECTIVE

BLOCK_EXPLORER = "block_explorer()"
NAMES = [page.name for page in CHAPTERS]
NAMES += [page.name.replace("/solutions", "") for page in EXERCISES]
# every cell is drawn at once, and no cell starts a program before we ask for it
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "kernelShutdown": True},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
# the Markdown cells of the notebook in front, as a reader sees them; code in backticks
SHOWN = """() => [...document.querySelectorAll(
    ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-RenderedMarkdown")].map(cell => {
        const copy = cell.cloneNode(true);
        copy.querySelectorAll("pre").forEach(code => code.remove());
        copy.querySelectorAll("code").forEach(code => code.replaceWith("`code`"));
        copy.querySelectorAll("p, li, h1, h2, h3, tr").forEach(part => part.append("\\n"));
        return copy.textContent;
    })"""


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return asking.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab that shows a copy of the notebooks: it saves what it shows."""
    folder, token, port = tmp_path_factory.mktemp("lab"), secrets.token_hex(8), free_port()
    for name in NAMES:
        copy = folder / "notebooks" / f"{name}.ipynb"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "notebooks" / f"{name}.ipynb", copy)
    for name, settings in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    own = {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "FASHIONLIB_BUDGET": "quick",
        "HTTPS_PROXY": NOWHERE,
        "HTTP_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0,
        "IdentityProvider.token": token, "ServerApp.root_dir": folder / "notebooks",
        "ServerApp.allow_root": True, "LabApp.expose_app_in_browser": True,
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = (folder / "log").open("w")
    server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api/status?token={token}", server, folder / "log")
        yield f"{address}/lab?token={token}"
    finally:
        server.terminate()  # it ends its kernels
        server.wait(timeout=30)
        log.close()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 60
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.2)


@pytest.fixture(scope="module")
def desk(lab: str, chromium: Browser) -> Iterator[Page]:
    """JupyterLab, ready for commands."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.goto(lab)
    page.wait_for_function("window.jupyterapp && window.jupyterapp.shell")
    page.evaluate("window.jupyterapp.restored.then(() => null)")
    yield page
    context.close()


@contextlib.contextmanager
def opened(desk: Page, path: str, kernel: bool = False) -> Iterator[None]:
    """A notebook below notebooks/ in front, once its Markdown is shown; closed without saving.

    With a kernel it can run; without one it opens sooner.
    """
    source = json.loads((ROOT / "notebooks" / path).read_text())
    cells = sum(cell["cell_type"] == "markdown" for cell in source["cells"])
    desk.evaluate(
        """([path, shouldStart]) => window.jupyterapp.commands.execute("docmanager:open", {
            path, factory: "Notebook",
            kernelPreference: { name: "python3", shouldStart, canStart: true } })
            .then(widget => widget.context.ready.then(() => widget.sessionContext.ready))
            .then(() => null)""",
        [path, kernel],
    )
    try:
        desk.wait_for_function(f"({SHOWN})().filter(text => text.trim()).length >= {cells}")
        yield
    finally:
        desk.evaluate("""() => {
            const front = window.jupyterapp.shell.currentWidget;
            front.context.model.dirty = false;
            front.close();
        }""")


@pytest.mark.parametrize("name", NAMES)
def test_its_markdown_is_read_as_text(desk, name):
    with opened(desk, f"{name}.ipynb"):
        texts = desk.evaluate(SHOWN)
    assert sum(map(len, texts)) > 1000
    assert [found for text in texts for found in DIRECTIVE.findall(text)] == []


def test_a_directive_is_noticed(desk, tmp_path):
    planted = ["# A title\n\n:::{note}\nRead this.\n:::", "As {cite:p}`he2016` says, see {doc}`x`."]
    assert all(DIRECTIVE.search(text) for text in planted)
    desk.evaluate(
        """sources => {
            const panel = document.createElement("div");
            panel.className = "jp-NotebookPanel";
            panel.innerHTML = sources.map(text => `<div class=jp-RenderedMarkdown>${text}</div>`)
                .join("");
            document.body.append(panel);
        }""",
        ["<p>:::{note}<br>Read this. :::</p>", "<p>As {cite:p}<code>he2016</code> says</p>"],
    )
    texts = desk.evaluate(SHOWN)
    desk.evaluate("document.querySelector('body > .jp-NotebookPanel').remove()")
    assert [bool(DIRECTIVE.search(text)) for text in texts] == [True, True]


# run all cells above the one that makes the sliders, then that one; gives its number
RUN = """async code => {
    const front = window.jupyterapp.shell.currentWidget;
    const number = front.content.widgets.findIndex(cell =>
        cell.model.type === "code" && cell.model.sharedModel.source.includes(code));
    front.content.activeCellIndex = number;
    await window.jupyterapp.commands.execute("notebook:run-all-above");
    await window.jupyterapp.commands.execute("notebook:run-cell");
    return number;
}"""
FAILED = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .flatMap(cell => cell.model.type === "code" ? cell.model.sharedModel.outputs : [])
    .filter(output => output.output_type === "error").map(output => output.evalue)"""


def test_chapter_1_runs_up_to_its_sliders_and_they_move(desk):
    with opened(desk, "01_inverted_residual_block.ipynb", kernel=True):
        number = desk.evaluate(RUN, BLOCK_EXPLORER)
        assert desk.evaluate(FAILED) == []
        cell = desk.locator(f".jp-NotebookPanel .jp-Cell[data-windowed-list-index='{number}']")
        said = cell.locator(".jp-OutputArea p").filter(has_text="parameters")
        said.wait_for()
        before = said.inner_text()
        cell.locator(".noUi-handle").first.focus()
        desk.keyboard.press("ArrowRight")
        desk.wait_for_function(
            "([said, before]) => said.isConnected === false || said.innerText !== before",
            arg=[said.element_handle(), before],
        )
        after = said.inner_text()
    assert re.findall(r"[\d,]{3,}", after) != re.findall(r"[\d,]{3,}", before)
