"""The store in S3: parts, digests, creation, listings, lost answers, and what each failure says."""

import os
import posixpath
import re
import socket
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.storage import store_s3
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.store_s3 import S3Store
from tests.fixtures.s3 import Reply, S3Server

MIB = 1 << 20


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


@pytest.fixture(params=["s3_bucket", "seaweedfs_prefix"])
def place(request: pytest.FixtureRequest) -> str:
    """URI of an empty place, on moto's server and on a real one."""
    return str(request.getfixturevalue(request.param))


def test_a_large_file_travels_in_parts(place: str, tmp_path: Path) -> None:
    store = S3Store.open(place, part_bytes=5 * MIB)
    data = os.urandom(12 * MIB)
    (tmp_path / "source").write_bytes(data)
    store.upload(tmp_path / "source", "model")
    assert etag_and_metadata(place, "model")[0].endswith('-3"')
    store.download("model", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert store.read("model") == data
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


@pytest.mark.parametrize("size", [1000, 11 * MIB], ids=["whole", "in parts"])
def test_a_changed_object_is_noticed(place: str, tmp_path: Path, size: int) -> None:
    store = S3Store.open(place, part_bytes=5 * MIB)
    (tmp_path / "source").write_bytes(bytes(size))
    store.upload(tmp_path / "source", "model")
    forge(place, "model", bytes(size - 1) + b"\x01")
    for call in (
        lambda: store.read("model"),
        lambda: store.download("model", tmp_path / "target"),
    ):
        with pytest.raises(OSError, match=f"{place}/model is corrupt"):
            call()
    assert os.listdir(tmp_path) == ["source"]


def test_bytes_changed_on_the_way_are_noticed(s3_server: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    store = open_store(s3_bucket)
    store.write("a", b"right")
    s3_server.spoil = lambda method, reply: (*reply[:2], reply[2].replace(b"right", b"wrong"))
    for call in (lambda: store.read("a"), lambda: store.download("a", tmp_path / "out" / "target")):
        with pytest.raises(OSError, match=f"{s3_bucket}/a is corrupt"):
            call()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


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


def test_a_listing_has_many_pages(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # the server's, which asks the environment each time
    store = open_store(s3_bucket)
    for number in range(21):
        store.write(f"{number:04}", b"")
    assert store.list() == [f"{number:04}" for number in range(21)]


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


CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>at the same time</Message></Error>"
LOST = {"503": UNAVAILABLE, "409": ("409 Conflict", [("Content-Length", str(len(CONFLICT)))], CONFLICT)}


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
def test_a_put_is_sent_again_until_it_is_known_who_created(answer: Reply, s3_server: S3Server, s3_bucket: str) -> None:
    """The key was created though the answer says otherwise."""
    store = open_store(s3_bucket)
    s3_server.spoil = Once("PUT", answer)
    assert store.create("lock", b"first")
    assert s3_server.spoil.done
    s3_server.spoil = Once("PUT", answer)
    assert not store.create("lock", b"second")
    assert s3_server.spoil.done
    assert store.read("lock") == b"first"


def test_a_conflict_that_does_not_end_is_an_error(s3_server: S3Server, s3_bucket: str) -> None:
    """Nobody knows whether there is such a key."""
    s3_server.spoil = lambda method, reply: LOST["409"]
    with pytest.raises(Exception, match="ConditionalRequestConflict"):
        open_store(s3_bucket).create("lock", b"first")


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


# --- stores that are like S3 and refuse its checksums ----------------------------------------------------------------


def test_a_store_that_refuses_checksums_is_refused_with_the_variables_to_set(
    s3_server: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    s3_server.knows_checksums = False
    store = S3Store.open(s3_bucket, part_bytes=5 * MIB)
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(6 * MIB))
    for call in (
        lambda: store.write("a", b"x"),
        lambda: store.create("a", b"x"),
        lambda: store.upload(tmp_path / "small", "a"),
        lambda: store.upload(tmp_path / "large", "a"),
    ):
        with pytest.raises(UserError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required") as caught:
            call()
        assert f"{s3_bucket}/a: the store refuses the request (NotImplemented): set " in one_line(caught)
    assert store.list() == []


def test_with_these_variables_it_does_everything(
    s3_server: S3Server, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.knows_checksums = False
    for setting in re.findall(r"AWS_\w+=\w+", store_s3.WITHOUT_CHECKSUMS):
        monkeypatch.setenv(*setting.split("="))
    store = S3Store.open(s3_bucket, part_bytes=5 * MIB)
    data = os.urandom(11 * MIB)
    (tmp_path / "source").write_bytes(data)
    store.upload(tmp_path / "source", "large")
    store.download("large", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert [store.create("lock", b"mine"), store.create("lock", b"other's"), store.read("lock")] == [
        True,
        False,
        b"mine",
    ]
    forge(s3_bucket, "lock", b"fake")
    with pytest.raises(OSError, match="is corrupt"):
        store.read("lock")


# --- what the user can mend ------------------------------------------------------------------------------------------


def one_line(caught: pytest.ExceptionInfo[UserError] | pytest.ExceptionInfo[ConnectionError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
        lambda: store.create("a", b""),
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
        errors = every_call(S3Store.open(s3_bucket + "/run", attempts=1), tmp_path / "file", ConnectionError)
    for error in errors:
        assert f"no answer from {endpoint}: check AWS_ENDPOINT_URL_S3" in str(error)
