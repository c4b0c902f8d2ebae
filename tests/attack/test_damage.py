"""What lies in a store and was damaged there is made again, or refused by name; names in files are no paths."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.logprobs.cache import LogprobCache
from nashflow.components.models.policies import open_policy
from nashflow.components.storage.journal import Journal
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Unit, read_manifest

NAMES = ("../../planted", "/planted", "a/../../planted", "a\0b", "", ".nashflow-planted")
Damage = Callable[[bytes], bytes]
FLIPPED, CUT, EMPTIED = (lambda data: bytes([data[0] ^ 1]) + data[1:]), (lambda data: data[:-1]), (lambda data: b"")


@pytest.fixture(params=["local", "s3"])
def run_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    root = tmp_path if request.param == "local" else request.getfixturevalue("s3_bucket")
    return open_store(f"{root}/run")


def published(store: Store, tmp_path: Path) -> Unit:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)))
    unit = Unit(store, "policies/001/main", 1, {}, {})
    unit.publish_folder(folder, {}, time.time(), weights_digest="w" * 64)
    return unit


@pytest.mark.parametrize("field", ["name", "key"])
@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(name: str, field: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    unit = published(store, tmp_path)
    manifest = json.loads(store.read(f"{unit.key}.manifest.json"))
    file = manifest["files"]["config.json"]
    manifest["files"] |= {name: file} if field == "name" else {"config.json": file | {"key": name}}
    store.write(f"{unit.key}.manifest.json", json.dumps(manifest).encode())
    before = sorted(tmp_path.rglob("*"))
    for read in (unit.finished, lambda: read_manifest(store, unit.key), lambda: open_policy(store, "001/main")):
        with pytest.raises(UserError, match=r"policies/001/main.manifest.json names a file .* delete it, and run"):
            read()
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


def test_links_are_never_published(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.json").symlink_to(tmp_path / "secret")
    store = open_store(str(tmp_path / "run"))
    with pytest.raises(UserError, match=r"model/notes.json: is a link"):
        Unit(store, "policies/001/main", 1, {}, {}).publish_folder(tmp_path / "model", {}, time.time())
    assert store.list() == []


def test_files_of_a_hugging_face_cache_are_published_as_files(tmp_path: Path) -> None:
    """A snapshot there is a folder of links to the cache's own files."""
    snapshot, blob = tmp_path / "models--a--b/snapshots/4f2", tmp_path / "models--a--b/blobs/9c1"
    for folder in (snapshot, blob.parent):
        folder.mkdir(parents=True)
    blob.write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/9c1")
    store = open_store(str(tmp_path / "run"))
    made = Unit(store, "policies/000/main", 1, {}, {}).publish_folder(snapshot, {}, time.time())
    copy = Path(store.location(made.files["config.json"].key))
    assert (copy.is_symlink(), copy.read_text()) == (False, "{}")
    (snapshot / "secret.json").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match=r"secret.json: is a link"):
        Unit(store, "policies/000/main", 1, {}, {}).publish_folder(snapshot, {}, time.time())


@pytest.mark.parametrize("damage", [CUT, EMPTIED], ids=["cut", "emptied"])
def test_a_unit_whose_file_has_another_size_is_not_finished(damage: Damage, run_store: Store, tmp_path: Path) -> None:
    unit = published(run_store, tmp_path)
    made = unit.finished()
    assert made is not None
    key = made.files["model.safetensors"].key
    run_store.write(key, damage(run_store.read(key)))
    assert unit.finished() is None
    unit.publish_folder(tmp_path / "model", {}, time.time(), weights_digest="w" * 64)
    again = unit.finished()
    assert again is not None
    assert again.digest == made.digest


@pytest.mark.parametrize("damage", [FLIPPED, CUT, EMPTIED], ids=["flipped", "cut", "emptied"])
def test_a_damaged_file_of_the_cache_is_made_again(damage: Damage, run_store: Store) -> None:
    cache = LogprobCache(run_store, "p", "transformers", "float32")
    cache.add("group", "0", {"a": -1.0})
    cache.add("group", "1", {"b": -2.0})
    kept = run_store.at("../cache/logprobs/p/transformers-float32-sum")
    key = next(key for key in kept.list() if key.startswith("group-0."))
    kept.write(key, damage(kept.read(key)))
    assert cache.load("other", "0") == {"b": -2.0}
    cache.add("group", "0", {"a": -1.0})
    assert cache.load("other", "0") == {"a": -1.0, "b": -2.0}


@pytest.mark.parametrize("damage", [CUT, EMPTIED], ids=["cut", "emptied"])
def test_a_damaged_journal_goes_on_before_the_damage(
    damage: Damage, run_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", "0")
    unit = Unit(run_store, "iterations/001/main/rollouts/00000", 1, {}, {})
    with Journal(unit) as journal:
        for entry in ("a", "b", "c"):
            journal.append(entry)
    second = run_store.list()[1]
    run_store.write(second, damage(run_store.read(second)))
    with Journal(unit) as journal:
        assert list(journal) == ["a"]
        journal.append("b")
        journal.append("c")
    assert list(Journal(unit)) == ["a", "b", "c"]


@pytest.mark.parametrize("damage", [None, FLIPPED, CUT], ids=["missing", "flipped", "cut"])
def test_a_damaged_local_copy_of_a_policy_in_s3_is_fetched_again(
    damage: Damage | None, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    store = open_store(f"{s3_bucket}/run")
    published(store, tmp_path)
    path = open_policy(store, "001/main").folder / "model.safetensors"
    right = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(right))
    assert (open_policy(store, "001/main").folder / "model.safetensors").read_bytes() == right
