"""MLflow as the environment names it, for whoever asks it before anything is at stake: it answers, or one line says."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.redaction import redact
from .mlflow_store import connect, environment, failure_line, failures, hurried, quiet, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

_OLDEST = 3
_FOREVER = "set MLFLOW_TRACKING_URI to the server that the runs are in, or to sqlite:///FILE"


class Away(UserError):
    """MLflow does not answer, or refuses; the way out goes first: what MLflow says is long."""

    def __init__(self, said: str) -> None:
        """`said`: where it is, and what it says."""
        super().__init__(
            f"set MLFLOW_TRACKING_URI to a server that answers or to sqlite:///FILE, or unset it to do without: {said}"
        )
        self.said = said


@contextlib.contextmanager
def reached() -> Iterator["MlflowClient"]:
    """A client of the MLflow that `MLFLOW_TRACKING_URI` names; what it does not answer is a user's mistake.

    Raises:
        UserError: the variable is not set; MLflow does not answer, or refuses; it is older than 3.
    """
    uri, _ = environment()
    if not uri:
        raise UserError(f"{_FOREVER}: MLflow's address is not known")
    with refused_in_a_line(uri), quiet():
        with hurried():
            client = connect(uri)
            check_version(client)
        yield client


@contextlib.contextmanager
def refused_in_a_line(uri: str) -> Iterator[None]:
    """Within this block an exception of MLflow's is a UserError."""
    try:
        yield
    except failures() as error:
        raise Away(f"MLflow at {redact(uri)}: {failure_line(error)}") from None


def check_version(client: "MlflowClient") -> None:
    """Refuse a library or a server without logged models.

    Raises:
        UserError: it is older than 3.
        failures(): the server does not answer.
    """
    import mlflow

    _require(mlflow.__version__, "this Python's MLflow", "pip install 'mlflow>=3.5'")
    uri = client.tracking_uri
    if not sqlite_file(uri) and uri.startswith(("http://", "https://")):
        _require(_served(client), f"the server at {redact(uri)}", "upgrade it, or set MLFLOW_TRACKING_URI to another")


def _served(client: "MlflowClient") -> str:
    """A server's version; empty where it does not say, as hosted ones do not."""
    from mlflow.utils import rest_utils

    ask: Any = rest_utils.http_request
    answer = ask(client._tracking_client.store.get_host_creds(), "/version", "GET")
    return answer.text.strip() if answer.status_code == 200 else ""


def _require(version: str, what: str, way_out: str) -> None:
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        raise UserError(f"{way_out}: {what} is {version}, and MLflow before 3 has no logged models")
