"""The theme's icons are trimmed to those in use, and a page's whole load stays small."""

from browsing import until_quiet, weighed
from lighten import ALL_ICONS, ICON, lighten, trimmed


def names(script: str) -> set[str]:
    return {icon[1] for icon in ICON.finditer(script)}


def test_icons_in_use_stay_under_old_names_too():
    script = ALL_ICONS.read_text()
    assert len(names(script)) > 1000
    left = trimmed(script, {"magnifying-glass", "times"})
    assert names(left) == {"magnifying-glass", "xmark"}  # whose former name is times
    assert len(left) < len(script) / 5
    assert trimmed(script, names(script)) == script


def test_icons_that_only_a_script_or_a_chapter_names_stay(tmp_path):
    static = tmp_path / "_static" / "scripts"
    static.mkdir(parents=True)
    (tmp_path / "index.html").write_text('<i class="fa-solid fa-sun"></i>')
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "a.html").write_text('<i class="fa-solid fa-star"></i>')
    (static / "theme.js").write_text('e.classList = "fa-solid fa-moon"')
    lighten(tmp_path)
    assert names((static / "fontawesome.js").read_text()) == {"sun", "star", "moon"}


def test_the_whole_first_load_of_try_it(site, chromium):
    """Theme and all, but for the runtime of the search engine."""
    context = chromium.new_context()
    page = context.new_page()
    sizes = weighed(page)

    def use() -> None:
        page.goto(f"{site}/try_it.html")
        page.wait_for_selector(".search-engine[data-state=ready]")

    until_quiet(page, use)
    context.close()
    assert any("model.onnx" in url for url in sizes)
    assert any("pydata-sphinx-theme.css" in url for url in sizes)
    total = sum(size for url, size in sizes.items() if "/runtime/" not in url)
    print(f"try_it.html: {total:,} bytes")
    assert 1_500_000 < total <= 3_000_000
