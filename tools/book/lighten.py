"""A lighter page: of the theme's some thousand icons, those that the book shows.

The theme draws its icons with Font Awesome's script, which brings all icons there are: more bytes
than everything else on a page.
"""

import re
from pathlib import Path

import pydata_sphinx_theme

STATIC = Path("theme/pydata_sphinx_theme/static/scripts")
ALL_ICONS = Path(pydata_sphinx_theme.__file__).parent / STATIC / "fontawesome.js"
# "magnifying-glass":[512,512,[128269,"search"],"f002","M416 208c0..."],
ICON = re.compile(r'"?([a-z0-9-]+)"?:\[\d+,\d+,\[([^]]*)\],"[0-9a-f]+","[^"]*"\],?')


def lighten(site: Path) -> None:
    """Trim the icons of a built book to those named on its pages and in the theme's scripts."""
    icons = site / "_static" / "scripts" / "fontawesome.js"
    scripts = {*icons.parent.glob("*.js"), *icons.parents[2].glob("*.js")} - {icons}
    texts = [path.read_text(encoding="utf-8") for path in (*site.rglob("*.html"), *scripts)]
    used = {name for text in texts for name in re.findall(r"\bfa-([a-z0-9-]+)", text)}
    icons.write_text(trimmed(ALL_ICONS.read_text(encoding="utf-8"), used), encoding="utf-8")


def trimmed(script: str, used: set[str]) -> str:
    """Font Awesome's script with the icons of these names, or of these former names, alone."""

    def kept(icon: re.Match) -> str:
        names = {icon[1], *re.findall(r'"([a-z0-9-]+)"', icon[2])}
        return icon[0] if names & used else ""

    return ICON.sub(kept, script)
