"""One exception for everything a person can get wrong, and one way to print what people write."""

import signal
import sys
from typing import NoReturn

STOPPED = 130  # exit code of what Ctrl-C ended


class FashionError(Exception):
    """A mistake a person can mend. The message is one line that says what to do.

    The command line prints the line and leaves with exit code 2; a notebook shows the line
    without the traceback of our insides.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """Called by IPython instead of printing the stack."""
        return [f"{type(self).__name__}: {self}"]


def printable(text: str) -> str:
    """Text with names in it as one line that any output can show, and no terminal obeys.

    A file may be called anything: with line breaks in it, with what moves a cursor, or with bytes
    that are no Unicode.
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def printable_lines(text: str) -> str:
    """As `printable`, line by line."""
    return "\n".join(map(printable, text.split("\n")))


def stopped(line: str = "stopped") -> NoReturn:
    """Leave after Ctrl-C, with a line; another Ctrl-C meanwhile would end in a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(f"\n{printable(line)}", file=sys.stderr)
    sys.exit(STOPPED)
