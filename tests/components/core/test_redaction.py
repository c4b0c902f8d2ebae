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


@given(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/?#"), min_size=1))
def test_no_password_survives_in_a_uri(password):
    assert redact(f"http://joe:{password}@host:5000/api") == "http://host:5000/api"


@given(st.text())
def test_redacting_twice_changes_nothing_more(text):
    assert redact(redact(text)) == redact(text)
