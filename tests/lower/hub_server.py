"""The routes of the Hugging Face hub that `huggingface_hub` asks for, served from a folder."""

import hashlib
import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "f" * 40


class Hub:
    """Models by name; who was asked for what is counted.

    Attributes
    ----------
    models : {name: {commit: folder}}.
    branches : {name: {branch: commit}}.
    is_down : whether it answers everything with an error of its own.
    gated : names of models whose files need a token.
    asked : requests by method and path.
    tokens : that were sent.
    waits_for : how many must have asked for a file's metadata before it is sent.
    """

    def __init__(self):
        self.models, self.branches, self.gated = {}, {}, set()
        self.asked, self.tokens = Counter(), set()
        self.url, self.waits_for, self.is_down = "", 0, False
        self._metadata = threading.Condition()

    def publish(self, name, folder, commit=COMMIT, branch="main"):
        self.models.setdefault(name, {})[commit] = folder
        self.branches.setdefault(name, {})[branch] = commit

    def note(self, method, path):
        """Count a request; one for a file waits until others have asked too."""
        with self._metadata:
            self.asked[method, path] += 1
            self._metadata.notify_all()
            if method == "GET" and "/resolve/" in path:
                asked = lambda: self.asked["HEAD", path] >= self.waits_for  # noqa: E731
                assert self._metadata.wait_for(asked, timeout=60)

    def downloads(self):
        """Files that were sent whole, by name, and how often."""
        found = Counter()
        for (method, path), times in self.asked.items():
            if method == "GET" and "/resolve/" in path:
                found[path.split("/resolve/")[1].split("/", 1)[1]] += times
        return found

    def folder(self, name, revision):
        """The folder and commit of a revision, or the hub's code for what is wrong."""
        if name not in self.models:
            return "RepoNotFound"
        commit = self.branches[name].get(revision, revision)
        folder = self.models[name].get(commit)
        return (folder, commit) if folder else "RevisionNotFound"


def _files(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        path = unquote(urlparse(self.path).path)
        self.hub.note(self.command, path)
        if self.hub.is_down:
            self._refuse("Down", 500)
            return
        if token := self.headers.get("authorization"):
            self.hub.tokens.add(token)
        if path.startswith("/api/models/"):
            self._api(*path.removeprefix("/api/models/").split("/", 3))
        elif "/resolve/" in path:
            name, _, rest = path[1:].partition("/resolve/")
            self._file(name, *rest.split("/", 1))
        else:
            self._refuse("NotFound")

    def _api(self, owner, model, route="revision", revision="main"):
        name = f"{owner}/{model}"
        found = self.hub.folder(name, revision)
        if isinstance(found, str):
            self._refuse(found)
            return
        folder, commit = found
        files = _files(folder)
        if route == "tree":
            self._send_json([
                {"type": "file", "path": file, "size": path.stat().st_size, "oid": _oid(path)}
                for file, path in files.items()
            ])  # fmt: skip
        else:
            siblings = [{"rfilename": file} for file in files]
            self._send_json({"id": name, "sha": commit, "siblings": siblings})

    def _file(self, name, revision, file):
        found = self.hub.folder(name, revision)
        if isinstance(found, str):
            self._refuse(found)
        elif name in self.hub.gated and not self.headers.get("authorization"):
            self._refuse("GatedRepo", 401)
        elif file not in (files := _files(found[0])):
            self._refuse("EntryNotFound")
        else:
            self._send(files[file].read_bytes(), {
                "ETag": f'"{_oid(files[file])}"', "X-Repo-Commit": found[1],
            })  # fmt: skip

    def _refuse(self, code, status=404):
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def _send_json(self, content):
        self._send(json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, content, headers, status=200):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def point_to(url, monkeypatch):
    """Have this process take `url` for the hub."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def _oid(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextmanager
def serving(monkeypatch, cache):
    """A hub on loopback for as long as the context lasts, and a cache of this process's own."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    point_to(hub.url, monkeypatch)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
