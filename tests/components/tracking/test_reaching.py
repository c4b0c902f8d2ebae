"""MLflow is asked before anything is at stake: what it is, where it is not, and one line for either."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import mlflow
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.tracking.opening import check_tracking, open_run
from nashflow.components.tracking.reaching import reached
from tests.fixtures.tracking import RECIPE, free_port, opened


class Old(BaseHTTPRequestHandler):
    """What a server of MLflow 2 answers: its version, and nothing of logged models."""

    def do_GET(self) -> None:
        found = self.path == "/version"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b"2.22.1" if found else b"{}")

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def old(surroundings: pytest.MonkeyPatch) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Old) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_address[1]}"
        surroundings.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri
        server.shutdown()


def ask() -> None:
    with reached() as client:
        client.search_experiments()


@pytest.mark.parametrize("how", ["asked", "checked", "opened"])
def test_a_server_before_3_is_refused_in_a_line(old: str, local_store: Any, how: str) -> None:
    calls = {"asked": ask, "checked": check_tracking, "opened": lambda: open_run(local_store, "a run", RECIPE)}
    with pytest.raises(UserError) as refused:
        calls[how]()
    said = f"the server at {old} is 2.22.1, and MLflow before 3 has no logged models"
    assert str(refused.value) == f"upgrade it, or set MLFLOW_TRACKING_URI to another: {said}"


def test_a_library_before_3_is_refused_in_a_line(client: Any, surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setattr(mlflow, "__version__", "2.9.2")
    with pytest.raises(UserError, match=r"^pip install 'mlflow>=3\.5': this Python's MLflow is 2\.9\.2, "):
        ask()


def test_a_real_server_is_reached(server: Any, local_store: Any) -> None:
    opened(local_store)
    with reached() as client:
        assert "nashflow" in {found.name for found in client.search_experiments()}


def test_one_that_is_away_or_not_named_is_a_line(surroundings: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^set MLFLOW_TRACKING_URI to the server that the runs are in"):
        ask()
    surroundings.setenv("MLFLOW_TRACKING_URI", f"http://joe:hunter2@127.0.0.1:{free_port()}")
    with pytest.raises(UserError, match=r"^set MLFLOW_TRACKING_URI to a server that answers") as refused:
        ask()
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)
