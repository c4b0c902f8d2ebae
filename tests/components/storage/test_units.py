"""Units of work: done or not, seen whole or not at all, checked when read, and published by one of several."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.digests import digest_json, sha256_bytes
from nashflow.components.core.errors import UserError
from nashflow.components.storage import records
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import File, Manifest, read_manifest, require_manifest
from tests.fixtures.interleaving import Objects, Turns, interleave, turns
from tests.fixtures.units import KEY, MANIFEST, publish, rows, unit_in


def folder_with(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


# --- done or not -----------------------------------------------------------------------------------------------------


def test_a_unit_is_done_when_it_is_published(run_store: Store) -> None:
    unit = unit_in(run_store)
    assert unit.finished() is None
    published = publish(unit)
    assert unit.finished() == read_manifest(run_store, KEY) == require_manifest(run_store, KEY) == published
    file = published.files["logprobs"]
    assert (file.rows, file.size, len(file.sha256)) == (3, len(run_store.read(file.key)), 64)
    assert (published.unit, published.version, published.metrics) == (KEY, 1, {"rows": 3})
    assert published.rows(run_store, records.LOGPROBS) == rows()
    assert published.table(run_store, records.LOGPROBS).equals(records.table(rows(), records.LOGPROBS))
    assert run_store.list() == [file.key, MANIFEST]


CHANGES: dict[str, dict[str, Any]] = {
    "version": {"version": 2},
    "a setting": {"settings": {"batch": 16, "method": {"eta": 0.5}}},
    "a setting inside": {"settings": {"batch": 8, "method": {"eta": 0.25}}},
    "another setting": {"settings": {"batch": 8, "method": {"eta": 0.5}, "dtype": "float32"}},
    "an input": {"inputs": {"pairs": "a" * 64, "policy": "c" * 64}},
    "inputs exchanged": {"inputs": {"pairs": "b" * 64, "policy": "a" * 64}},
    "another input": {"inputs": {"pairs": "a" * 64, "policy": "b" * 64, "cache": "c" * 64}},
    "an input less": {"inputs": {"pairs": "a" * 64}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_makes_a_unit_unfinished(change: str, local_store: Store) -> None:
    before = unit_in(local_store)
    after = replace(before, **CHANGES[change])
    publish(before, -1.0)
    assert after.finished() is None
    republished = publish(after, -1.5)
    assert (before.finished(), after.finished()) == (None, republished)


def test_the_order_of_settings_and_inputs_does_not_count(local_store: Store) -> None:
    unit = unit_in(local_store)
    settings, inputs = (dict(reversed(list(value.items()))) for value in (unit.settings, unit.inputs))
    turned = replace(unit, settings=settings, inputs=inputs)
    assert turned.finished() is None
    publish(unit)
    assert turned.finished() is not None


def test_another_package_version_leaves_a_unit_finished(local_store: Store) -> None:
    manifest = publish(unit_in(local_store)).to_json() | {"package": "99.0"}
    local_store.write(MANIFEST, json.dumps(manifest).encode())
    assert unit_in(local_store).finished() is not None


@pytest.mark.parametrize("name", ["a.bin", "deep/b.bin"])
def test_a_deleted_file_makes_a_unit_unfinished_until_it_is_made_again(
    name: str, run_store: Store, tmp_path: Path
) -> None:
    unit = unit_in(run_store)
    made = folder_with(tmp_path / "made", {"a.bin": b"a", "deep/b.bin": b"b"})
    manifest = unit.publish_folder(made, {}, time.time())
    run_store.delete(manifest.files[name].key)
    assert unit.finished() is None
    assert unit.publish_folder(made, {}, time.time()).files == manifest.files
    assert unit.finished() is not None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"unit": "x"}', b"\xff\xfe"],
    ids=["empty", "torn", "list", "nothing", "other form", "no text"],
)
def test_a_manifest_that_cannot_be_read_does_not_count(content: bytes, local_store: Store) -> None:
    local_store.write(MANIFEST, content)
    unit = unit_in(local_store)
    assert unit.finished() is None
    assert publish(unit) == unit.finished()


def test_a_manifest_of_a_later_package_does_not_count(local_store: Store) -> None:
    later = publish(unit_in(local_store)).to_json() | {"colour": "red"}
    local_store.write(MANIFEST, json.dumps(later).encode())
    assert unit_in(local_store).finished() is None


def test_a_unit_that_is_needed_and_missing_gets_its_line(run_store: Store) -> None:
    with pytest.raises(UserError) as caught:
        require_manifest(run_store, KEY)
    assert str(caught.value) == f"{run_store.uri}/{KEY}: not there yet; run the step that makes it first"


# --- content ---------------------------------------------------------------------------------------------------------


def test_other_content_stands_beside_the_old(run_store: Store) -> None:
    """A reader with the first manifest in its hands reads on, whatever is published meanwhile."""
    first = publish(unit_in(run_store), -1.0)
    second = publish(replace(unit_in(run_store), version=2), -1.5)
    assert first.rows(run_store, records.LOGPROBS) == rows(-1.0)
    assert second.rows(run_store, records.LOGPROBS) == rows(-1.5)


def test_content_decides_the_digest(local_store: Store) -> None:
    one = publish(unit_in(local_store))
    elsewhere = publish(replace(unit_in(local_store), key="iterations/002/main/logprobs/00000", version=7))
    other = publish(replace(unit_in(local_store), key="iterations/003/main/logprobs/00000"), -1.5)
    assert one.digest == elsewhere.digest == digest_json({"logprobs": one.files["logprobs"].sha256})
    assert other.digest != one.digest


def test_what_is_published_stays_although_a_copy_made_something_else(local_store: Store) -> None:
    """Others may have read it: on a GPU a slow copy of the same unit has other bytes."""
    one = publish(unit_in(local_store))
    other = publish(unit_in(local_store), -1.5)
    assert other == one
    assert unit_in(local_store).finished() == one


def test_several_kinds_lie_in_folders_of_their_own(local_store: Store) -> None:
    tables: dict[records.Record[Any], list[Any]] = {records.LOGPROBS: rows(), records.COMPARISONS: []}
    manifest = unit_in(local_store).publish_records(tables, {}, time.time())
    assert [file.key.rpartition("/")[0] for file in manifest.files.values()] == [
        "iterations/001/main/logprobs",
        "iterations/001/main/comparisons",
    ]
    assert manifest.files["comparisons"].rows == 0
    assert manifest.rows(local_store, records.COMPARISONS) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"row_id": None}, "column row_id has 1 nulls"),
        ({"policy": 0}, "column policy: Expected bytes, got a 'int' object"),
    ],
)
def test_a_row_that_does_not_fit_publishes_nothing(changes: dict[str, Any], reason: str, local_store: Store) -> None:
    with pytest.raises(UserError, match=rf"^rows: {reason}$"):
        unit_in(local_store).publish_records({records.LOGPROBS: [*rows(), rows()[0] | changes]}, {}, time.time())
    assert local_store.list() == []


def test_a_folder_comes_back(run_store: Store, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "deep/er/model.safetensors": bytes(range(256)) * 5000, "empty": b""}
    manifest = unit_in(run_store).publish_folder(folder_with(tmp_path / "made", files), {}, time.time())
    manifest.fetch(run_store, tmp_path / "fetched")
    fetched = [path for path in (tmp_path / "fetched").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "fetched")): path.read_bytes() for path in fetched} == files


def test_a_renamed_file_is_another_folder(local_store: Store, tmp_path: Path) -> None:
    one = unit_in(local_store).publish_folder(folder_with(tmp_path / "one", {"a": b"1", "b": b"2"}), {}, time.time())
    other = replace(unit_in(local_store), version=2)
    two = other.publish_folder(folder_with(tmp_path / "two", {"a": b"2", "b": b"1"}), {}, time.time())
    assert one.digest != two.digest
    assert not {file.key for file in one.files.values()} & {file.key for file in two.files.values()}


def test_a_pointer_is_read_where_it_points(run_store: Store, tmp_path: Path) -> None:
    source = open_store(str(tmp_path / "models" / "tiny"))
    source.write("config.json", b"{}")
    unit = unit_in(run_store)
    manifest = unit.publish_pointer(Path(source.uri), source.list(), {}, time.time())
    assert manifest.files == {"config.json": File("config.json", sha256_bytes(b"{}"), 2)}
    assert run_store.list() == [MANIFEST]
    assert unit.finished() == manifest
    assert manifest.read(run_store, "config.json") == b"{}"
    manifest.fetch(run_store, tmp_path / "fetched")
    assert (tmp_path / "fetched" / "config.json").read_bytes() == b"{}"
    source.write("config.json", b"[]")
    with pytest.raises(UserError, match=rf"^{source.uri}/config\.json: "):
        manifest.read(run_store, "config.json")
    source.delete("config.json")
    assert unit.finished() is None


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
keys = st.from_regex(r"[a-zä ]{1,4}(/[a-z0-9]{1,4})?", fullmatch=True)


@given(
    st.dictionaries(keys, st.builds(File, keys, st.text(), st.integers(0), st.none() | st.integers(0)), max_size=3),
    st.dictionaries(st.text(), numbers, max_size=3),
    st.dictionaries(st.text(), st.lists(numbers, max_size=3), max_size=2),
    st.text(),
    st.none() | st.text(),
)
def test_a_manifest_comes_back_from_json(
    files: dict[str, File], metrics: dict[str, Any], curves: dict[str, Any], weights_digest: str, source: str | None
) -> None:
    fields = {"curves": curves, "weights_digest": weights_digest, "source": source}
    manifest = Manifest(KEY, 1, "f", "s", {"a": "b"}, files, metrics, 0.5, 1, **fields)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_fields_that_are_no_metrics_stand_beside_them(local_store: Store, tmp_path: Path) -> None:
    made = folder_with(tmp_path / "made", {"model.safetensors": b"1"})
    fields = {"weights_digest": "c" * 64, "curves": {"loss": [0.5, 0.25]}}
    manifest = unit_in(local_store).publish_folder(made, {"loss": 0.25, "pairs": 8}, time.time(), **fields)
    assert unit_in(local_store).finished() == manifest
    assert (manifest.weights_digest, manifest.curves) == ("c" * 64, {"loss": [0.5, 0.25]})
    assert manifest.metrics == {"loss": 0.25, "pairs": 8}


def test_metrics_that_do_not_apply_are_left_out(local_store: Store) -> None:
    manifest = unit_in(local_store).publish({}, {"kl": None, "gap": 0.0}, time.time())
    assert manifest.metrics == json.loads(local_store.read(MANIFEST))["metrics"] == {"gap": 0.0}


def test_a_manifest_that_has_digest_and_curves_among_its_metrics_is_read(local_store: Store, tmp_path: Path) -> None:
    """So it was in version 0.1.0, whose run roots go on."""
    made = folder_with(tmp_path / "made", {"model.safetensors": b"1"})
    fields = {"weights_digest": "c" * 64, "curves": {"loss": [0.5, 0.25]}}
    manifest = unit_in(local_store).publish_folder(made, {"pairs": 8}, time.time(), **fields)
    old = manifest.to_json()
    old["metrics"] |= {"weights": old.pop("weights_digest"), "curves": old.pop("curves")}
    local_store.write(MANIFEST, json.dumps(old).encode())
    assert unit_in(local_store).finished() == read_manifest(local_store, KEY) == manifest


def test_a_manifest_without_digest_and_curves_is_read(local_store: Store) -> None:
    """That of anything but a policy, as version 0.1.0 wrote it."""
    manifest = publish(unit_in(local_store))
    old = {key: value for key, value in manifest.to_json().items() if key not in ("weights_digest", "curves")}
    local_store.write(MANIFEST, json.dumps(old).encode())
    assert read_manifest(local_store, KEY) == manifest


# --- damage ----------------------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "one bit": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    "cut short": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_by_whoever_reads_it(damage: str, local_store: Store, tmp_path: Path) -> None:
    manifest = publish(unit_in(local_store))
    key = manifest.files["logprobs"].key
    local_store.write(key, DAMAGES[damage](local_store.read(key)))
    line = (
        f"{local_store.uri}/{key}: its content does not match the digest in its manifest; "
        "delete it and run again to recreate it"
    )
    readers: list[Callable[[], object]] = [
        lambda: manifest.read(local_store, "logprobs"),
        lambda: manifest.table(local_store, records.LOGPROBS),
        lambda: manifest.rows(local_store, records.LOGPROBS),
        lambda: manifest.fetch(local_store, tmp_path / "fetched"),
    ]
    for read in readers:
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value) == line
    assert [path for path in tmp_path.rglob("fetched/*") if path.is_file()] == []
    local_store.delete(key)  # what the line says
    assert unit_in(local_store).finished() is None


def test_a_file_that_vanished_is_named(run_store: Store, tmp_path: Path) -> None:
    manifest = publish(unit_in(run_store))
    key = manifest.files["logprobs"].key
    run_store.delete(key)
    for read in (
        lambda: manifest.read(run_store, "logprobs"),
        lambda: manifest.fetch(run_store, tmp_path / "fetched"),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            read()
        assert caught.value.filename == f"{run_store.uri}/{key}"


# --- several publishers ----------------------------------------------------------------------------------------------


BEFORE: dict[str, Callable[[Store], object]] = {
    "nothing": lambda store: None,
    "other work": lambda store: publish(replace(unit_in(store), version=2)),
    "an empty manifest": lambda store: store.write(MANIFEST, b""),
    "a file that is gone": lambda store: store.delete(publish(unit_in(store), -3.0).files["logprobs"].key),
}


class Outrun:
    """A store in which somebody else publishes just before one of the requests of a kind."""

    def __init__(self, store: Store, request: str, count: int, somebody: Callable[[], object]) -> None:
        self._store, self._request, self._count, self._somebody = store, request, count, somebody

    def __getattr__(self, name: str) -> Any:
        if name == self._request:
            self._count -= 1
            if self._count == 0:
                self._somebody()
        return getattr(self._store, name)


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize(("request_", "count"), [("read", 1), ("create", 1), ("write", 1)])
def test_who_comes_second_with_the_same_work_takes_the_firsts(
    before: Callable[[Store], object], request_: str, count: int, run_store: Store
) -> None:
    before(run_store)
    others: list[Manifest] = []
    late = Outrun(run_store, request_, count, lambda: others.append(publish(unit_in(run_store), -1.5)))
    manifest = publish(unit_in(late), -1.0)
    assert unit_in(run_store).finished() == manifest
    assert others in ([], [manifest])
    assert manifest.rows(run_store, records.LOGPROBS) == rows(-1.5 if request_ != "write" else -1.0)


def test_of_other_work_the_later_stands(run_store: Store) -> None:
    newer = replace(unit_in(run_store), version=2)
    late = Outrun(run_store, "create", 1, lambda: publish(newer))
    manifest = publish(unit_in(late))
    assert unit_in(run_store).finished() == manifest
    assert newer.finished() is None


@settings(max_examples=200)
@given(order=turns(4), gone=st.booleans())
def test_in_any_order_of_requests_and_deaths_all_copies_publish_one_manifest(order: Turns, gone: bool) -> None:
    """Where there is nothing before, and where there is the manifest of other work."""
    objects: Objects = {}
    if not gone:
        interleave(objects, [], lambda store: replace(unit_in(store), version=2).publish({}, {}, 0.0))
    returned: list[Manifest] = []
    seen: list[Manifest] = []

    def copy(number: int) -> Callable[[Any], None]:
        return lambda store: returned.append(unit_in(store).publish({}, {"copy": number}, 0.0))

    def look(store: Any) -> None:
        for _ in range(8):
            if manifest := unit_in(store).finished():
                seen.append(manifest)

    interleave(objects, order, copy(1), copy(2), copy(3), look)
    assert len({json.dumps(manifest.to_json(), sort_keys=True) for manifest in (*returned, *seen)}) <= 1


CHILD = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from dataclasses import replace
from pathlib import Path
from nashflow.components.storage.store import open_store
from tests.fixtures.interleaving import Objects, Turns, interleave, turns
from tests.fixtures.units import KEY, publish, unit_in
store = open_store(sys.argv[1])
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD + code, *arguments], stderr=subprocess.PIPE, text=True)


def test_two_processes_that_publish_one_unit_leave_one_manifest(run_root: str, tmp_path: Path) -> None:
    """Their content differs, as it may on a GPU: each unit is one process's or the other's, whole."""
    code = """
