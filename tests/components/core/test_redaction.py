import subprocess
import sys
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.redaction import redact


@pytest.mark.parametrize(
    "key", ["max_tokens", "tokenizer", "rollout.max_new_tokens", "monkey", "authors", "tokens_per_s"]
)
def test_ordinary_keys_are_kept(key):
    assert redact("64", key) == "64"


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "hf_token",
        "HF_TOKEN",
        "apiToken",
        "db.password",
        "passwd",
        "client-secret",
        "AWS_SECRET_ACCESS_KEY",
        "api_key",
        "openai.apiKey",
        "aws_access_key_id",
        "credentials",
        "Authorization",
        "private_key",
    ],
)
def test_secret_keys_are_recognised(key):
    assert redact("64", key) == "[redacted]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql+pymysql://u:p@ss@db:3306/mlflow", "mysql+pymysql://db:3306/mlflow"),
        ("https://host/a?to=b@c", "https://host/a?to=b@c"),
        ("https://host/a?x=1&token=abc&y=2#z", "https://host/a?x=1&token=[redacted]&y=2#z"),
        ('{"token": "a\\"b", "n": 1}', '{"token": "[redacted]", "n": 1}'),
        ("[{'api_key': 'a\"b', 'n': 1}]", "[{'api_key': '[redacted]', 'n': 1}]"),
        ("me@example.org s3://bucket/me@home", "me@example.org s3://bucket/me@home"),
        ("from https://a:b@c/d to https://e:f@g/h", "from https://c/d to https://g/h"),
    ],
)
def test_secrets_inside_a_value_are_cut_out(text, shown):
    assert redact(text) == shown


@given(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\"'<>"), min_size=1))
def test_no_password_survives_in_a_uri(password):
    assert redact(f"http://joe:{password}@host:5000/api") == "http://host:5000/api"


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "https_proxy", "MY_DATABASE"])
@pytest.mark.parametrize("password", ["s3 cr/e#t?9 %41@x", "p%2Fss%20w0rd", "'quoted\"1", "short"])
def test_a_password_of_the_environment_is_known_wherever_it_stands(monkeypatch, variable, password):
    monkeypatch.setenv(variable, f"postgresql://joe:{password}@host:5432/db")
    assert redact(f"no answer from postgresql://joe:{password}@host:5432/db?x=1") == (
        "no answer from postgresql://host:5432/db?x=1"
    )
    if len(password) > 7:
        for spelt in (password, quote(password, safe=""), unquote(password)):
            assert redact(f"FATAL: password {spelt!s} is wrong") == "FATAL: password [redacted] is wrong"


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "OPENAI_API_KEY", "DB_PASSWORD"])
def test_a_secret_of_the_environment_is_known_wherever_it_stands(monkeypatch, variable):
    monkeypatch.setenv(variable, "canary-4711/x+y")
    assert redact("refused canary-4711/x+y, canary-4711%2Fx%2By") == "refused [redacted], [redacted]"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "run-4711-of-may"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/4711/token"),
        ("DB_PASSWORD", "nashflow"),
        ("MAX_TOKENS", "4711471147"),
    ],
)
def test_what_is_no_secret_or_may_stand_by_chance_is_kept(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert redact(f"s3://runs/{value}/policies") == f"s3://runs/{value}/policies"


def test_tracebacks_are_without_secrets():
    code = """
from nashflow.components.core.redaction import redact_tracebacks
redact_tracebacks()
raise ConnectionError("postgresql://joe:canary@host does not answer")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert done.stderr.splitlines()[-1] == "ConnectionError: postgresql://host does not answer"
    assert "canary" not in done.stderr.splitlines()[-1]


@given(st.text())
def test_redacting_twice_changes_nothing_more(text):
    assert redact(redact(text)) == redact(text)
