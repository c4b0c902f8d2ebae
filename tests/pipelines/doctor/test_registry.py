"""Asking registries: names, addresses, tokens, and where credentials do not go."""

from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.pipelines.doctor import registry as module
from nashflow.pipelines.doctor.registry import Image, Login, look_up, registry_of
from tests.pipelines.doctor.registry_server import RegistryServer, serving

DIGEST = f"sha256:{'0' * 64}"
JOE = Login("joe", "hunter2")


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("nashflow-steps", ("", "nashflow-steps", "latest")),
        ("acme/nashflow-steps:0.1.0", ("", "acme/nashflow-steps", "0.1.0")),
        ("hub.example/acme/a:1", ("hub.example", "acme/a", "1")),
        ("index.hub.example/acme/a:1", ("hub.example", "acme/a", "1")),
        ("hub.example:5000/a", ("hub.example:5000", "a", "latest")),
        ("localhost/a:1", ("localhost", "a", "1")),
        (f"hub.example/a:1@{DIGEST}", ("hub.example", "a", DIGEST)),
    ],
)
def test_names_are_read_as_container_runtimes_do(name: str, image: tuple[str, str, str]) -> None:
    assert Image.parse(name) == image


@pytest.mark.parametrize(
    "server", ["hub.example", "https://index.hub.example/v1/", "registry-1.hub.example", "https://hub.example/team"]
)
def test_a_registry_has_one_name(server: str) -> None:
    assert registry_of(server) == "hub.example"


PART = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(
    host=st.from_regex(r"hub[a-z]{0,5}\.example(:[0-9]{2,4})?", fullmatch=True),
    path=st.lists(PART, min_size=1),
    tag=PART,
)
def test_a_name_is_put_together_again(host: str, path: list[str], tag: str) -> None:
    for reference in (f":{tag}", f"@{DIGEST}"):
        image = Image.parse(f"{host}/{'/'.join(path)}{reference}")
        assert (
            f"{image.registry}/{image.repository}{reference[0]}{image.reference}"
            == f"{host}/{'/'.join(path)}{reference}"
        )


def image(server: RegistryServer, name: str = "nashflow-steps:0.1.0") -> Image:
    return Image.parse(f"{server.name}/{name}")


@pytest.mark.parametrize("challenge", ["Bearer", "Basic", ""])
def test_there_or_not(registry: RegistryServer, challenge: str) -> None:
    registry.challenge = challenge
    assert look_up(image(registry)) == "there"
    assert look_up(image(registry, "nashflow-steps:9")) == "absent"
    assert look_up(image(registry), JOE) == "there"
    assert {path.partition(" ")[0] for path, _ in registry.seen if "/manifests/" in path} == {"HEAD"}


@pytest.mark.parametrize("challenge", ["Bearer", "Basic"])
def test_private_or_not(registry: RegistryServer, challenge: str) -> None:
    registry.challenge, registry.private = challenge, {"nashflow-steps"}
    assert look_up(image(registry)) == "refused"
    assert look_up(image(registry), Login("joe", "wrong")) == "refused"
    assert look_up(image(registry), JOE) == "there"


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ((503, {}), "answers 503"),
        ((429, {}), "answers 429"),
        ((200, {"Content-Type": "text/html"}), "text/html instead of a manifest"),
        ((401, {"WWW-Authenticate": 'Bearer realm="nowhere"'}), "unknown url type"),
        ((401, {"WWW-Authenticate": 'Bearer realm="{url}/page"'}), "something else than a token"),
    ],
)
def test_what_is_no_answer_of_a_registry(
    registry: RegistryServer, instead: tuple[int, dict[str, str]], said: str
) -> None:
    with serving() as page:
        page.instead = (200, {"Content-Type": "text/html"})
        status, headers = instead
        registry.instead = (status, {name: value.replace("{url}", page.url) for name, value in headers.items()})
        with pytest.raises(ConnectionError, match=said):
            look_up(image(registry))


def test_credentials_stay_with_the_registry(registry: RegistryServer) -> None:
    """Neither a redirection nor a token server without TLS elsewhere gets them."""
    with serving("127.0.0.2") as other:
        registry.instead = (307, {"Location": f"{other.url}/v2/nashflow-steps/manifests/0.1.0"})
        with pytest.raises(ConnectionError, match="answers 307"):
            look_up(image(registry), JOE)
        assert other.seen == []
        registry.instead, registry.realm, registry.private = None, f"{other.url}/token", {"nashflow-steps"}
        assert look_up(image(registry), JOE) == "refused"
        assert other.seen == [("GET /token", "")]


def test_a_registry_whose_name_is_a_web_sites_has_its_api_below(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(method: str, url: str, authorization: str = "") -> tuple[int, Message, bytes]:
        asked.append(url)
        headers = Message()
        headers["Content-Type"] = "application/json"
        return (200 if "//index." in url else 301), headers, b""

    monkeypatch.setattr(module, "_ask", answer)
    assert look_up(Image.parse("hub.example/python:3")) == "there"
    assert look_up(Image.parse("hub.example/acme/a:1")) == "there"
    assert asked[1::2] == [
        "https://index.hub.example/v2/library/python/manifests/3",
        "https://index.hub.example/v2/acme/a/manifests/1",
    ]
