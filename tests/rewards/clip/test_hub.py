import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from raybilevel.errors import InputError
from raybilevel.rewards.clip.hub import folder_of, has_file

WHERE = "pickscore's model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"pickled"}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as huggingface_hub asks for: one model, a gated and a private one."""

    def do_GET(self):
        self.server.asked.append(self.path)
        _, *parts = self.path.partition("?")[0].split("/")
        match parts:
            case ["api", "models", "them", "clip", "revision", "main" | "v1"]:
                self.answer(json.dumps({"id": "them/clip", "sha": COMMIT}).encode())
            case ["api", "models", "them", "clip", "tree", *_]:
                self.answer(json.dumps([entry(name) for name in FILES]).encode())
            case ["them", "clip", "resolve", _, name] if name in FILES:
                self.answer(FILES[name], {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"'})
            case ["api", "models", "them", "clip", *_]:
                self.refuse(404, "RevisionNotFound")
            case ["them", "clip", *_]:
                self.refuse(404, "EntryNotFound")
            case ["api", "models", "them", "gated", *_]:
                self.refuse(403, "GatedRepo")
            case _:
                self.refuse(401, "RepoNotFound")

    do_HEAD = do_GET

    def answer(self, content, headers=None):
        self.send_response(200)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def entry(name):
    return {"type": "file", "path": name, "size": len(FILES[name]), "oid": name}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    at(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


def at(endpoint, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def folder(model, *patterns):
    return folder_of(model, patterns, lambda found: (found / "config.json").is_file(), WHERE)


def refusal(model):
    with pytest.raises(InputError) as refused:
        folder(model, "*.json")
    return str(refused.value)


def test_what_is_asked_for_is_fetched_and_the_rest_is_not(hub):
    found = folder("them/clip", "*.json")
    assert [path.name for path in found.iterdir()] == ["config.json"]
    assert found.name == COMMIT
    assert has_file("them/clip", "model.safetensors", WHERE)
    assert not has_file("them/clip", "model.safetensors.index.json", WHERE)


def test_what_is_cached_is_used_without_asking(hub):
    found = folder("them/clip@v1", "*.json")
    asked = len(hub.asked)
    assert folder("them/clip@v1", "*.json") == found
    assert len(hub.asked) == asked
    more = folder("them/clip@v1", "*.json", "*.safetensors")
    assert (more / "model.safetensors").read_bytes() == b"weights"


def test_a_directory_is_itself(hub, tmp_path):
    (tmp_path / "them" / "clip").mkdir(parents=True)
    assert str(folder("them/clip", "*.json")) == "them/clip"
    assert not has_file("them/clip", "config.json", WHERE)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("them/gated", ", which is gated: accept its terms on its page of the hub, and set "
         "HF_TOKEN on every node"),
        ("them/clip@v2", ", but the model has no such revision on the hub"),
        ("them/clap", ", which is no directory in HERE, and not on the hub; a private model needs "
         "HF_TOKEN on every node"),
        ("./them/clip", ", which is no directory in HERE, and no name of the hub such as "
         "'owner/name'"),
    ],
)  # fmt: skip
def test_what_the_hub_does_not_give_is_said_in_a_sentence(hub, tmp_path, model, said):
    assert refusal(model).replace(str(tmp_path), "HERE") == f"{WHERE} is '{model}'{said}"


def test_a_hub_that_cannot_be_reached(hub, tmp_path, monkeypatch):
    at("http://127.0.0.1:9", monkeypatch)  # where nobody listens
    said = (
        f"{WHERE} is 'them/clip', which is no directory in {tmp_path}, not whole in the hub's "
        "cache, and the hub cannot be reached; fetch it where there is a network, or give a "
        "directory"
    )
    assert refusal("them/clip") == said
    with pytest.raises(InputError, match="the hub cannot be reached"):
        has_file("them/clip", "model.safetensors", WHERE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal("them/clip") == said
