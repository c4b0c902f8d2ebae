"""The champion: registered once, crowned if nobody else was meanwhile, rolled back, and said in one line what is
wrong."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nashflow.components.core.errors import TryAgain, UserError
from nashflow.components.registry.champions import Registry
from nashflow.components.registry.gate import gate
from nashflow.components.registry.version import CROWNED
from nashflow.components.storage.store import Store, open_store
from tests.components.registry.conftest import crowned
from tests.components.reports.toy_runs import WON, evaluations, toy_run
from tests.fixtures.tracking import free_port, opened

if TYPE_CHECKING:
    from mlflow import MlflowClient

Reigns = Callable[[int], Registry]


class Died(BaseException):
    """As a killed process does."""


class Mortal:
    """A client whose process dies before its n-th change: what it reads in between changes nothing."""

    def __init__(self, client: "MlflowClient", dies_at: int) -> None:
        self._client, self._left = client, dies_at

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("create", "delete", "set", "update")):
            self._left -= 1
            if self._left == 0:
                raise Died
        return getattr(self._client, name)


def state(client: "MlflowClient", name: str = "m") -> tuple[Any, ...]:
    """Everything that the registry says of a model but for times."""
    versions = client.search_model_versions(f"name = '{name}'")
    said = {v.version: ({k: t for k, t in v.tags.items() if k != CROWNED}, v.source, v.description) for v in versions}
    return dict(client.get_registered_model(name).aliases), said


def aliases(client: "MlflowClient") -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model("m").aliases.items()}


def one_line(call: Callable[[], Any], kind: type[Exception] = UserError) -> str:
    with pytest.raises(kind) as refused:
        call()
    (line,) = str(refused.value).splitlines()
    return line


def test_a_model_that_nobody_has_registered_has_no_champion(registry: Registry) -> None:
    assert registry.champion() is None
    assert registry.versions() == []


def test_what_is_registered_is_the_challenger(registry: Registry, made: Store, client: "MlflowClient") -> None:
    version = registry.register(made, "002/main", "better")
    assert (version.number, version.uri, version.description) == (1, "models:/m/1", "better")
    assert (version.run_root, version.policy, version.weights) == (made.uri, "002/main", "2main")
    assert version.place == f"{made.uri}/policies/002/main/0123456789abcdef"
    assert aliases(client) == {"challenger": 1}
    assert registry.champion() is None
    assert registry.register(made, "002/main", "even better").description == "even better"
    other = registry.register(made, "001/main", "worse")
    assert (other.number, aliases(client)) == (2, {"challenger": 2})


def test_the_crowned_is_no_challenger_any_more(registry: Registry, made: Store, client: "MlflowClient") -> None:
    crowned(registry, made, "001/main")
    champion = registry.champion()
    assert champion
    assert (champion.number, champion.reign, champion.tags[CROWNED][:2]) == (1, 1, "20")
    assert aliases(client) == {"champion": 1}
    registry.register(made, "001/main", "again")
    assert aliases(client) == {"champion": 1}
    crowned(registry, made, "002/main")
    assert aliases(client) == {"champion": 2}


def test_nobody_is_crowned_who_was_compared_with_another_champion(registry: Registry, made: Store) -> None:
    crowned(registry, made, "000/main")
    first = registry.champion()
    with gate(made, "m") as held:
        mine = registry.register(made, "001/main", "")
        crowned_by_hand = registry.register(made, "002/main", "")
        registry._client.set_registered_model_alias("m", "champion", str(crowned_by_hand.number))
        line = one_line(lambda: registry.crown(mine, first, held))
        assert "version 3 is the champion, and it was version 1 a moment ago" in line
        line = one_line(lambda: registry.crown(mine, None, held))
        assert "it was none a moment ago" in line
        registry.crown(mine, registry.champion(), held)
    assert [version.reign for version in registry.versions()] == [1, 3, 2]
    assert registry.rollback()[1].number == 3


@pytest.mark.parametrize(
    "first", [pytest.param(True, id="no champion", marks=pytest.mark.runs), pytest.param(False, id="a champion")]
)
def test_killed_anywhere_the_rerun_ends_in_one_state(client: "MlflowClient", made: Store, first: bool) -> None:
    """A model of its own for each kill: before change 1, 2, …, until nothing is left to be killed."""

    def promote(name: str, dies_at: int) -> None:
        registry = Registry(name, Mortal(client, dies_at))  # type: ignore[arg-type]
        with gate(made, name) as held:
            before = registry.champion()
            expected = before if before and before.policy == "000/main" else None
            registry.crown(registry.register(made, "001/main", "won"), expected, held)

    def begun(name: str) -> str:
        if not first:
            crowned(Registry(name, client), made, "000/main")
        return name

    promote(begun("undisturbed"), 0)
    expected, at = state(client, "undisturbed"), 0
    promote("undisturbed", 0)
    assert state(client, "undisturbed") == expected
    assert expected[0] == {"champion": 1 if first else 2}
    while True:
        at += 1
        name = begun(f"killed-{at}")
        try:
            promote(name, at)
        except Died:
            promote(name, 0)
            assert state(client, name) == expected, at
        else:
            break
    assert at > 6


def test_a_killed_rollback_goes_on(client: "MlflowClient", made: Store) -> None:
    def begun(name: str) -> str:
        for policy in ("000/main", "001/main"):
            crowned(Registry(name, client), made, policy)
        return name

    Registry(begun("undisturbed"), client).rollback(reason="it swears")
    expected, at = state(client, "undisturbed"), 0
    while True:
        at += 1
        name = begun(f"killed-{at}")
        try:
            Registry(name, Mortal(client, at)).rollback(1, "it swears")  # type: ignore[arg-type]
        except Died:
            Registry(name, client).rollback(1, "it swears")
            assert state(client, name) == expected, at
        else:
            break
    assert at > 3


def test_a_rollback_goes_to_the_champion_before_and_again(reigns: Reigns, client: "MlflowClient") -> None:
    registry = reigns(3)
    before, now = registry.rollback(reason="it swears")
    assert before
    assert (before.number, now.number, aliases(client)) == (3, 2, {"champion": 2})
    bad = registry.version(3)
    assert bad
    assert bad.rolled_back == "Rolled back to version 2: it swears"
    assert bad.description.startswith("Rolled back to version 2: it swears.\n\n001/main of ")
    assert registry.rollback()[1].number == 1
    assert "no version was champion before; name one by --to" in one_line(registry.rollback)
    assert registry.rollback(3)[1].rolled_back == ""
    assert registry.rollback()[1].number == 1


def test_a_rollback_over_several_leaves_them_out(reigns: Reigns, made: Store) -> None:
    registry = reigns(3)
    registry.rollback(1)
    crowned(registry, made, "002/main")
    assert [registry.rollback()[1].number, "no version" in one_line(registry.rollback)] == [1, True]


def test_one_that_was_never_champion_may_become_it(reigns: Reigns, made: Store) -> None:
    registry = reigns(1)
    registry.register(made, "002/main", "")
    assert registry.rollback(2)[1].number == 2
    assert registry.rollback()[1].number == 1
    assert "no version 7; there are 1, 2" in one_line(lambda: registry.rollback(7))
    assert "version 1 is the champion already" in one_line(lambda: registry.rollback(1))


def test_a_deleted_champion_is_said_and_rolled_back(reigns: Reigns, client: "MlflowClient") -> None:
    registry = reigns(2)
    client.delete_model_version("m", "2")
    line = one_line(registry.champion)
    assert "registered model m: it has lost its champion; nashflow rollback m makes version 1" in line
    before, now = registry.rollback()
    assert (before, now.number) == (None, 1)
    champion = registry.champion()
    assert champion
    assert champion.number == 1


def test_an_only_champion_that_is_deleted_leaves_none(reigns: Reigns, client: "MlflowClient") -> None:
    registry = reigns(1)
    client.delete_model_version("m", "1")
    assert registry.champion() is None


def test_an_alias_on_a_deleted_version_is_said(reigns: Reigns, client: "MlflowClient", tmp_path: Path) -> None:
    """MLflow drops the aliases of a version that it deletes; a database that was mended by hand may keep them."""
    registry = reigns(2)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE version = 2")
    line = one_line(registry.champion)
    assert "its champion, version 2, has been deleted; nashflow rollback m makes version 1" in line
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE version = 1")
    assert "or delete the alias to begin anew" in one_line(registry.champion)
    assert "no version was champion before" in one_line(registry.rollback)


def test_a_version_is_opened_by_its_digests(registry: Registry, made: Store) -> None:
    version = registry.register(made, "001/main", "")
    assert version.files().folder == Path(version.place)
    Path(version.place, "config.json").write_text("{ }")
    assert "models:/m/1: " in (line := one_line(version.files))
    assert "config.json: changed since it was recorded" in line


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda store: store.delete("policies/001/main/0123456789abcdef/config.json"), "its files are gone"),
        (lambda store: store.delete("policies/001/main.manifest.json"), "there is no policy 001/main"),
        (
            lambda store: store.write("policies/001/main.manifest.json", store.read("policies/002/main.manifest.json")),
            "was registered with weights of digest 1main, and policy 001/main of",
        ),
    ],
    ids=["file", "manifest", "another"],
)
def test_files_that_are_gone_or_others_are_said(
    registry: Registry, made: Store, do: Callable[[Store], None], said: str
) -> None:
    for policy in ("001/main", "002/main"):
        crowned(registry, made, policy)
    do(made)
    assert said in one_line(registry.versions()[0].files)
    assert said in one_line(registry.rollback)


def test_versions_are_named_as_in_mlflow(reigns: Reigns, made: Store) -> None:
    reigns(2).register(made, "002/main", "")
    names = ("models:/m@champion", "models:/m/1", "models:/m@challenger")
    assert [Registry.named(name).number for name in names] == [2, 1, 3]
    for wrong, said in {
        "models:/m/9": "there is none; versions there are: 1, 2, 3",
        "models:/m@other": "there is none",
        "models:/n@champion": "there is none; versions there are: none; known here: m",
        "models:/m": "write models:/NAME@champion",
        "models:/'/1": "is no name of a registered model",
    }.items():
        assert said in one_line(lambda wrong=wrong: Registry.named(wrong))  # type: ignore[misc]


def test_a_version_registered_by_hand_from_a_logged_model_is_read(
    registry: Registry, made: Store, client: "MlflowClient"
) -> None:
    tags = {"nashflow.uri": f"{made.uri}/policies/001/main/0123456789abcdef", "nashflow.weights": "1main"}
    model = client.create_logged_model("0", "main-001", tags=tags | {"mlflow.model.isExternal": "true"})
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("m")
    client.create_model_version("m", f"models:/{model.model_id}", model_id=model.model_id)
    client.set_registered_model_alias("m", "champion", "1")
    champion = registry.champion()
    assert champion
    assert (champion.run_root, champion.policy, champion.weights) == (made.uri, "001/main", "1main")
    assert champion.files().weights_digest == "1main"
    client.create_model_version("m", "s3://elsewhere/model")
    foreign = registry.version(2)
    assert foreign
    assert "is at s3://elsewhere/model, which is no policy of a run" in one_line(foreign.files)


def test_without_a_registry_one_line(registry: Registry, surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surroundings.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/gone.db")
    assert f"there is no {tmp_path}/gone.db" in one_line(lambda: Registry.open("m"))
    surroundings.setenv("MLFLOW_TRACKING_URI", f"http://joe:hunter2@127.0.0.1:{free_port()}")
    line = one_line(lambda: Registry.open("m").champion(), TryAgain)
    assert "MLflow does not answer" in line
    assert "hunter2" not in line
    surroundings.delenv("MLFLOW_TRACKING_URI")
    assert "set MLFLOW_TRACKING_URI" in one_line(lambda: Registry.open("m"))


def test_on_a_server_a_local_policy_is_registered_by_its_logged_model(server: Any, made: Store) -> None:
    from dataclasses import replace

    from mlflow import MlflowClient

    from nashflow.components.storage.run import require_run

    registry = Registry.open("m")
    assert "does not know this run" in one_line(lambda: registry.register(made, "001/main", ""))
    tracking = opened(made)
    replace(require_run(made), tracking=tracking.to_json()).write(made)
    crowned(registry, made, "001/main")
    champion = registry.champion()
    assert champion
    assert (champion.run_root, champion.files().weights_digest) == (made.uri, "1main")
    (version,) = MlflowClient(server.uri).search_model_versions("name = 'm'")
    assert version.source.startswith("models:/m-")
    assert registry.register(made, "001/main", "").number == 1
    assert registry.versions() == [registry.champion()]


def test_a_policy_in_s3_is_registered_where_it_lies(registry: Registry, s3_bucket: str) -> None:
    store = toy_run(f"{s3_bucket}/runs/a", evaluations(2, WON))
    crowned(registry, store, "001/main")
    champion = registry.champion()
    assert champion
    assert champion.place == f"{s3_bucket}/runs/a/policies/001/main/0123456789abcdef"
    assert (champion.files().folder / "config.json").read_bytes() == b"{}"
    assert open_store(champion.run_root).uri == store.uri


@contextlib.contextmanager
def stand_in(version: str, code: int, body: str) -> Iterator[str]:
    """A server of a version that answers every request alike, as MLflow's own app for basic authentication does."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            told = (200, version) if self.path == "/version" else (code, body)
            self.send_response(told[0])
            self.end_headers()
            self.wfile.write(told[1].encode())

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_allows_nothing_or_is_old_is_one_line(
    surroundings: pytest.MonkeyPatch, made: Store, tmp_path: Path
) -> None:
    for code, body in ((403, "Permission denied"), (401, "You are not authenticated.")):
        with stand_in("3.17.2", code, body) as uri:
            surroundings.setenv("MLFLOW_TRACKING_URI", uri)
            registry = Registry.open("m")
            for ask in (registry.champion, registry.rollback, lambda registry=registry: registry.number("champion")):
                line = one_line(ask)
                assert f"registered model m at {uri}: not allowed: give this user MLflow's permission EDIT" in line
    with stand_in("2.22.0", 404, "") as uri:
        surroundings.setenv("MLFLOW_TRACKING_URI", uri)
        assert f"the server at {uri} is 2.22.0" in one_line(lambda: Registry.open("m"))
    with stand_in("3.17.2", 404, "there is no such page") as uri:
        surroundings.setenv("MLFLOW_TRACKING_URI", uri)
        assert "MLflow does not answer" in one_line(Registry.open("m").champion, TryAgain), "and not: no champion yet"
