"""One exception for everything a person can get wrong."""


class FashionError(Exception):
    """A mistake a person can mend. The message is one line that says what to do.

    The command line prints the line and leaves with exit code 2; a notebook shows the line
    without the traceback of our insides.
    """

    def _render_traceback_(self) -> list[str]:
        """Called by IPython instead of printing the stack."""
        return [f"{type(self).__name__}: {self}"]
