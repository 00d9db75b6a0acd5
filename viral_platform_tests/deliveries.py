"""A local receiver of webhooks that takes whatever comes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any


@dataclass(frozen=True)
class Delivered:
    """A delivery; header names are lower case."""

    headers: dict[str, str]
    body: Any


@contextmanager
def deliveries() -> Iterator[tuple[str, SimpleQueue[Delivered]]]:
    """Serve a receiver on a free port; yield its address and what arrives."""
    taken: SimpleQueue[Delivered] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            taken.put(Delivered(headers, json.loads(body)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/webhooks/apify", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
