"""The artifact store: every test with a parameter `store` holds for a local folder, moto and SeaweedFS alike."""

import os
import posixpath
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.storage.store import Store, open_store

MIB = 1 << 20


@pytest.fixture(params=["local", "s3_bucket", "seaweedfs_prefix"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URI of an empty place."""
    if request.param == "local":
        return str(tmp_path / "runs" / "first")
    return str(request.getfixturevalue(request.param)) + "/runs/first"


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


def test_a_file_has_an_age_that_grows(store: Store) -> None:
    begun = time.monotonic()
    store.write("a/b", b"1")
    time.sleep(2.1)  # servers tell whole seconds
    age, most = store.age("a/b"), time.monotonic() - begun
    assert 1.0 <= age <= most + 1.0
    with pytest.raises(FileNotFoundError, match="a/c"):
        store.age("a/c")
    with pytest.raises(FileNotFoundError):
        store.age("a")


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
        lambda: store.create(key, b""),
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
    assert not store.exists(key)
    store.delete(key)
    assert store.list() == ["folder/file"]


# --- creation --------------------------------------------------------------------------------------------------------


def test_a_key_is_created_once(store: Store) -> None:
    assert store.create("a/lock", b"first")
    assert not store.create("a/lock", b"second")
    store.write("a/written", b"first")
    assert not store.create("a/written", b"second")
    assert store.read("a/lock") == store.read("a/written") == b"first"
    assert store.list() == ["a/lock", "a/written"]


def test_what_is_gone_can_be_created_again(store: Store) -> None:
    store.create("lock", b"first")
    store.delete("lock")
    assert store.create("lock", b"second")
    assert store.read("lock") == b"second"


def test_a_file_is_created_whole(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """What does not fit is not there, and no unfinished file is left."""
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="File too large"):
        open_store(str(tmp_path)).create("lock", bytes(MIB))
    assert names(tmp_path) == []


def test_a_link_that_was_made_twice_has_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS, when the answer to the first request is lost."""
    link, store = os.link, open_store(str(tmp_path))

    def twice(*paths: str | Path) -> None:
        link(*paths)
        link(*paths)

    monkeypatch.setattr(os, "link", twice)
    assert store.create("lock", b"first")
    assert not store.create("lock", b"second")
    assert store.read("lock") == b"first"
    assert names(tmp_path) == ["lock"]


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
from nashflow.components.storage.store import open_store
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
        while not any(path.stat().st_size >= MIB for path in (tmp_path / "run").glob(".*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert store.list() == ([] if before is None else ["model"])
    assert before is None or store.read("model") == before
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
        assert not store.create(key, b"never")
        assert store.read(key) == data
        store.delete(key)
    assert store.list() == []


# --- what the user can mend ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "s3://no bucket/prefix", "gs://bucket/prefix", ""])
def test_a_uri_that_is_no_place(uri: str) -> None:
    with pytest.raises(UserError, match="s3://bucket/prefix") as caught:
        open_store(uri)
    assert repr(uri) in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: give a folder") as caught:
        open_store(str(tmp_path / "file"))
    assert str(tmp_path / "file") in str(caught.value)


def test_a_folder_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has a byte that is no utf-8") as refused:
        open_store(os.fsdecode(b"/caf\xe9/run"))
    assert str(refused.value).endswith("rename the folder")
    assert open_store("/caf\u00e9/run").uri == "/caf\u00e9/run"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert open_store("~/runs/a").uri == f"{tmp_path}/home/runs/a"
    assert open_store("~").uri == f"{tmp_path}/home"
    assert open_store("./~/runs").uri == f"{tmp_path}/~/runs"
    with pytest.raises(
        UserError, match=r"^~nobody-here/a: nobody's home folder is ~nobody-here: .* \./~nobody-here/a$"
    ):
        open_store("~nobody-here/a")


def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("runs/../runs/first/")
    assert store.uri == str(tmp_path / "runs" / "first")
    monkeypatch.chdir("/")
    store.write("a", b"")
    assert names(tmp_path) == ["runs/first/a"]
