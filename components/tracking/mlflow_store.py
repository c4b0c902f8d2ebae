"""MLflow's stores: how one is found, made and reached, and what goes wrong there."""

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ..core.atomic_file import HIDDEN
from ..core.redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

Texts = Mapping[str, str]

# Only where the user says nothing else: give up in seconds instead of minutes, print nothing, report to nobody.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_HURRIED = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "4"}
_PER_BATCH = 100
_SQLITE = "sqlite:///"
_LONGEST_MESSAGE = 300


def environment() -> tuple[str, str]:
    """Where MLflow is, an SQLite store whatever the current folder, and the run that KFP made for this task."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if database := sqlite_file(uri):
        _, mark, options = uri.partition("?")
        uri = sqlite_uri(Path(database).absolute()) + mark + options
    return uri, os.environ.get("MLFLOW_RUN_ID", "")


def connect(uri: str, *, create: bool = False) -> "MlflowClient":
    """A client of a tracking store; an SQLite file is made only with `create`.

    Raises:
        sqlite3.Error: an SQLite file cannot be opened, which MLflow would try again for 100 seconds.
    """
    from mlflow import MlflowClient

    if file := sqlite_file(uri):
        if create and not os.path.exists(file):
            _create(Path(file))
        with contextlib.closing(sqlite3.connect(f"{Path(file).as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    return MlflowClient(uri)


def _create(database: Path) -> None:
    """Make a new SQLite store whole or not at all: MLflow cannot mend one that was made in part, or twice at once.

    Hundreds of small transactions make it; without a wait for the disk after each they take a second, not ten.
    """
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    def hasten(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=database.parent) as folder:
        draft, whole = Path(folder, "draft.db"), Path(folder, "whole.db")
        event.listen(Engine, "connect", hasten)
        try:
            MlflowClient(sqlite_uri(draft)).search_experiments(max_results=1)
        finally:
            event.remove(Engine, "connect", hasten)
        shutil.copyfile(draft, whole)
        with contextlib.suppress(FileExistsError):
            os.link(whole, database)


def sqlite_file(uri: str) -> str:
    """The file of an SQLite store; empty for another store."""
    return unquote(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else ""


def sqlite_uri(file: Path) -> str:
    """The URI of an SQLite store.

    Where a path has to be quoted, its slashes are quoted as well: MLflow makes the folder that a URI names before it
    is decoded, and would leave that beside the store's.
    """
    path = str(file)
    return _SQLITE + (quote(path, safe="") if set("%?") & set(path) else path)


def send_texts(client: "MlflowClient", run_id: str, parameters: Texts, tags: Texts) -> None:
    """Log parameters and tags on a run, in batches of the size that MLflow takes."""
    from mlflow.entities import Param, RunTag

    params, named = [Param(*item) for item in parameters.items()], [RunTag(*item) for item in tags.items()]
    for start in range(0, max(len(params), len(named)), _PER_BATCH):
        part = slice(start, start + _PER_BATCH)
        client.log_batch(run_id, params=params[part], tags=named[part])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's log lines and tracebacks off the terminal: whatever matters in them is raised as well."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401  it sets its loggers' levels when imported

    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic", "urllib3")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Within this block, inside of `quiet`, MLflow is asked once and for four seconds, unless the user says else.

    For what can be told later as well, so that the work hardly waits for a server that is away.
    """
    ours = {name: value for name, value in _HURRIED.items() if os.environ[name] == _ENVIRONMENT[name]}
    os.environ.update(ours)
    try:
        yield
    finally:
        os.environ.update({name: _ENVIRONMENT[name] for name in ours})


def failures() -> tuple[type[Exception], ...]:
    """Exceptions of MLflow's client, its database and its artifact stores."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, sqlite3.Error, OSError, Boto3Error, BotoCoreError, ClientError


def failure_line(error: BaseException) -> str:
    """The message of an exception, or of the lost connection or similar cause behind it.

    One line, cut to 300 characters, without secrets.
    """
    from urllib3.exceptions import HTTPError

    causes: tuple[type[BaseException], ...] = (HTTPError, *failures())
    while (cause := error.__cause__ or error.__context__) and isinstance(cause, causes):
        error = cause
    return textwrap.shorten(redact(str(error)), _LONGEST_MESSAGE, placeholder=" …")
