"""What only Milvus has: a filter language, a server behind an address, a folder with a lock."""

import fcntl
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from complaints import complaint
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from pymilvus import MilvusClient, MilvusException

from fashionlib.errors import FashionError
from fashionlib.stores import milvus_store, open_store
from fashionlib.stores.exact_store import ExactStore
from fashionlib.stores.milvus_store import MilvusStore, quoted

SIZE = 8


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(500, SIZE, generator=torch.Generator().manual_seed(seed))[:count]


def filled(uri: str, count: int = 100, index: str = "flat") -> MilvusStore:
    store = open_store(uri, "abc", SIZE, index)
    names = [f"n{n:05}" for n in range(count)]
    store.upsert(names, vectors(count), ["ab"[n % 2] for n in range(count)])
    return store


@pytest.fixture
def uri(tmp_path) -> str:
    return str(tmp_path / "store.db")


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[str]:
    """Milvus Lite as a server of its own: another process, reached by its address as any is."""
    with started(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def server(running) -> str:
    """The server with nothing in it."""
    client = MilvusClient(running)
    for name in client.list_collections():
        client.drop_collection(name)
    return running


@contextmanager
def started(folder: Path, port: int = 0) -> Iterator[str]:
    """The address of a server that is killed at the end."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
    where = ["--data-dir", str(folder), "--port", str(port)]
    process = subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None, "the server did not start"
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


# Filters


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain", '"plain"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
        ('\\"', '"\\\\\\""'),
        ("a\nb\rc\td", '"a\\nb\\rc\\td"'),
        ("it's {é}", '"it\'s {é}"'),
    ],
)
def test_a_text_in_a_filter_is_quoted(text, literal):
    assert quoted(text) == literal


def test_an_id_that_looks_like_a_filter_deletes_nothing_else(uri):
    """The client's own `delete(ids=…)` deletes all rows here."""
    store = filled(uri, 5)
    attacks = ["x'] or id != 'x", 'x"] or id != "x', "x\\", "'] or ['"]
    store.delete(attacks)
    assert len(store) == 5
    for attack in ('" or category != "', "' or category != '"):
        assert store.search(vectors(1), 9, attack).ids == ((),)
    store.close()


def test_more_ids_than_go_into_one_filter(uri, monkeypatch):
    monkeypatch.setattr(milvus_store, "NAMES", 7)
    monkeypatch.setattr(milvus_store, "ROWS", 9)
    store = filled(uri, 40)
    assert len(store) == 40
    store.delete([f"n{n:05}" for n in range(2, 40)])
    assert store.search(vectors(1), 9).ids == (("n00000", "n00001"),)
    store.close()


# Searches


@pytest.mark.parametrize("lite", [False, True])
def test_many_queries_are_sent_in_parts(server, uri, lite, monkeypatch, tmp_path):
    """To Milvus Lite one by one: a batch would need memory for all distances and more."""
    store = filled(uri if lite else server)
    exact = ExactStore(tmp_path / "exact.safetensors", "abc", SIZE)
    exact.upsert([f"n{n:05}" for n in range(100)], vectors(100), [""] * 100)
    expected = exact.search(vectors(30, 1), 5)
    monkeypatch.setattr(milvus_store, "NUMBERS", SIZE * 15 * 4)  # four queries at a time
    sizes = []
    search = store._client.search
    monkeypatch.setattr(
        store._client, "search", lambda *a, **b: (sizes.append(len(b["data"])), search(*a, **b))[1]
    )
    hits = store.search(vectors(30, 1), 5)
    assert sizes == ([1] * 30 if lite else [4] * 7 + [2])
    assert hits.ids == expected.ids
    assert torch.equal(hits.distances, expected.distances)
    monkeypatch.setattr(milvus_store, "NUMBERS", 1)  # an answer to one is more than that
    assert store.search(vectors(2, 1), 5).ids == expected.ids[:2]
    store.close()


def test_many_rows_go_from_the_log_to_files(uri, monkeypatch):
    monkeypatch.setattr(milvus_store, "MANY", 50)
    store = filled(uri, 49)
    assert not list(Path(uri).rglob("*.parquet"))
    store.upsert([f"m{n}" for n in range(50)], vectors(50), [""] * 50)
    assert list(Path(uri).rglob("*.parquet"))
    assert len(store) == 99
    store.close()


def test_a_search_that_takes_too_long(uri, monkeypatch):
    answer = MilvusServicer.Search
    monkeypatch.setattr(MilvusServicer, "Search", lambda *a: (time.sleep(1), answer(*a))[1])
    store = filled(uri, 10)
    monkeypatch.setattr(milvus_store, "SECONDS", 0.2)
    complaint(lambda: store.search(vectors(1), 1), uri, "did not search", "Deadline")

    def fails(*_: object, **__: object) -> None:
        raise MilvusException(message="no\n  room\tleft")

    monkeypatch.setattr(store._client, "query", fails)
    complaint(lambda: len(store), f"{uri} did not query: no room left.")
    store.close()


def test_never_asks_for_more_than_milvus_gives(uri, monkeypatch):
    store = filled(uri, 60)
    monkeypatch.setattr(milvus_store, "MOST", 50)
    assert len(store.search(vectors(1), 50).ids[0]) == 50
    complaint(lambda: store.search(vectors(1), 51), "fewer than 51", "ask for fewer")
    assert len(store.search(vectors(1), 51, "a").ids[0]) == 30
    store.close()


# Opening


def test_two_encoders_do_not_share_a_store(server):
    filled(server, 3).close()
    assert len(open_store(server, "abc", SIZE)) == 3
    complaint(lambda: open_store(server, "other", SIZE), server, "other weights")


def test_a_server_is_the_same_store_behind_an_address(server):
    """Filled, changed, reopened and searched as a folder is."""
    store = filled(server, 50)
    store.delete(["n00003", "it's"])
    store.upsert(['say "x"'], vectors(1) + 1, ["é"])
    store.close()
    again = open_store(server, "abc", SIZE)
    assert len(again) == 50
    assert again.search(vectors(1) + 1, 1, "é").ids == (('say "x"',),)
    complaint(lambda: open_store(server, "abc", SIZE + 1), f"{SIZE} dim")
    complaint(lambda: open_store(server, "abc", SIZE, "hnsw"), "index='flat'")
    again.close()


def test_a_graph_is_asked_for(uri):
    store = filled(uri, 30, "hnsw")
    described = store._client.describe_index("fashionlib_abc", "embedding")
    assert described["index_type"] == "HNSW"
    assert described["metric_type"] == "L2"
    assert store.search(vectors(1), 1).distances.tolist() == [[0.0]]
    store.close()


def test_a_graph_is_built_and_walked_as_far_as_we_say(uri, monkeypatch):
    """A server refuses to give more neighbours than it keeps candidates while it walks."""
    built, walks, create, search = [], [], MilvusClient.create_index, MilvusClient.search

    def watched_create(self, name, parameters, **more):
        built.extend(each.to_dict() for each in parameters)
        return create(self, name, parameters, **more)

    def watched_search(self, *arguments, **more):
        walks.append((more["limit"], more["search_params"]["params"]["ef"]))
        return search(self, *arguments, **more)

    monkeypatch.setattr(MilvusClient, "create_index", watched_create)
    monkeypatch.setattr(MilvusClient, "search", watched_search)
    store = filled(uri, 300, "hnsw")
    for k in (5, 200):
        store.search(vectors(1, seed=1), k)
    store.close()
    assert [(each["M"], each["efConstruction"]) for each in built] == [(32, 80)]
    assert walks == [(15, 128), (210, 420)]


def test_every_answer_is_asked_to_know_all_that_was_put_in(uri, monkeypatch):
    """Else a server may answer as of a few seconds ago; Milvus Lite always knows."""
    told = {}

    def watch(method: str) -> None:
        call = getattr(MilvusClient, method)

        def watched(self, *arguments, **more):
            told[method] = more.get("consistency_level")
            return call(self, *arguments, **more)

        monkeypatch.setattr(MilvusClient, method, watched)

    for method in ("create_collection", "search", "query"):
        watch(method)
    store = filled(uri, 3)
    store.search(vectors(1), 1)
    assert len(store) == 3
    store.close()
    assert told == {"create_collection": "Strong", "search": "Strong", "query": "Strong"}


def test_a_row_that_is_replaced_is_never_away(uri, monkeypatch):
    """Deleted first, it would be lost where the upsert is broken off."""
    store, deleted = filled(uri, 3), []
    monkeypatch.setattr(store._client, "delete", lambda *_, **more: deleted.append(more))
    store.upsert(["n00001"], vectors(1), ["c"])
    assert deleted == []
    assert len(store) == 3
    assert store.search(vectors(1), 9, "c").ids == (("n00001",),)
    store.close()


def test_collections_of_others_on_a_server_do_not_matter(server):
    client = MilvusClient(server)
    client.create_collection("theirs", dimension=4)
    filled(server, 3).close()
    assert sorted(client.list_collections()) == ["fashionlib_abc", "theirs"]
    client.close()


def test_an_interrupted_start_is_made_good(uri, monkeypatch):
    """Killed between the collection and its index: the next start makes the index."""
    with monkeypatch.context() as patch:
        patch.setattr(MilvusClient, "create_index", lambda *_, **__: sys.exit(1))
        with pytest.raises(SystemExit):
            open_store(uri, "abc", SIZE)
    store = filled(uri, 5)
    assert store.search(vectors(1), 1).ids == (("n00000",),)
    store.close()


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr(milvus_store, "SECONDS", 2)
    for uri in ("http://127.0.0.1:1", "http://127.0.0.1:no", "https://127.0.0.1:1"):
        complaint(lambda uri=uri: open_store(uri, "abc", SIZE), uri, "no Milvus server answers")


def test_a_password_is_not_shown(monkeypatch):
    monkeypatch.setattr(milvus_store, "SECONDS", 2)
    uri = "http://someone:secret@127.0.0.1:1"
    message = complaint(lambda: open_store(uri, "abc", SIZE), "http://127.0.0.1:1")
    assert "secret" not in message


def test_a_server_that_goes_away(tmp_path, monkeypatch):
    """Every call says so, and what was put in is there when the server is back."""
    monkeypatch.setattr(milvus_store, "SECONDS", 5)
    with started(tmp_path) as address:
        store = filled(address, 20)
    for call in (
        lambda: store.search(vectors(1), 1),
        lambda: store.upsert(["x"], vectors(1), [""]),
        lambda: store.delete(["x"]),
        lambda: len(store),
    ):
        complaint(call, address, "did not")
    with started(tmp_path, int(address.rsplit(":")[-1])):
        assert in_time(lambda: len(store)) == 20  # also the store that was open
        assert in_time(lambda: len(open_store(address, "abc", SIZE))) == 20


def in_time(call: Callable[[], int]) -> int:
    """What `call` gives when it first succeeds: gRPC tries a lost address again after a while."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return call()
        except FashionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_folder_that_another_process_uses(uri):
    open_store(uri, "abc", SIZE).close()  # lets go of it
    code = f"""
import time
from fashionlib.stores import open_store
store = open_store({uri!r}, "abc", {SIZE})
print("open", flush=True)
time.sleep(100)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    complaint(lambda: open_store(uri, "abc", SIZE), uri, "another process uses it")
    process.kill()
    process.communicate()
    open_store(uri, "abc", SIZE).close()


def test_a_folder_that_is_refused_is_let_go(uri, tmp_path, monkeypatch):
    """So that another process can open it with the right weights: `LOCK` is Milvus Lite's."""
    monkeypatch.chdir(tmp_path)
    store = open_store(Path(uri).name, "abc", SIZE)
    monkeypatch.chdir("/")
    with (Path(uri) / "LOCK").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        store.close()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_UN)
        complaint(lambda: open_store(uri, "other", SIZE), "other weights")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lost_list_of_deleted_rows_is_noticed(uri, monkeypatch):
    """They were there again."""
    monkeypatch.setattr(milvus_store, "MANY", 5)  # so that rows and deletions come into files
    store = filled(uri, 20)
    store.delete(["n00003"])
    store.upsert([f"m{n}" for n in range(5)], vectors(5), [""] * 5)
    store.close()
    (part,) = Path(uri).rglob("delta/*.parquet")
    part.unlink()
    complaint(lambda: open_store(uri, "abc", SIZE), f"its part delta/{part.name} is missing")


