"""A registry of images on a loopback port: manifests, the challenges of its two kinds, and a token server."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_KIND = "application/vnd.oci.image.index.v1+json"


class RegistryServer(ThreadingHTTPServer):
    """What it has: change it, and the next answer has changed."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.images = {f"nashflow-{name}:0.1.0" for name in ("steps", "vllm", "training", "client")}
        """Repository and tag or digest."""
        self.private: set[str] = set()
        """Repositories that only known users may read."""
        self.users = {"joe": "hunter2"}
        self.challenge = "Bearer"
        """How it asks who comes: Bearer for all, Basic for private repositories; empty: not at all."""
        self.realm = f"{self.url}/token"
        self.instead: tuple[int, dict[str, str]] | None = None
        """What it answers to everything."""
        self.seen: list[tuple[str, str]] = []
        """Method and path, and the header Authorization."""
        self._tokens: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What images' names begin with."""
        return f"{self.server_address[0]}:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.name}"

    def answer(self, path: str, query: dict[str, list[str]], authorization: str) -> tuple[int, dict[str, str], bytes]:
        if self.instead:
            return (*self.instead, b"")
        user = self._user(authorization)
        if path == "/token":
            if authorization.startswith("Basic") and not user:
                return 401, {}, b""
            (scope,), (service,) = query["scope"], query["service"]
            kind, repository, action = scope.split(":")
            assert (kind, action, service) == ("repository", "pull", "a registry")
            token = secrets.token_hex()
            self._tokens[token] = repository if user or repository not in self.private else ""
            return 200, {"Content-Type": "application/json"}, json.dumps({"token": token}).encode()
        repository, _, reference = path.removeprefix("/v2/").rpartition("/manifests/")
        allowed = self._tokens.get(authorization.removeprefix("Bearer ")) == repository
        if self.challenge == "Basic":
            allowed = bool(user) or repository not in self.private
        if self.challenge and not allowed:
            scope = f"repository:{repository}:pull"
            said = f'realm="{self.realm}",service="a registry",scope="{scope}"'
            return 401, {"WWW-Authenticate": f"{self.challenge} {said}"}, b""
        there = {f"{repository}:{reference}", f"{repository}@{reference}"} & self.images
        return (200 if there else 404), {"Content-Type": _KIND}, b""

    def _user(self, authorization: str) -> str:
        if not authorization.startswith("Basic "):
            return ""
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return user if self.users.get(user) == password else ""


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        parts, authorization = urlsplit(self.path), self.headers.get("Authorization", "")
        self.server.seen.append((f"{self.command} {parts.path}", authorization))
        status, headers, body = self.server.answer(parts.path, parse_qs(parts.query), authorization)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(address: str = "127.0.0.1") -> Iterator[RegistryServer]:
    """A server that answers while the block lasts."""
    with RegistryServer(address) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
