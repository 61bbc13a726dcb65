"""The command `fashionlib`, and `python -m fashionlib` for `torchrun`: what surrounds the work.

Ctrl-C while the library loads, which takes seconds, and outputs that are closed or full.
"""

import os
import sys
from typing import Any, TextIO

from fashionlib.errors import stopped


class Notes:
    """Standard error, which may be full or read by nobody: the answer is not lost for that."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Send it at once, so that nothing is left that could fail later."""
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            _drop(self.stream)
        return len(text)


def main() -> None:
    """Run the command line, and end with at most one line, whatever the shell did to it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: what is printed there would go elsewhere
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        # a name that the terminal cannot write is no reason to end a training
        getattr(sys, name).reconfigure(errors="replace")
    sys.stderr = Notes(sys.stderr)
    try:
        from fashionlib.cli import main as run  # noqa: PLC0415 - see above

        try:
            run()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        stopped()
    except BrokenPipeError:  # who was reading has seen enough
        _drop(sys.stdout)
        sys.exit(141)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) and error.filename is None
        where = "the current folder" if gone else error.filename
        if where is None:  # what we print found no room
            _drop(sys.stdout)
        named = f"{where}: " if where else ""
        print(f"fashionlib: {named}{error.strerror or error}.", file=sys.stderr)
        sys.exit(2)


def _drop(stream: TextIO) -> None:
    """What is still to be written would fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
