"""A local sink that speaks Sentry's envelope endpoint, and keeps the events that arrive."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EnvelopeSink:
    """Events by the order of their arrival; `dsn` is where to send them."""

    def __init__(self, port: int) -> None:
        self.dsn = f"http://{'a' * 32}@127.0.0.1:{port}/42"
        self.events: list[dict[str, Any]] = []

    def take(self, envelope: bytes) -> None:
        """Keep the events of one envelope; items are split by their length in bytes."""
        _, rest = envelope.split(b"\n", 1)
        while rest:
            header_line, rest = rest.split(b"\n", 1)
            header = json.loads(header_line)
            length = header.get("length", rest.find(b"\n"))
            payload, rest = rest[:length], rest[length + 1 :]
            if header["type"] == "event":
                self.events.append(json.loads(payload))


@contextmanager
def envelope_sink() -> Iterator[EnvelopeSink]:
    """Serve the sink on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/api/42/envelope/":
                sink.take(body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = EnvelopeSink(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
