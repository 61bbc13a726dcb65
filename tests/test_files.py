"""Writing without ever damaging what was there."""

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from complaints import complaint

from fashionlib import files
from fashionlib.errors import FashionError
from fashionlib.files import (
    cache_dir,
    check_place,
    data_dir,
    new_folder,
    replacing,
    taking_apart,
)


def python(code: str, **options) -> subprocess.Popen:
    """A process of its own that runs `code`: one that may be killed, or run out of space."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


# No file may grow past 4096 bytes: what a full disk looks like, without being root
FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from pathlib import Path
from fashionlib.errors import FashionError
from fashionlib.files import new_folder, replacing
"""


def test_folders_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASHIONLIB_DATA", raising=False)
    assert cache_dir() == data_dir() == tmp_path / "cache"
    monkeypatch.setenv("FASHIONLIB_DATA", str(tmp_path / "data"))
    assert data_dir() == tmp_path / "data"
    monkeypatch.setenv("FASHIONLIB_DATA", "")  # as good as none
    assert data_dir() == tmp_path / "cache"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    """In a container whose user nobody has entered."""
    monkeypatch.setattr(pytest.importorskip("pwd"), "getpwuid", {}.__getitem__)
    for name in ("HOME", "XDG_CACHE_HOME", "FASHIONLIB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FashionError, match="set FASHIONLIB_CACHE"):
        cache_dir()
    monkeypatch.setenv("FASHIONLIB_CACHE", "here")
    assert cache_dir() == Path("here")


def test_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "made" / "below" / "model.bin"
    for content in ("old", "new"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent  # a rename works only within a file system
            temporary.write_text(content)
        assert path.read_text() == content
    assert os.listdir(path.parent) == ["model.bin"]
    with open(path) as in_use:
        with replacing(path) as temporary:
            temporary.write_text("newest")
            temporary.chmod(0o600)  # as safetensors does
        assert in_use.read() == "new"  # whoever was reading goes on reading what they opened
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_is_written_is_on_the_disk_before_it_takes_the_place_of_the_old(tmp_path, monkeypatch):
    """Else a machine that loses power has neither: the new name, and nothing in it."""
    path, done = tmp_path / "model.bin", []
    path.write_text("old")
    sync, replace = os.fsync, os.replace

    def synced(number: int) -> None:
        done.append(("synced", os.fstat(number).st_ino))
        sync(number)

    def replaced(old: Path, new: Path) -> None:
        done.append(("replaced", Path(old).stat().st_ino))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with replacing(path) as temporary:
        temporary.write_text("new")
        written = temporary.stat().st_ino
    assert done == [("synced", written), ("replaced", written)]
    assert path.read_text() == "new"


MISHAPS = {  # what is in a file, and what is made of it
    "a key is missing": ("{}", lambda found: found["ids"]),
    "a list is too short": ("[]", lambda found: found[0]),
    "a number where a list should be": ("3", list),
    "letters where a number should be": ('"x"', int),
    "nothing where a text should be": ("null", lambda found: found.split()),
    "brackets without end": ("[" * 10**5, list),
    "a number that is too large": ("Infinity", int),
}


@pytest.mark.parametrize("mishap", MISHAPS)
def test_what_is_not_in_a_file_as_it_should_be_is_damage(mishap):
    text, use = MISHAPS[mishap]

    def read() -> None:
        with taking_apart("runs/it.json"):
            use(json.loads(text))

    complaint(read, "runs/it.json is damaged", "make it anew")


KILLED = """
import os, sys
from fashionlib.files import new_folder, replacing
make = {"file": replacing, "folder": new_folder}[sys.argv[1]]
with make(sys.argv[2]) as temporary:
    if sys.argv[1] == "folder":
        (temporary / "half").write_text("half")
    print(temporary, flush=True)
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("kind", "make"), [("file", replacing), ("folder", new_folder)])
def test_what_killed_processes_left_is_removed_and_what_is_in_use_is_not(tmp_path, kind, make):
    """Six kills of a download left 421 MB."""
    path = tmp_path / "odd-[a*] name"
    command = [sys.executable, "-c", KILLED, kind, str(path)]
    for _ in range(3):
        subprocess.run([*command, "kill"], check=False, capture_output=True)
    with subprocess.Popen([*command, "wait"], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:  # fmt: skip
        in_use = Path(other.stdout.readline().strip())
        (tmp_path / ".odd-[a*] name.of mine").write_text("mine")
        with make(path) as temporary:
            left = {entry.name for entry in tmp_path.iterdir()}
            assert left == {in_use.name, temporary.name, ".odd-[a*] name.of mine"}
        other.stdin.close()
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, ".odd-[a*] name.of mine"}


@pytest.mark.parametrize("before", ["old", None])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path, before):
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "model.bin", tmp_path / "link.bin"
    link.symlink_to("real/model.bin")
    if before is not None:
        path.write_text(before)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["model.bin"]


def test_what_cannot_be_removed_is_in_nobodys_way(tmp_path, monkeypatch):
    """As another person's file in a folder like /tmp."""
    path = tmp_path / "model.bin"
    subprocess.run([sys.executable, "-c", KILLED, "file", str(path), "kill"], check=False,
                   capture_output=True)  # fmt: skip
    (left,) = tmp_path.iterdir()
    unlink = Path.unlink

    def refused(self: Path, **options: bool) -> None:
        if self == left:
            raise PermissionError(1, "Operation not permitted")
        unlink(self, **options)

    monkeypatch.setattr(Path, "unlink", refused)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_what_another_persons_process_writes_stays(tmp_path, monkeypatch):
    """The system says that it is there by saying that it is not ours to signal."""
    under_way = files._beside(tmp_path / "model.bin")
    under_way.write_text("half")

    def refused(process: int, number: int) -> None:
        assert (process, number) == (os.getpid(), 0)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refused)
    with replacing(tmp_path / "model.bin") as temporary:
        temporary.write_text("ours")
    assert under_way.read_text() == "half"


def test_two_threads_of_one_process_do_not_write_into_each_others_files(tmp_path):
    path = tmp_path / "model.bin"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["model.bin"]
    folder = tmp_path / "arrays"
    with new_folder(folder) as first, new_folder(folder) as second:
        (first / "a").write_text("first")
        (second / "a").write_text("second")
    assert (folder / "a").read_text() == "second"


def test_a_temporary_file_that_is_removed_is_no_want_of_space(tmp_path):
    with (
        pytest.raises(FashionError, match=r"another program removed .* meanwhile\. Start again"),
        replacing(tmp_path / "model.bin") as temporary,
    ):
        temporary.unlink()
    link = tmp_path / "link.bin"  # nor is this another program's doing
    link.symlink_to("nowhere/model.bin")
    complaint(replacing(link).__enter__, "could not write", "No such file", "another place")


def test_a_place_that_takes_no_file_is_found_before_the_work(tmp_path, monkeypatch):
    """A name as long as a checkpoint's temporary file may not be; what is not there is not made."""
    monkeypatch.chdir(tmp_path)
    for name in ("a" * 190, "made/a" + "é" * 90, "made/below/" + "a" * 190, "b" * 190 + "/a"):
        check_place(Path(f"{name}.safetensors"))
    closed = ["a" * length for length in (214, 220, 238, 250, 300)] + ["é" * 120, "b" * 300 + "/a"]
    closed.append("c" * 150 + "/" + "é" * 115)  # fewer letters, more bytes
    closed.append("b/" + "a" * 220)
    for place in (*closed, "/proc/x", "/proc/self/fd/x", "/sys/x/y"):
        with pytest.raises(FashionError, match=r"could not write .* another place or name"):
            check_place(Path(f"{place}.safetensors"))
    (tmp_path / "gone").symlink_to("/nowhere/disk")
    with pytest.raises(FashionError, match="gone is no folder"):
        check_place(Path("gone/a.safetensors"))
    assert os.listdir(tmp_path) == ["gone"]


def test_where_a_link_leads_is_where_the_place_is(tmp_path):
    """A training ended with: no such file."""
    link = tmp_path / "model.safetensors"
    for away in ("/proc/x.bin", tmp_path / "nowhere" / "x.bin", "/dev/null/x.bin"):
        link.symlink_to(away)
        complaint(lambda: check_place(link), "could not write", link)
        link.unlink()
    deep = tmp_path / "/".join(["d" * 200] * 20)
    complaint(lambda: check_place(deep / "x.safetensors"), "could not write", "too long")
    link.symlink_to("new.safetensors")
    check_place(link)
    assert os.listdir(tmp_path) == [link.name]


def test_a_path_that_leaves_no_room_for_its_temporary_neighbour_is_too_long(tmp_path):
    """Linux takes paths of 4,095 bytes."""

    def of(length: int) -> Path:
        place = str(tmp_path)
        while len(place) < length:
            place += "/" + "d" * min(200, max(1, length - len(place) - 1))
        return Path(place)

    check_place(of(3900))
    for length in (4020, 4090, 4200):
        complaint(lambda length=length: check_place(of(length)), "(File name too long). Choose ano")
    assert os.listdir(tmp_path) == []


def test_what_is_no_file_is_never_replaced(tmp_path):
    """A device, a pipe, or a link to one: as root, an index went into the place of /dev/zero."""
    pipe, link, folder = tmp_path / "pipe", tmp_path / "link", tmp_path / "folder"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    folder.mkdir()
    before = [path.stat() for path in (pipe, folder)]
    for path in (pipe, link):
        complaint(lambda path=path: check_place(path), "could not write", path, "another place")
    for make, places in ((replacing, (pipe, link, folder)), (new_folder, (pipe, link))):
        for path in places:
            with (
                pytest.raises(FashionError, match=r"could not write .*something else is there"),
                make(path),
            ):
                raise AssertionError("the work began")
    assert [path.stat()[:8] for path in (pipe, folder)] == [each[:8] for each in before]
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_what_is_read_is_not_a_place_to_write(tmp_path):
    path, link = tmp_path / "a.png", tmp_path / "link.png"
    path.write_text("a picture")
    link.symlink_to(path)
    other = tmp_path / "b.png"
    other.touch()
    for source in (path, str(path), link):
        said = f"{path} is read for this: name another file to write."
        for sources in ((None, source, other), (other, source)):
            assert complaint(lambda sources=sources: check_place(path, *sources)) == said
    check_place(path, None, tmp_path / "none.png")
    check_place(tmp_path / "new.png", path)


def test_an_exception_on_the_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_kill_on_the_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("old")
    code = f"""
import time
from fashionlib.files import replacing
with replacing({str(path)!r}) as temporary:
    temporary.write_text("half of the ne")
    print("half", flush=True)
    time.sleep(60)
"""
    process = python(code)
    assert process.stdout.readline() == b"half\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("old")
    code = f"""{FULL_DISK}
try:
    with replacing({str(path)!r}) as temporary:
        temporary.write_bytes(b"x" * 10_000)
except FashionError as error:
    print(error)
"""
    output, errors = python(code).communicate(timeout=60)
    assert errors == b""
    lines = output.decode().splitlines()
    assert len(lines) == 1
    assert f"could not write {path}: File too large" in lines[0]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "models").write_text("a file")
    with (
        pytest.raises(FashionError, match=r"could not write .*models/new.bin"),
        replacing(tmp_path / "models" / "new.bin"),
    ):
        pass
    assert (tmp_path / "models").read_text() == "a file"