@pytest.mark.parametrize("left", ["manifest.json", "manifest.json.prev", "partitions"])
def test_whatever_is_left_of_a_collection_is_no_new_store(uri, left):
    folder = Path(uri) / "collections" / "fashionlib_abc"
    folder.mkdir(parents=True)
    (folder / left).touch()
    complaint(lambda: open_store(uri, "abc", SIZE), "schema.json is missing or damaged")


def test_a_file_where_the_folder_should_be(uri):
    Path(uri).write_text("a database of old")
    complaint(lambda: open_store(uri, "abc", SIZE), uri, "is a file")


@pytest.mark.parametrize("package", ["pymilvus", "milvus_lite"])
def test_without_the_package(uri, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = complaint(lambda: open_store(uri, "abc", SIZE), f"{package} is missing")
    assert 'pip install "fashionlib[stores]"' in message
    assert not list(tmp_path.iterdir())


def test_a_server_needs_no_milvus_lite_here(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "milvus_lite", None)
    filled(server, 3).close()


def test_the_server_of_the_deploy_folder_is_closed_to_others():
    """Milvus lets in anybody who reaches its port, and MinIO who knows its usual password."""
    deploy = Path(__file__).resolve().parents[2] / "deploy"
    services = yaml.safe_load((deploy / "docker-compose.yml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:19530:19530"]
    for service, key in (("minio", "MINIO_ROOT_PASSWORD"), ("milvus", "MINIO_SECRET_ACCESS_KEY")):
        value = services[service]["environment"][key]
        assert value.startswith("${MINIO_ROOT_PASSWORD:?"), "it may not start without one"
    assert (deploy / ".gitignore").read_text().split() == [".env"]


def test_the_page_of_the_deploy_folder_sets_what_its_server_asks_for():
    deploy = Path(__file__).resolve().parents[2] / "deploy"
    plan, page = ((deploy / name).read_text() for name in ("docker-compose.yml", "README.md"))
    asked = set(re.findall(r"\$\{(\w+)", plan))
    assert asked == set(re.findall(r"(MINIO_\w+)=", page)) != set()
    assert set(re.findall(r"localhost:(\d+)", page)) == {"19530"}  # which is published


def test_a_proxy_is_not_asked_for_the_way_to_this_machine(tmp_path):
    """In a process of its own: gRPC reads the settings once."""
    code = (
        "import torch; from fashionlib.stores import open_store; "
        f"store = open_store({str(tmp_path / 'proxied.db')!r}, 'abc', 4); "
        "store.upsert(['a'], torch.ones(1, 4), ['']); print(len(store)); store.close()"
    )
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    environment = {name: v for name, v in os.environ.items() if name.lower() != "no_proxy"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | proxies, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "1"


def test_what_a_person_keeps_from_the_proxy_stays_so(uri, monkeypatch):
    Path(uri).write_text("a file, so that nothing is started")
    first = "no_grpc_proxy"
    for name in (first, "no_proxy"):
        monkeypatch.setenv(first, "")
        monkeypatch.setenv(name, "inside.example,localhost,.org")
        complaint(lambda: open_store(uri, "abc", SIZE), "is a file")
        assert os.environ[first] == "inside.example,.org,localhost,127.0.0.1"


def test_rows_of_the_deploy_folders_server_lie_in_volumes():
    """Each at the place where the service writes: elsewhere they would go with the container."""
    deploy = Path(__file__).resolve().parents[2] / "deploy"
    plan = yaml.safe_load((deploy / "docker-compose.yml").read_text())
    places = {"etcd": "/etcd", "minio": "/data", "milvus": "/var/lib/milvus"}
    assert set(plan["volumes"]) == set(places)
    for name, place in places.items():
        assert plan["services"][name]["volumes"] == [f"{name}:{place}"]
    assert f"--data-dir {places['etcd']} " in plan["services"]["etcd"]["command"] + " "
    assert plan["services"]["minio"]["command"].split()[-1] == places["minio"]


def test_the_services_of_the_deploy_folder_find_each_other():
    """Milvus at the ports where the others listen, by their names, once both are well."""
    deploy = Path(__file__).resolve().parents[2] / "deploy"
    services = yaml.safe_load((deploy / "docker-compose.yml").read_text())["services"]
    milvus, places = services["milvus"], {"etcd": "etcd:2379", "minio": "minio:9000"}
    asked = milvus["environment"]
    assert (asked["ETCD_ENDPOINTS"], asked["MINIO_ADDRESS"]) == tuple(places.values())
    assert asked["MINIO_ACCESS_KEY_ID"].startswith("${MINIO_ROOT_USER:?")
    words = services["etcd"]["command"].split()
    for option, url in (("advertise", "http://etcd:2379"), ("listen", "http://0.0.0.0:2379")):
        assert words[words.index(f"--{option}-client-urls") + 1] == url
    assert milvus["depends_on"] == {name: {"condition": "service_healthy"} for name in places}
    checks = {name: " ".join(each["healthcheck"]["test"]) for name, each in services.items()}
    assert "endpoint health" in checks["etcd"]
    assert "http://localhost:9000/" in checks["minio"]  # where it listens unless it is told else
    assert "http://localhost:9091/healthz" in checks["milvus"]  # at 19530 it speaks gRPC
