"""`--push` with the real client of the Hugging Face hub, against a server that answers like the hub."""

import base64
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmpkd.commands.main import main as mmpkd

REPOSITORY = "user/name"


class Hub(ThreadingHTTPServer):
    """Answers the requests of `create_repo` and `upload_folder`; weights go to a storage of their own, as on the hub."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.created: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.stored: dict[str, bytes] = {}  # content by SHA-256
        self.files: dict[str, bytes] = {}
        self.is_refusing = False


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub = self.server
        hub.tokens.add(self.headers["Authorization"])
        if hub.is_refusing:
            self.answer({"error": "You don't have the rights to create a model under the namespace 'user'"}, 403)
        elif self.path == "/api/repos/create":
            hub.created.append(json.loads(body))
            self.answer({"url": f"{hub.address}/{REPOSITORY}"})
        elif self.path == "/api/validate-yaml":
            self.answer({"warnings": [], "errors": []})
        elif self.path == f"/api/models/{REPOSITORY}/preupload/main":
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            self.answer(
                {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]}
            )
        elif self.path == f"/{REPOSITORY}.git/info/lfs/objects/batch":
            objects = json.loads(body)["objects"]
            places = [{"upload": {"href": f"{hub.address}/storage/{one['oid']}"}} for one in objects]
            found = [{**one, "actions": place} for one, place in zip(objects, places, strict=True)]
            self.answer({"transfer": "basic", "objects": found})
        elif self.path == f"/api/models/{REPOSITORY}/commit/main":
            self.commit([json.loads(line) for line in body.splitlines()])
        else:
            self.answer({"error": f"no such address: {self.path}"}, 404)

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.stored[value["oid"]]
        url = f"{self.server.address}/{REPOSITORY}/commit/1"
        self.answer({"commitUrl": url, "commitOid": "1", "success": True})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stored[sha256(content).hexdigest()] = content
        self.answer({})

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        # what HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE set when the package is imported
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # its storage speaks no plain HTTP
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_the_folder_is_uploaded_into_a_private_repository(
    hub: Hub, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert mmpkd(["export", str(run), "--out", str(out), "--push", REPOSITORY]) == 0
    assert f"{hub.address}/{REPOSITORY}/commit/1\n" in capsys.readouterr().out
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("user", "name")
    assert created.get("visibility") == "private" or created.get("private") is True  # releases of the client differ
    assert hub.files == {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(hub.files) == ["README.md", "config.json", "model.safetensors"]
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_refusal_of_the_hub_is_one_line(
    hub: Hub, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.is_refusing = True
    assert mmpkd(["export", str(run), "--out", str(tmp_path / "out"), "--push", REPOSITORY]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "Expected to upload" in line]
    assert "You don't have the rights to create a model" in line
    assert "the folder is complete and can be uploaded later" in line
    assert hub.files == {}
