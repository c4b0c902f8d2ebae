"""Requests to the server: who asks, and answers that go on while something is written."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from ...pipelines.cluster.server import Handler

_ASKING = threading.local()


def asking() -> str:
    """The bearer token of the request that this thread answers."""
    return getattr(_ASKING, "token", "")


class StreamingHandler(Handler):
    """A handler whose answer may be an iterator of bytes."""

    def do_GET(self) -> None:
        _ASKING.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        super().do_GET()

    do_POST = do_DELETE = do_GET

    def _send(self, status: int, answer: Any, kind: str = "") -> None:
        if not isinstance(answer, Iterator):
            super()._send(status, answer, kind)
            return
        with contextlib.suppress(OSError):  # a client that has gone
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            for part in answer:
                self.wfile.write(part)
                self.wfile.flush()
