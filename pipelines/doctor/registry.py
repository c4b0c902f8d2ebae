"""Registries of images, by their HTTP API (OCI Distribution Specification 1.1): is an image there?"""

import base64
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Literal, NamedTuple, Self

_SECONDS = 10.0
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_ANSWERS: Mapping[int, Literal["there", "absent", "refused"]] = {
    200: "there",
    404: "absent",
    401: "refused",
    403: "refused",
}


class Image(NamedTuple):
    """What an image's name says."""

    registry: str
    """Host, and port; empty where the name has none, and the nodes decide."""
    repository: str
    reference: str
    """Digest or tag."""

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a name as container runtimes do."""
        rest, _, digest = name.partition("@")
        first, slash, path = rest.partition("/")
        has_host = slash and ("." in first or ":" in first or first == "localhost")
        repository, _, tag = (path if has_host else rest).partition(":")
        return cls(registry_of(first) if has_host else "", repository, digest or tag or "latest")


class Login(NamedTuple):
    """Who asks."""

    user: str
    password: str

    @property
    def header(self) -> str:
        """The value of `Authorization`."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def registry_of(server: str) -> str:
    """A registry by the one name of all that it has: `https://index.example.com/v1/` and `example.com` are one."""
    host = (server.partition("://")[2] or server).partition("/")[0]
    return re.sub(r"^(index|registry-1)\.", "", host)


def look_up(image: Image, login: Login | None = None) -> Literal["there", "absent", "refused"]:
    """Whether an image is in its registry, and whether who asks may have it.

    Raises:
        ConnectionError: its registry does not answer from here, or not as a registry does.
    """
    for host, repository in _addresses(image):
        base = f"{'http' if _is_local(host) else 'https'}://{host}"
        status = _status(base, repository, image.reference, login)
        if status in _ANSWERS:
            return _ANSWERS[status]
        if not 300 <= status < 400:
            break
    raise ConnectionError(f"{image.registry} answers {status}")


def _addresses(image: Image) -> Iterator[tuple[str, str]]:
    """Host and repository: a registry whose own name leads to its web site has its API one name below."""
    yield image.registry, image.repository
    if not _is_local(image.registry):
        yield f"index.{image.registry}", image.repository if "/" in image.repository else f"library/{image.repository}"


def _is_local(host: str) -> bool:
    return host in _LOCAL or host.startswith(tuple(f"{name}:" for name in _LOCAL))


def _status(base: str, repository: str, reference: str, login: Login | None) -> int:
    """The HTTP status of an image's manifest."""
    url = f"{base}/v2/{repository}/manifests/{reference}"
    status, headers, _ = _ask("HEAD", url)
    challenge = ", ".join(headers.get_all("WWW-Authenticate") or ())
    if status == 401 and (authorization := _authorization(challenge, repository, login)):
        status, headers, _ = _ask("HEAD", url, authorization)
    if status == 200 and "json" not in headers.get("Content-Type", ""):
        raise ConnectionError(f"{base} answers with {headers.get('Content-Type', 'something')} instead of a manifest")
    return status


def _authorization(challenge: str, repository: str, login: Login | None) -> str:
    """What a registry wants to see, by its challenge; empty where it gives or takes nothing of the kind."""
    bearer = re.search(r"Bearer\s+(.*)", challenge, re.IGNORECASE)
    if not bearer:
        return login.header if login else ""
    said = dict(re.findall(r'(\w+)="([^"]*)"', bearer[1]))
    query = {"scope": said.get("scope") or f"repository:{repository}:pull"}
    query |= {"service": said["service"]} if "service" in said else {}
    realm = urllib.parse.urlsplit(said.get("realm", ""))
    # Who answers at an address without TLS might be anybody.
    safe = realm.scheme == "https" or _is_local(realm.netloc)
    status, _, body = _ask(
        "GET", f"{realm.geturl()}?{urllib.parse.urlencode(query)}", login.header if login and safe else ""
    )
    try:
        given = json.loads(body) if status == 200 else {}
        token = given.get("token") or given.get("access_token")
    except (ValueError, AttributeError):
        raise ConnectionError(f"{realm.netloc} answers with something else than a token") from None
    return f"Bearer {token}" if token else ""


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """Credentials are for the registry that was named, and for no other."""

    def redirect_request(self, *arguments: object) -> None:
        """Do not go there."""


_OPENER = urllib.request.build_opener(_Unmoved)


def _ask(method: str, url: str, authorization: str = "") -> tuple[int, Message, bytes]:
    """Status, headers and body of the answer.

    Raises:
        ConnectionError: there is none.
    """
    headers = {"Accept": _MANIFESTS} | ({"Authorization": authorization} if authorization else {})
    host = urllib.parse.urlsplit(url).netloc
    try:
        request = urllib.request.Request(url, headers=headers, method=method)
        with _OPENER.open(request, timeout=_SECONDS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, b""
    except (OSError, http.client.HTTPException, ValueError) as error:
        said = " ".join(str(getattr(error, "reason", error)).split())
        raise ConnectionError(f"{host} does not answer: {said or type(error).__name__}") from None
