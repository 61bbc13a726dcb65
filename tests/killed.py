"""A process that is killed in the middle of a save: what was there before must be whole."""

import signal
import subprocess
import sys

# `save_file` stops half way, so that the kill comes in the middle of it every time
HALF_SAVED = """
import time
from pathlib import Path
import torch
from fashionlib import weights
from fashionlib.running.folder_index import folder_source, refreshed_index
from fashionlib.heads import build_encoder
from fashionlib.search import SearchIndex
from fashionlib.transforms import Preparation

save = weights.save_file

def save_half(tensors, path, metadata):
    save(tensors, path, metadata)
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
    print("half", flush=True)
    time.sleep(100)

weights.save_file = save_half
torch.manual_seed(0)
encoder = build_encoder("article", 16).eval()
encoder.preparation = Preparation(32)
"""


def kill_half_way(code: str) -> None:
    """Run code that saves something, with `encoder` that of `tiny.tiny_encoder`, and kill it."""
    command = [sys.executable, "-c", HALF_SAVED + code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
