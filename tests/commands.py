"""The command line for tests: each command in a process of its own, none of which imports torch.

Importing it takes seconds. One process does that once and splits off a copy for each command.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

READY = """
import ctypes, json, os, sys
import fashionlib.running.search_command, fashionlib.running.training_commands
from fashionlib.__main__ import main

def give_up_power():
    libc, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 6)()
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capget(head, sets) == 0
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: see capabilities(7)
    assert libc.capset(head, sets) == 0

for line in sys.stdin:
    arguments, folder, environment, streams = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, path in enumerate((os.devnull, *streams)):
            os.dup2(os.open(path, os.O_RDWR), number)
        if os.environ.pop("NOT_ALL_POWERFUL", ""):
            give_up_power()
        sys.argv = ["fashionlib", *arguments]
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code or 0
        sys.stdout.flush()
        os._exit(code)  # taking torch down again would take as long as importing it
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@functools.cache
def ready() -> subprocess.Popen:
    """The process that has everything imported. It ends when its input does."""
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    process = subprocess.Popen([sys.executable, "-c", READY], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    atexit.register(process.stdin.close)
    return process


def fashionlib(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """`fashionlib ...` in a folder, with these variables besides: exit code and what it printed.

    With NOT_ALL_POWERFUL="1" root, too, may open only what file permissions allow.
    """
    words, process = [str(argument) for argument in arguments], ready()
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("out", "err")]
        for stream in streams:
            stream.touch()
        job = words, str(cwd), os.environ | environment, [str(stream) for stream in streams]
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        said = [stream.read_text(encoding="utf-8", errors="replace") for stream in streams]
    return subprocess.CompletedProcess(words, code, *said)