open(sys.argv[2] + sys.argv[3], "w").close()
while len(list(Path(sys.argv[2]).parent.glob("ready-*"))) < 2: time.sleep(0.001)
for index in range(6):
    publish(replace(unit_in(store), key=f"{KEY}-{index}"), float(sys.argv[3]))
"""
    children = [child(code, run_root, str(tmp_path / "ready-"), value) for value in ("-1.0", "-1.5")]
    errors = [process.communicate()[1] for process in children]
    assert [process.returncode for process in children] == [0, 0], errors
    store = open_store(run_root)
    for index in range(6):
        manifest = replace(unit_in(store), key=f"{KEY}-{index}").finished()
        assert manifest is not None
        assert manifest.rows(store, records.LOGPROBS) in (rows(-1.0), rows(-1.5))


KILLS = {
    "before the manifest of records": (
        "type(store).create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\npublish(unit_in(store))"
    ),
    "before the manifest of a folder": (
        "type(store).create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "unit_in(store).publish_folder(Path(sys.argv[2]), {}, time.time())"
    ),
    "between a folder's files": (
        "upload, left = type(store).upload, [2]\n"
        "def some(*arguments):\n"
        "    left[0] -= 1\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if left[0] < 0 else upload(*arguments)\n"
        "type(store).upload = some\n"
        "unit_in(store).publish_folder(Path(sys.argv[2]), {}, time.time())"
    ),
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_publisher_killed_before_its_manifest_has_done_nothing(moment: str, run_root: str, tmp_path: Path) -> None:
    made = folder_with(tmp_path / "made", {name: name.encode() for name in "abc"})
    process = child(KILLS[moment], run_root, str(made))
    errors = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, errors
    store = open_store(run_root)
    unit = unit_in(store)
    assert len(store.list()) == {"records": 1, "folder": 3, "files": 2}[moment.split()[-1]]
    assert (read_manifest(store, KEY), unit.finished()) == (None, None)
    manifest = publish(unit) if "records" in moment else unit.publish_folder(made, {}, time.time())
    assert unit.finished() == manifest
    manifest.fetch(store, tmp_path / "fetched")
    assert store.list() == sorted([*(file.key for file in manifest.files.values()), MANIFEST])
