"""A server on this machine that serves files with the faults that real ones have."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """What is served, by path, and how badly; ``asked`` lists path and Range header of every request."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""
    ranges: bool = True
    tags: bool = True
    lengths: bool = True
    #: Bytes after which answers break off, one entry per request; then none do.
    breaks: list[int] = field(default_factory=list)
    #: Status codes of the first answers.
    statuses: list[int] = field(default_factory=list)
    #: What Content-Length says beyond the truth.
    exaggeration: int = 0


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Mirror]:
    mirror = Mirror(files=files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.asked.append((self.path, self.headers.get("Range")))
            status = mirror.statuses.pop(0) if mirror.statuses else 200
            data = mirror.files.get(self.path)
            if data is None or status != 200:
                self.send_error(404 if data is None else status)
                return
            tag = f'"{hashlib.md5(data).hexdigest()}"'
            start = self._start(tag)
            if start and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            if mirror.lengths:
                self.send_header("Content-Length", str(len(data) - start + mirror.exaggeration))
            if mirror.tags:
                self.send_header("ETag", tag)
            self.end_headers()
            stop = start + mirror.breaks.pop(0) if mirror.breaks else len(data)
            self.wfile.write(data[start:stop])

        def _start(self, tag: str) -> int:
            asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
            if not mirror.ranges or asked is None or (condition is not None and condition != tag):
                return 0
            return int(asked.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
