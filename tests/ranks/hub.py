"""A stand-in for the Hugging Face hub on the loopback interface: one repository, and what was asked of it."""

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
from typing import Literal

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
def serving(repository: str, directory: Path, kind: Literal["models", "datasets"] = "models") -> Iterator[Asked]:
    """A hub with one repository, of a model or a dataset: the files of a directory."""
    place = repository if kind == "models" else f"{kind}/{repository}"
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
            if path.startswith(f"/api/{kind}/{repository}/revision/"):
                siblings = [{"rfilename": file} for file in files]
                content = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
            elif path in (f"/api/{kind}/{repository}/tree/{COMMIT}", f"/api/{kind}/{repository}/tree/{COMMIT}/"):
                tree = [{"type": "file", "path": file, "size": len(files[file]), "oid": COMMIT} for file in files]
                content = json.dumps(tree).encode()
            elif path.startswith(f"/{place}/resolve/") and name in files:
                content = files[name]
                headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            else:
                return self._nothing("EntryNotFound" if f"{place}/" in path else "RepoNotFound")
            with lock:
                asked.requests += 1
                asked.downloads[name] += body and "ETag" in headers
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def _nothing(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked = Asked(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
