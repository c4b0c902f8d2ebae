"""The artifact store: every test with a parameter `store` holds for a local folder and for S3 over HTTP alike."""

import os
import posixpath
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.shared import store_s3
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.store import Store, open_store
from nashflow.components.shared.store_s3 import S3Store
from tests.fixtures.s3 import Reply, S3Server

MIB = 1 << 20


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URI of an empty place."""
    if request.param == "local":
        return str(tmp_path / "runs" / "first")
    return str(request.getfixturevalue("s3_bucket")) + "/runs/first"


@pytest.fixture
def store(root: str) -> Store:
    return open_store(root)


def names(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- content ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"text\r\n", bytes(range(256)) * 300], ids=["empty", "nul", "text", "77k"]
)
def test_what_is_written_is_read(store: Store, data: bytes) -> None:
    store.write("a/b.bin", data)
    assert store.read("a/b.bin") == data
    assert store.exists("a/b.bin")


def test_a_write_replaces(store: Store) -> None:
    store.write("a", b"a long first content")
    store.write("a", b"short")
    assert store.read("a") == b"short"
    assert store.list() == ["a"]


def test_delete_removes_one_key_and_can_be_repeated(store: Store) -> None:
    store.write("a/b", b"1")
    store.write("a/bc", b"2")
    for _ in range(2):
        store.delete("a/b")
        assert not store.exists("a/b")
    assert store.list() == ["a/bc"]


@pytest.mark.parametrize("key", ["ä ö/ß.txt", "a+b%20c&d?e#f=g.txt", "x'\"<>;,$@!()*.txt", ".gitattributes", "a..b"])
def test_odd_names_are_names(store: Store, key: str) -> None:
    store.write(key, key.encode())
    assert store.read(key) == key.encode()
    assert store.exists(key)
    assert store.list() == [key]
    store.delete(key)
    assert store.list() == []


def test_a_file_goes_up_and_down(store: Store, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"weights" * 1000)
    store.upload(tmp_path / "source", "policies/001/model.safetensors")
    target = tmp_path / "new" / "folder" / "target"
    store.download("policies/001/model.safetensors", target)
    assert target.read_bytes() == b"weights" * 1000
    assert store.read("policies/001/model.safetensors") == b"weights" * 1000
    assert names(target.parent) == ["target"]


def test_a_download_replaces_and_is_readable_by_others(store: Store, tmp_path: Path) -> None:
    store.write("a", b"new")
    (tmp_path / "target").write_bytes(b"the old content")
    store.download("a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"new"
    (tmp_path / "plain").touch()
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_upload_of_no_file_stores_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        store.upload(tmp_path / "absent", "a")
    assert store.list() == []


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_listing_is_sorted_and_stops_at_the_folder(store: Store) -> None:
    for key in ["b", "a/bc", "a/b/z", "a/b/c/d", "a/b/B", "a/b-", "a/ba/x"]:
        store.write(key, b"")
    assert store.list() == sorted(["b", "a/bc", "a/b/z", "a/b/c/d", "a/b/B", "a/b-", "a/ba/x"])
    assert store.list("a/b") == store.list("a/b/") == ["a/b/B", "a/b/c/d", "a/b/z"]
    assert store.list("a/bc") == store.list("absent") == store.list("a/absent/") == []


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", ".nashflow-x"]
)
def test_a_key_is_a_plain_relative_path(store: Store, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    for call in (
        lambda: store.read(key),
        lambda: store.write(key, b""),
        lambda: store.read_version(key),
        lambda: store.swap(key, b"", None),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: store.upload(tmp_path / "file", key),
        lambda: store.download(key, tmp_path / "file"),
        lambda: store.location(key),
    ):
        with pytest.raises(ValueError, match="not a key of a store"):
            call()
    assert store.list() == []


def test_a_listing_takes_no_way_out(store: Store) -> None:
    for prefix in ("..", "../", "/", "a/../.."):
        with pytest.raises(ValueError, match="not a key of a store"):
            store.list(prefix)


def test_locations_are_what_a_person_opens(root: str, store: Store) -> None:
    assert store.uri == root
    assert store.location("a/b") == f"{root}/a/b"
    assert open_store(root + "/").uri == root


def test_a_substore_sees_its_folder_alone(root: str, store: Store) -> None:
    below = store.at("cache/logprobs")
    below.write("x/y", b"1")
    store.write("cache/other", b"2")
    assert below.uri == f"{root}/cache/logprobs"
    assert below.list() == ["x/y"]
    assert store.list() == ["cache/logprobs/x/y", "cache/other"]
    assert store.at("cache").list("logprobs") == ["logprobs/x/y"]


def test_the_parent_is_shared_by_neighbours(root: str, store: Store) -> None:
    neighbour = open_store(posixpath.dirname(root) + "/second")
    store.at("..").write("cache/a", b"shared")
    assert store.at("..").uri == posixpath.dirname(root)
    assert neighbour.at("../cache").read("a") == b"shared"
    assert store.list() == []
    assert store.at("below").at("..").uri == store.at(".").uri == root


def test_an_absolute_substore_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not a relative path"):
        store.at("/tmp")


# --- what is not there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["absent", "folder", "folder/file/below"])
def test_a_missing_key_is_named_with_its_whole_uri(root: str, store: Store, tmp_path: Path, key: str) -> None:
    store.write("folder/file", b"")
    for call in (lambda: store.read(key), lambda: store.download(key, tmp_path / "out" / "target")):
        with pytest.raises(FileNotFoundError) as caught:
            call()
        assert caught.value.filename == f"{root}/{key}"
        assert f"{root}/{key}" in str(caught.value)
    assert names(tmp_path / "out") == []
    assert store.read_version(key) is None
    assert not store.exists(key)
    store.delete(key)
    assert store.list() == ["folder/file"]


# --- compare and set -------------------------------------------------------------------------------------------------


def test_swap_creates_once(store: Store) -> None:
    assert store.swap("lock", b"first", None)
    assert not store.swap("lock", b"second", None)
    assert store.read("lock") == b"first"


def test_swap_needs_the_version_that_is_there(store: Store) -> None:
    store.swap("lock", b"first", None)
    content, version = store.read_version("lock") or (b"", "")
    assert content == b"first"
    assert store.swap("lock", b"second", version)
    assert not store.swap("lock", b"third", version)
    assert store.read("lock") == b"second"


def test_swap_of_what_is_gone_fails(store: Store) -> None:
    store.swap("lock", b"first", None)
    _, version = store.read_version("lock") or (b"", "")
    store.delete("lock")
    assert not store.swap("lock", b"second", version)
    assert store.list() == []
    assert store.swap("lock", b"second", None)


def test_versions_follow_content(store: Store) -> None:
    seen = []
    for data in (b"1", b"2", b"1"):
        store.write("a", data)
        seen.append(store.read_version("a"))
    assert [pair and pair[0] for pair in seen] == [b"1", b"2", b"1"]
    assert seen[0] != seen[1]


CONTENDER = """
import sys
from nashflow.components.shared.store import open_store
store, me = open_store(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
claims = [n for n in range(20) if store.swap(f"claims/{n}", me, None)]
for _ in range(10):
    while True:
        data, version = store.read_version("counter")
        if store.swap("counter", b"%d" % (int(data) + 1), version):
            break
print(*claims)
"""


def test_of_several_processes_one_wins(root: str, store: Store) -> None:
    store.write("counter", b"0")
    processes = [
        subprocess.Popen([sys.executable, "-c", CONTENDER, root, name], stdin=-1, stdout=-1, text=True)
        for name in "abc"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    claims = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(int(claim) for won in claims for claim in won) == list(range(20))
    for name, won in zip("abc", claims, strict=True):
        assert {store.read(f"claims/{claim}") for claim in won} <= {name.encode()}
    assert store.read("counter") == b"30"


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow over 64 kB: an OSError of the operating system, as a full disk is one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_download_that_does_not_fit_leaves_nothing(
    store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store.write("large", bytes(MIB))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "target").write_bytes(b"as it was")
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="File too large"):
        store.download("large", tmp_path / "out" / "target")
    assert names(tmp_path / "out") == ["target"]
    assert (tmp_path / "out" / "target").read_bytes() == b"as it was"


def test_a_local_write_that_does_not_fit_leaves_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = open_store(str(tmp_path / "run"))
    store.write("a", b"as it was")
    (tmp_path / "source").write_bytes(bytes(MIB))
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="File too large"):
        store.write("a", bytes(MIB))
    with pytest.raises(OSError, match="File too large"):
        store.upload(tmp_path / "source", "b")
    assert names(tmp_path / "run") == ["a"]
    assert store.read("a") == b"as it was"


UPLOADER = """
import sys
from pathlib import Path
from nashflow.components.shared.store import open_store
open_store(sys.argv[1]).upload(Path(sys.argv[2]), "model")
"""


@pytest.mark.parametrize("before", [None, b"as it was"], ids=["new", "replaced"])
def test_a_killed_writer_leaves_nothing_to_see(tmp_path: Path, before: bytes | None) -> None:
    store = open_store(str(tmp_path / "run"))
    if before is not None:
        store.write("model", before)
    os.mkfifo(tmp_path / "endless")
    process = subprocess.Popen([sys.executable, "-c", UPLOADER, store.uri, str(tmp_path / "endless")])
    with (tmp_path / "endless").open("wb") as source:
        source.write(bytes(3 * MIB))
        source.flush()
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size >= MIB for path in (tmp_path / "run").glob(".*")):
            assert time.monotonic() < deadline, "nothing was written"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert store.list() == ([] if before is None else ["model"])
    assert store.read_version("model") is None or store.read("model") == before
    store.write("model", b"again")
    assert store.read("model") == b"again"
    assert store.list() == ["model"]


# --- any keys and bytes (local) --------------------------------------------------------------------------------------

PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..") and not part.startswith(".nashflow-")
)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@settings(deadline=None, max_examples=40)
@given(files=st.dictionaries(KEYS, st.binary(max_size=2000), max_size=8))
def test_a_local_store_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folders = {folder for key in files for folder in map(str, Path(key).parents)}
    files = {key: data for key, data in files.items() if key not in folders}  # a file system has either
    store = open_store(str(tmp_path_factory.mktemp("run")))
    for key, data in files.items():
        store.write(key, data)
    assert store.list() == sorted(files)
    for folder in folders - {"."}:
        assert store.list(folder) == sorted(key for key in files if key.startswith(folder + "/"))
    for key, data in files.items():
        assert store.read(key) == data
        assert not store.swap(key, b"never", None)
        assert (store.read_version(key) or (None,))[0] == data
        store.delete(key)
    assert store.list() == []


# --- S3 --------------------------------------------------------------------------------------------------------------


def etag_and_metadata(uri: str, key: str) -> tuple[str, dict[str, str]]:
    import boto3

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    head = boto3.session.Session().client("s3").head_object(Bucket=bucket, Key=posixpath.join(prefix, key))
    return head["ETag"], head["Metadata"]


def forge(uri: str, key: str, data: bytes) -> None:
    """Change an object's bytes and nothing else."""
    import boto3

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    boto3.session.Session().client("s3").put_object(
        Bucket=bucket, Key=posixpath.join(prefix, key), Body=data, Metadata=etag_and_metadata(uri, key)[1]
    )


def test_a_large_file_travels_in_parts(s3_bucket: str, tmp_path: Path) -> None:
    store = S3Store.open(s3_bucket, part_bytes=5 * MIB)
    data = os.urandom(12 * MIB)
    (tmp_path / "source").write_bytes(data)
    store.upload(tmp_path / "source", "model")
    assert etag_and_metadata(s3_bucket, "model")[0].endswith('-3"')
    store.download("model", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert store.read("model") == data
    assert names(tmp_path) == ["source", "target"]


@pytest.mark.parametrize("size", [1000, 11 * MIB], ids=["whole", "in parts"])
def test_a_changed_object_is_noticed(s3_bucket: str, tmp_path: Path, size: int) -> None:
    store = S3Store.open(s3_bucket, part_bytes=5 * MIB)
    (tmp_path / "source").write_bytes(bytes(size))
    store.upload(tmp_path / "source", "model")
    forge(s3_bucket, "model", bytes(size - 1) + b"\x01")
    for call in (
        lambda: store.read("model"),
        lambda: store.read_version("model"),
        lambda: store.download("model", tmp_path / "target"),
    ):
        with pytest.raises(OSError, match=f"{s3_bucket}/model is corrupt"):
            call()
    assert names(tmp_path) == ["source"]


def test_bytes_changed_on_the_way_are_noticed(s3_server: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    store = open_store(s3_bucket)
    store.write("a", b"right")
    s3_server.spoil = lambda method, reply: (*reply[:2], reply[2].replace(b"right", b"wrong"))
    for call in (lambda: store.read("a"), lambda: store.download("a", tmp_path / "out" / "target")):
        with pytest.raises(OSError, match=f"{s3_bucket}/a is corrupt"):
            call()
    assert names(tmp_path / "out") == []


def test_objects_of_others_are_read(s3_bucket: str, tmp_path: Path) -> None:
    import boto3

    client = boto3.session.Session().client("s3")
    client.put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="data/prompts.jsonl", Body=b"{}")
    client.put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="data/", Body=b"")
    store = open_store(s3_bucket)
    assert store.list() == store.list("data") == ["data/prompts.jsonl"]
    assert store.read("data/prompts.jsonl") == b"{}"
    store.download("data/prompts.jsonl", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"{}"


def test_a_listing_has_many_pages(s3_bucket: str) -> None:
    store = open_store(s3_bucket)
    for number in range(1001):
        store.write(f"{number:04}", b"")
    assert store.list() == [f"{number:04}" for number in range(1001)]


def test_either_endpoint_variable_is_honoured(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(s3_bucket).write("a", b"here")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    assert open_store(s3_bucket).read("a") == b"here"


class Once:
    """Spoil the first reply to a method."""

    def __init__(self, method: str, instead: Reply | None) -> None:
        self.method, self.instead, self.done = method, instead, False

    def __call__(self, method: str, reply: Reply) -> Reply:
        if self.done or method != self.method:
            return reply
        self.done = True
        return self.instead or (reply[0], reply[1], reply[2][: len(reply[2]) // 2])


UNAVAILABLE: Reply = ("503 Service Unavailable", [("Content-Length", "0")], b"")


def test_a_put_whose_answer_was_lost_has_won_its_swap(s3_server: S3Server, s3_bucket: str) -> None:
    store = open_store(s3_bucket)
    s3_server.spoil = Once("PUT", UNAVAILABLE)
    assert store.swap("lock", b"first", None)
    _, version = store.read_version("lock") or (b"", "")
    s3_server.spoil = Once("PUT", UNAVAILABLE)
    assert store.swap("lock", b"second", version)
    assert s3_server.spoil.done
    s3_server.spoil = Once("PUT", UNAVAILABLE)
    assert not store.swap("lock", b"third", version)
    assert store.read("lock") == b"second"


def test_a_conflict_is_a_lost_swap(s3_server: S3Server, s3_bucket: str) -> None:
    store = open_store(s3_bucket)
    store.write("lock", b"first")
    body = b"<Error><Code>ConditionalRequestConflict</Code><Message>at the same time</Message></Error>"
    s3_server.spoil = Once("PUT", ("409 Conflict", [("Content-Length", str(len(body)))], body))
    assert not store.swap("lock", b"second", None)
    assert s3_server.spoil.done


@pytest.mark.parametrize("instead", [UNAVAILABLE, None], ids=["503", "half a body"])
def test_a_failing_server_is_asked_again(
    s3_server: S3Server, s3_bucket: str, tmp_path: Path, instead: Reply | None
) -> None:
    store = open_store(s3_bucket)
    store.write("a", b"content" * 1000)
    s3_server.spoil = Once("GET", instead)
    assert store.read("a") == b"content" * 1000
    assert s3_server.spoil.done
    assert store.exists("a")
    s3_server.spoil = Once("GET", instead)
    store.download("a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"content" * 1000


# --- what the user can mend ------------------------------------------------------------------------------------------


def one_line(caught: pytest.ExceptionInfo[UserError] | pytest.ExceptionInfo[ConnectionError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "s3://no bucket/prefix", "gs://bucket/prefix", ""])
def test_a_uri_that_is_no_place(uri: str) -> None:
    with pytest.raises(UserError, match="s3://bucket/prefix") as caught:
        open_store(uri)
    assert repr(uri) in one_line(caught)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: give a folder") as caught:
        open_store(str(tmp_path / "file"))
    assert str(tmp_path / "file") in one_line(caught)


def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("runs/../runs/first/")
    assert store.uri == str(tmp_path / "runs" / "first")
    monkeypatch.chdir("/")
    store.write("a", b"")
    assert names(tmp_path) == ["runs/first/a"]


def test_nothing_is_above_a_bucket(s3_bucket: str) -> None:
    assert open_store(s3_bucket + "/run").at("..").uri == s3_bucket
    for uri, relative in [(s3_bucket, ".."), (s3_bucket + "/run", "../../other-bucket")]:
        with pytest.raises(UserError, match="nothing above a bucket") as caught:
            open_store(uri).at(relative)
        assert uri in one_line(caught)


def every_call(
    store: Store, path: Path, kind: type[UserError] | type[ConnectionError] = UserError
) -> list[UserError | ConnectionError]:
    """What each method that reaches S3 raises."""
    path.write_bytes(b"")
    errors: list[UserError | ConnectionError] = []
    for call in (
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.read_version("a"),
        lambda: store.swap("a", b"", None),
        lambda: store.swap("a", b"", '"version"'),
        lambda: store.exists("a"),
        lambda: store.list("a"),
        lambda: store.delete("a"),
        lambda: store.upload(path, "a"),
        lambda: store.download("a", path),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert f"{store.uri}/a" in one_line(caught)
        errors.append(caught.value)
    return errors


def test_a_missing_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    for error in every_call(open_store("s3://nobody-made-it/run"), tmp_path / "file"):
        assert "no bucket 'nobody-made-it'" in str(error)
        assert "create it" in str(error)


def test_denied_access(s3_server: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    s3_server.spoil = lambda method, reply: ("403 Forbidden", [("Content-Length", str(len(body)))], body)
    for error in every_call(open_store(s3_bucket + "/run"), tmp_path / "file"):
        assert "is denied (AccessDenied): check AWS_ACCESS_KEY_ID" in str(error)


def test_missing_credentials(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for error in every_call(open_store(s3_bucket + "/run"), tmp_path / "file"):
        assert "no credentials for" in str(error)
        assert "set AWS_ACCESS_KEY_ID" in str(error)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AWS_ENDPOINT_URL_S3", "localhost:9000", "localhost:9000"),
        ("AWS_PROFILE", "nobody", "nobody"),
        ("AWS_DEFAULT_REGION", "not a region", "not a region"),
    ],
)
def test_an_environment_that_reaches_nothing(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=expected) as caught:
        open_store(s3_bucket)
    assert name in one_line(caught)


def test_a_server_that_does_not_answer_may_come_back(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No UserError: a step would take that for final."""
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        monkeypatch.setattr(store_s3, "_ATTEMPTS", 1)
        errors = every_call(open_store(s3_bucket + "/run"), tmp_path / "file", ConnectionError)
    for error in errors:
        assert f"no answer from {endpoint}: check AWS_ENDPOINT_URL_S3" in str(error)
