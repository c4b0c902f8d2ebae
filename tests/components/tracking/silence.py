"""A server that never answers."""

import socketserver
import threading
from typing import Any


class Silent(socketserver.ThreadingTCPServer):
    """A server that takes connections and never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.asked, self.over = threading.Event(), threading.Event()
        self.requests = 0

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.requests += 1
        self.asked.set()
        self.over.wait()
        self.shutdown_request(request)
