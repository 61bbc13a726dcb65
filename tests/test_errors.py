"""A person's mistake in a notebook: the one line, and nothing of our insides."""

import subprocess
import sys

import nbformat
from nbclient import NotebookClient

from fashionlib.errors import FashionError, printable, printable_lines


def test_a_notebook_shows_the_line_without_a_traceback(tmp_path):
    source = "from fashionlib.catalog.pictures import read_picture\nread_picture('nowhere.jpg')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, allow_errors=True, resources=resources).execute()
    (error,) = [out for out in notebook.cells[0].outputs if out.output_type == "error"]
    assert error.traceback == ["FashionError: nowhere.jpg does not exist: check the path."]


def test_it_can_be_told_from_a_fault_of_ours():
    assert issubclass(FashionError, Exception)
    assert not issubclass(FashionError, (ValueError, OSError))


def test_names_neither_move_a_cursor_nor_turn_text_around_nor_break_a_line():
    odd, shown = "a\rb\x1b[2K\u2028c\u202ed\udcff é", "a?b?[2K?c?d? é"
    assert printable(f"{odd}\n") == f"{shown}?"
    assert printable_lines(f"{odd}\n\ne\n") == f"{shown}\n\ne\n"


def test_a_second_ctrl_c_while_it_ends_changes_nothing():
    """It comes as late as can be: when Python takes itself down."""
    code = """
import atexit, os, signal
from fashionlib import __main__, cli

def interrupted():
    raise KeyboardInterrupt

atexit.register(os.kill, os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main = interrupted
__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")
