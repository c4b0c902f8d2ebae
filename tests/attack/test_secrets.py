"""Secrets of the environment as canaries: whole runs, some of which meet dead servers, tell none of them."""

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from nashflow.components.storage.store import open_store
from tests.fixtures import cli
from tests.fixtures.s3 import S3Server
from tests.fixtures.tracking import free_port

pytestmark = pytest.mark.runs
PASSWORD = "canary-1/a#b?c%41@d"
CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-2/aws+secret",
    "HF_TOKEN": "canary-3-hub",
    "OPENAI_API_KEY": "canary-4-judge",
    "MLFLOW_TRACKING_PASSWORD": "canary-5-mlflow",
}


def told(data: bytes) -> list[str]:
    """The canaries in a text or file, as they are or as URIs and headers spell them."""
    spelt = {
        canary: (canary.encode(), quote(canary, safe="").encode(), base64.b64encode(canary.encode()))
        for canary in (*CANARIES.values(), PASSWORD)
    }
    return [canary for canary, spellings in spelt.items() if any(each in data for each in spellings)]


def test_a_run_tells_no_secret(s3_server: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    environment = {
        **CANARIES,
        "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
        "https_proxy": f"http://joe:{PASSWORD}@127.0.0.1:{free_port()}",
        "TMPDIR": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = cli.call(
        "run", "quickstart", "--run-root", f"{s3_bucket}/run", sets=(*cli.SMALL, "run.iterations=1"), **environment
    )
    store = open_store(s3_bucket)
    said = {"the terminal": done.stdout.encode() + done.stderr.encode()}
    said |= {key: store.read(key) for key in store.list()}
    said |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert f"{database}" in said
    assert {name: told(data) for name, data in said.items() if told(data)} == {}


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("password", [PASSWORD, quote(PASSWORD, safe="")])
def test_a_server_that_is_away_costs_no_secret(variable: str, password: str, s3_bucket: str) -> None:
    """The one line of the command, or whatever a library says in the place of it."""
    address = f"http://joe:{password}@127.0.0.1:{free_port()}"
    given = {**CANARIES, "MLFLOW_TRACKING_URI": "", variable: address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = cli.call("run", "quickstart", "--run-root", f"{s3_bucket}/run", check=False, **given)
    assert done.returncode
    assert told(done.stdout.encode() + done.stderr.encode()) == []
