"""The page *The library*: its names, their signatures and docstrings, in chapter order.

Docstrings are Markdown but for their sections (Args, Returns, Raises). `fill` writes the page when
Sphinx reads it. On each chapter's page the first mention of a name leads there: `link_names` does
that in the text, `link_code` in the code.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from chapters import AROUND, CHAPTERS
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import stringify_signature

import fashionlib

PAGE = "reference"
NOT_SHOWN = {"cli"}  # `fashionlib --help` shows it
SECTION = re.compile(r"^(Args|Returns|Raises):\n((?:[ ]+.*\n|\n)+)", re.MULTILINE)
ITEM = re.compile(r"^(\*{0,2}\w+): ", re.MULTILINE)
FIELD = re.compile(r"^    (\w+): [^#\n]+  # (.+)$", re.MULTILINE)
OWN_SIGNATURE = ("__init__", "__new__")


class _New:
    def __repr__(self) -> str:
        return "..."


NEW = _New()


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx source-read: the page's own words, then what the library says of itself."""
    if docname == PAGE:
        source[0] += "".join(f"\n{part}\n" for part in (public_names(), *sections()))


def outdated(app: Sphinx, env: BuildEnvironment, *names: set[str]) -> list[str]:
    """Sphinx env-get-outdated: the page is read in each build, a docstring may have changed."""
    return [PAGE] if PAGE in env.found_docs else []


def public_names() -> str:
    """A table of what `import fashionlib` gives."""
    lines = ["## What `import fashionlib` gives", "", inspect.getdoc(fashionlib), ""]
    lines += ["| name | what it is |", "|---|---|"]
    for name in fashionlib.__all__:
        first = inspect.getdoc(getattr(fashionlib, name)).partition("\n\n")[0]
        lines.append(f"| {{py:obj}}`{name} <{targets()[name]}>` | {' '.join(first.split())} |")
    return "\n".join(lines)


def sections() -> Iterator[str]:
    """A part of the page for each chapter that has something in it."""
    chapters = [(page.title, page.modules) for page in CHAPTERS]
    for title, modules in (*chapters, ("Around them all", AROUND)):
        parts = [part for name in modules for part in of_module(name)]
        if parts:
            yield "\n\n".join([f"## {title}", *parts])


def of_module(name: str) -> Iterator[str]:
    """A module of the core with all that is public in it; of a room, what `fashionlib` gives."""
    if name in NOT_SHOWN:
        return
    things = list(entries(name))
    if things:
        module, about = name.strip("/"), inspect.getdoc(_module(name))
        yield f"### `{module}`\n\n{about}"
        yield f":::{{py:currentmodule}} {things[0][0].rpartition('.')[0]}\n:::"
    for _, thing in things:
        yield entry(thing)


def entries(name: str) -> Iterator[tuple[str, Any]]:
    """Full names of what the page says of a module or room, and the functions and classes."""
    module = _module(name)
    if name.endswith("/"):
        for public in fashionlib.__all__:
            thing = getattr(fashionlib, public)
            if f"{thing.__module__}.".startswith(f"{module.__name__}."):
                yield f"fashionlib.{public}", thing
        return
    for public, thing in vars(module).items():
        own = getattr(thing, "__module__", None) == module.__name__ and callable(thing)
        if own and not public.startswith("_") and hasattr(thing, "__qualname__"):
            yield f"{module.__name__}.{public}", thing


def entry(thing: Any, kind: str = "") -> str:
    """What the page says of a function or class, with its methods: a directive of Sphinx."""
    if not kind:
        error = inspect.isclass(thing) and issubclass(thing, Exception)
        kind = "exception" if error else "class" if inspect.isclass(thing) else "function"
    parts = [described(inspect.getdoc(thing) or "")]
    if inspect.isclass(thing):
        parts += [fields(thing), *(entry(method, "method") for method in methods(thing))]
    fence = "::::" if kind == "class" else ":::"
    body = "\n\n".join(part for part in parts if part)
    return f"{fence}{{py:{kind}}} {thing.__name__}{signature(thing, kind)}\n\n{body}\n{fence}"


def methods(thing: type) -> list[Any]:
    """A class's own methods that say what they do."""
    public = [each for name, each in vars(thing).items() if not name.startswith("_")]
    public = [getattr(each, "__func__", each) for each in public]  # of a class or static method
    return [each for each in public if inspect.isroutine(each) and inspect.getdoc(each)]


