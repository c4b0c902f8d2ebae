"""Where a step finds a policy: in the run root, where it points, or in this machine's cache."""

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from nashflow.components.core.digests import sha256_file
from nashflow.components.core.errors import UserError
from nashflow.components.models.identity import files_read
from nashflow.components.models.policies import LocalPolicy, open_policy
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Unit

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 999, "chat_template.jinja": b"{{ bos_token }}"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "policies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(data)
    return tmp_path / "model"


def unit(store: Store) -> Unit:
    return Unit(store, "policies/001/main", 1, {}, {})


def forget(store: Store) -> None:
    """Make the unit undone, so that it can be published with other content."""
    store.delete("policies/001/main.manifest.json")


def publish(store: Store, folder: Path, digest: str = "w" * 64) -> None:
    unit(store).publish_folder(folder, {}, time.time(), weights_digest=digest)


def content(policy: LocalPolicy) -> dict[str, bytes]:
    paths = (path for path in policy.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(policy.folder)): path.read_bytes() for path in paths}


def test_a_published_policy_is_a_folder_on_this_machine(run_store: Store, folder: Path) -> None:
    publish(run_store, folder)
    policy = open_policy(run_store, "001/main")
    assert policy.weights_digest == "w" * 64
    assert content(policy) == FILES


def test_a_policy_in_a_local_run_root_is_used_where_it_lies(folder: Path, tmp_path: Path, cache: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    publish(store, folder)
    assert tmp_path / "run" in open_policy(store, "001/main").folder.parents
    assert not cache.exists()


def test_a_remote_policy_is_fetched_once(s3_bucket: str, folder: Path, cache: Path) -> None:
    store = open_store(f"{s3_bucket}/run")
    publish(store, folder)
    first = open_policy(store, "001/main")
    assert first.folder.parent == cache
    for key in store.list():
        if not key.endswith(".manifest.json"):
            store.delete(key)
    assert open_policy(store, "001/main") == first
    assert content(first) == FILES
    assert [path.name for path in cache.iterdir()] == [first.folder.name]


def test_other_weights_are_fetched_into_a_folder_of_their_own(s3_bucket: str, folder: Path) -> None:
    store = open_store(f"{s3_bucket}/run")
    publish(store, folder)
    first = open_policy(store, "001/main")
    (folder / "model.safetensors").write_bytes(b"other")
    forget(store)
    publish(store, folder, "v" * 64)
    second = open_policy(store, "001/main")
    assert (second.weights_digest, content(second)["model.safetensors"]) == ("v" * 64, b"other")
    assert content(first) == FILES


def test_several_steps_can_fetch_one_policy_at_once(s3_bucket: str, folder: Path, cache: Path) -> None:
    store = open_store(f"{s3_bucket}/run")
    publish(store, folder)
    found: list[LocalPolicy] = []
    threads = [threading.Thread(target=lambda: found.append(open_policy(store, "001/main"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert content(found[0]) == FILES
    assert len(list(cache.iterdir())) == 1


def test_half_a_download_is_never_opened(s3_bucket: str, folder: Path, cache: Path) -> None:
    store = open_store(f"{s3_bucket}/run")
    publish(store, folder)
    (key,) = (key for key in store.list() if key.endswith("model.safetensors"))
    good = store.read(key)
    store.write(key, good[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors: its content does not match the digest"):
        open_policy(store, "001/main")
    assert list(cache.iterdir()) == []
    store.write(key, good)
    assert content(open_policy(store, "001/main")) == FILES


def test_a_cache_that_cannot_be_written_is_an_error(s3_bucket: str, folder: Path, cache: Path) -> None:
    store = open_store(f"{s3_bucket}/run")
    publish(store, folder)
    cache.parent.write_text("not a folder")
    with pytest.raises(OSError, match="cache"):
        open_policy(store, "001/main")


def test_a_changed_file_in_the_run_root_is_named(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    publish(store, folder)
    path = open_policy(store, "001/main").folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError) as caught:
        open_policy(store, "001/main")
    assert str(caught.value) == f"{path}: changed since it was recorded; restore it or delete the run"


# --- pointers --------------------------------------------------------------------------------------------------------


def point(store: Store, folder: Path) -> None:
    unit(store).publish_pointer(folder, files_read(folder), {}, time.time(), weights_digest="w" * 64)


def test_a_pointer_leads_to_the_folder_itself(run_store: Store, folder: Path) -> None:
    point(run_store, folder)
    policy = open_policy(run_store, "001/main")
    assert (policy.folder, policy.weights_digest) == (folder, "w" * 64)
    assert run_store.list() == ["policies/001/main.manifest.json"]
    manifest = unit(run_store).finished()
    assert manifest is not None
    assert {name: file.sha256 for name, file in manifest.files.items()} == {
        name: sha256_file(folder / name) for name in FILES
    }


@pytest.mark.parametrize("name", FILES)
def test_a_pointer_watches_every_file(name: str, folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    point(store, folder)
    (folder / name).write_bytes(b"changed")
    with pytest.raises(UserError) as caught:
        open_policy(store, "001/main")
    assert str(caught.value) == f"{folder / name}: changed since it was recorded; restore it or delete the run"


def test_a_file_that_vanished_is_named(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    point(store, folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError) as caught:
        open_policy(store, "001/main")
    assert str(caught.value) == (
        f"{folder / 'config.json'}: changed since it was recorded; restore it or delete the run"
    )


def test_opening_needs_no_right_to_write(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    point(store, folder)
    os.chmod(folder, stat.S_IRUSR | stat.S_IXUSR)
    assert content(open_policy(store, "001/main")) == FILES


def test_a_policy_that_is_not_there_yet_is_named(run_store: Store) -> None:
    with pytest.raises(UserError) as caught:
        open_policy(run_store, "003/half")
    location = run_store.location("policies/003/half")
    assert str(caught.value) == f"{location}: not there yet; run the step that makes it first"
