"""The command `fashionlib`, and `python -m fashionlib` for `torchrun`: what surrounds the work.

Ctrl-C while the library loads, which takes seconds, and outputs that are closed or full.
"""

import os
import sys


def main() -> None:
    """Run the command line, and end with at most one line, whatever the shell did to it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: what is printed there would go elsewhere
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        # a name that the terminal cannot write is no reason to end a training
        getattr(sys, name).reconfigure(errors="replace")
    try:
        from fashionlib.cli import main as run  # noqa: PLC0415 - see above

        try:
            run()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # who was reading has seen enough
        _drop_output()
        sys.exit(141)
    except OSError as error:
        if error.filename is None:  # what we print found no room
            _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        print(f"fashionlib: {where}{error.strerror or error}.", file=sys.stderr)
        sys.exit(2)


def _drop_output() -> None:
    """What is still to be written would fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