def fields(thing: type) -> str:
    """The comments behind a class's fields, which tell their shapes and units."""
    found = FIELD.findall(inspect.getsource(thing))
    lines = [f"- `{name}`: {comment}" for name, comment in found]
    return "\n".join(["**Fields**", "", *lines]) if lines else ""


def signature(thing: Any, kind: str) -> str:
    """A signature with short names of types; none for a class that takes nothing of its own."""
    if inspect.isclass(thing) and not any(name in vars(thing) for name in OWN_SIGNATURE):
        return ""
    whole = inspect.signature(thing)
    parameters = list(whole.parameters.values())[kind == "method" :]  # without self
    for number, parameter in enumerate(parameters):
        if repr(parameter.default) == "<factory>":  # a field that starts with a new value each time
            parameters[number] = parameter.replace(default=NEW)
    returned = inspect.Signature.empty if inspect.isclass(thing) else whole.return_annotation
    whole = whole.replace(parameters=parameters, return_annotation=returned)
    return stringify_signature(whole, unqualified_typehints=True)


def described(doc: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    return SECTION.sub(_listed, f"{doc}\n").strip()


def _listed(section: re.Match) -> str:
    body = textwrap.dedent(section[2]).strip()
    items = ITEM.sub(r"- `\1`: ", body)
    return f"**{section[1]}**\n\n{items}\n\n"


@cache
def targets() -> dict[str, str]:
    """Full name of each entry by every way to say it: with its module, or without."""
    ways: dict[str, set[str]] = {}
    names = [name for page in CHAPTERS for name in page.modules] + list(AROUND)
    for full, thing in (each for name in names if name not in NOT_SHOWN for each in entries(name)):
        said = [full]
        if inspect.isclass(thing):
            said += [f"{full}.{method.__name__}" for method in methods(thing)]
        for one in said:
            parts = one.split(".")
            least = 2 if one != full else 1  # a method, with its class
            for length in range(least, len(parts) + 1):
                ways.setdefault(".".join(parts[-length:]), set()).add(one)
    return {way: full.pop() for way, full in ways.items() if len(full) == 1}


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Sphinx doctree-read: on a chapter's page, link the first mention of each name in code."""
    if not app.env.docname.startswith("chapters/"):
        return
    linked = set()
    for literal in list(doctree.findall(nodes.literal)):
        target = targets().get(re.sub(r"\(.*\)$", "", literal.astext()))
        inside = isinstance(literal.parent, nodes.title | nodes.reference | addnodes.pending_xref)
        if target is None or target in linked or inside:
            continue
        linked.add(target)
        options = {"refdomain": "py", "reftype": "obj", "reftarget": target, "refexplicit": True}
        link = addnodes.pending_xref(refdoc=app.env.docname, **options)
        literal.replace_self(link)
        link += literal


# a name in highlighted code, with the name before the dot in front of it
CODE = re.compile(
    r'(?:<span class="n">(\w+)</span><span class="o">\.</span>)?<span class="n">(\w+)<'
)


def link_code(app: Sphinx, pagename: str, template: str, context: dict, doctree: Any) -> None:
    """Sphinx html-page-context: in a chapter's code, link the first place of each library name."""
    if not pagename.startswith("chapters/"):
        return
    known = imported(app.env.doc2path(pagename).read_text(encoding="utf-8"))
    page = app.builder.get_relative_uri(pagename, PAGE)
    linked = set()

    def link(name: re.Match) -> str:
        whole = f"{known[name[1]]}.{name[2]}" if name[1] in known else known.get(name[2], "")
        target = entry_of(whole)
        if target is None or target in linked:
            return name[0]
        linked.add(target)
        before = name[0].removesuffix(f"{name[2]}<")
        return f'{before}<a href="{page}#{target}">{name[2]}</a><'

    context["body"] = CODE.sub(link, context["body"])


def imported(code: str) -> dict[str, str]:
    """What a program imports from the library: full names by the names it uses."""
    found = {"fashionlib": "fashionlib"}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("fashionlib."):
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return found


def entry_of(name: str) -> str | None:
    """The entry of a full name; a public one is known by whichever way it was imported."""
    last = name.rpartition(".")[2]
    return targets().get(name) or (targets()[last] if last in fashionlib.__all__ else None)


def _module(name: str) -> ModuleType:
    return import_module(f"fashionlib.{name.strip('/').replace('/', '.')}")