def test_new_folder_appears_when_it_is_full(tmp_path):
    path = tmp_path / "made" / "below" / "arrays"
    with new_folder(path) as temporary:
        (temporary / "a").write_text("1")
        assert not path.exists()
    assert (path / "a").read_text() == "1"
    assert os.listdir(path.parent) == ["arrays"]


def test_new_folder_leaves_the_one_that_was_quicker(tmp_path):
    path = tmp_path / "arrays"
    with new_folder(path) as temporary:
        (temporary / "a").write_text("slow")
        path.mkdir()
        (path / "a").write_text("quick")
    assert (path / "a").read_text() == "quick"
    assert os.listdir(tmp_path) == ["arrays"]


def test_new_folder_leaves_nothing_behind_after_an_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "arrays") as temporary:  # noqa: PT012
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_new_folder_on_a_full_disk(tmp_path):
    path = tmp_path / "arrays"
    code = f"""{FULL_DISK}
try:
    with new_folder(Path({str(path)!r})) as temporary:
        (temporary / "a").write_bytes(b"x" * 10_000)
except FashionError as error:
    print(error)
"""
    output, errors = python(code).communicate(timeout=60)
    assert errors == b""
    assert f"could not write {path}: File too large" in output.decode()
    assert os.listdir(tmp_path) == []


def test_new_folder_where_a_file_is(tmp_path):
    path = Path(tmp_path, "arrays")
    path.write_text("a file")
    with pytest.raises(FashionError, match=r"could not write .*arrays"), new_folder(path):
        pass
    assert path.read_text() == "a file"
    path.unlink()
    with pytest.raises(FashionError, match=r"could not write .*arrays"), new_folder(path):
        path.write_text("a file that came meanwhile")
    assert os.listdir(tmp_path) == ["arrays"]
    assert path.is_file()


def test_what_another_machine_writes_on_a_shared_disk_stays(tmp_path, monkeypatch):
    """A process number says nothing of a process over there."""
    ended = python("pass")
    ended.wait()
    with monkeypatch.context() as there:
        there.setattr(platform, "node", lambda: "the other machine")
        there.setattr(os, "getpid", lambda: ended.pid)
        under_way = files._beside(tmp_path / "model.bin")
    under_way.write_text("half")
    with replacing(tmp_path / "model.bin") as temporary:
        temporary.write_text("ours")
    assert under_way.read_text() == "half"
