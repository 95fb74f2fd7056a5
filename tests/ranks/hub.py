"""A stand-in for the Hugging Face hub on the loopback interface: the repository of one model, what was asked of it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40


@dataclass
class Asked:
    """What was asked of a hub.

    Attributes:
        address: of the hub.
        downloads: how often each file was sent.
        requests: how many requests there were.
    """

    address: str
    downloads: Counter[str] = field(default_factory=Counter)
    requests: int = 0


@contextmanager
def serving(repository: str, directory: Path) -> Iterator[Asked]:
    """A hub with one repository: the files of a directory."""
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *words: object) -> None: ...

        def _answer(self, body: bool) -> None:
            path, name = self.path.partition("?")[0], self.path.rpartition("/")[2]
            headers = {"X-Repo-Commit": COMMIT}
            if path == f"/api/models/{repository}/revision/main":
                siblings = [{"rfilename": file} for file in files]
                content = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
            elif path.startswith(f"/{repository}/resolve/") and name in files:
                content = files[name]
                headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            else:
                return self.send_error(404)
            with lock:
                asked.requests += 1
                asked.downloads[name] += body and "ETag" in headers
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked = Asked(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
