"""`--push-to-hub`, against a small server on loopback that answers as the hub does; no network is used.

Weights go to it by Git LFS, all other files inside the commit. The hub's newer way for large files, Xet, is left to
`huggingface_hub`.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import codir
from codir import cli
from codir.errors import CompleteError, UserError
from codir.runs import rehearse
from codir.runs.hub import KEPT_HERE, check_push
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub, to its own client
TOKEN = "hf_" + "abcdefgh" * 4
TRAINING = {"max_steps": 2, "use_cpu": True, "disable_tqdm": True, "precision": "fp32"}
TRAINING |= {"save_strategy": "no", "eval_strategy": "no"}


@dataclass
class Hub:
    """What the server was asked, and what it answers.

    Attributes:
        role: of the token.
        status: of every answer to a path that begins with one of these.
        asked: paths in order.
        created: what `create_repo` sent.
        files: what was pushed, by repository and name.
        large: what was uploaded by Git LFS, by its SHA-256.
    """

    url: str = ""
    role: str = "write"
    status: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)

    def answer(self, path: str, body: bytes, authorization: str | None) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if path.startswith("/upload/"):  # an address that is signed, for a storage that gets no token
            assert authorization is None
            self.large[sha256(body).hexdigest()] = body
            return 200, {}
        if authorization != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials in Authorization header"}
        for start, status in self.status.items():
            if path.startswith(start):
                return status, {"error": "no"}
        if path == "/api/whoami-v2":
            return 200, {"name": "me", "auth": {"accessToken": {"role": self.role}}}
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            name = f"{self.created[-1].get('organization') or 'me'}/{self.created[-1]['name']}"
            return 200, {"url": f"{self.url}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if found := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            return 200, {"files": modes}
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.url}/upload/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return 200, {"transfer": "basic", "objects": objects}
        if found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            lines = [json.loads(line) for line in body.splitlines()]
            repository = self.files.setdefault(found[1], {})
            for line in lines:
                if line["key"] == "file":
                    repository[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    repository[line["value"]["path"]] = self.large[line["value"]["oid"]]
            return 200, {"commitUrl": f"{self.url}/{found[1]}/commit/1", "commitOid": "1" * 40}
        return 404, {"error": f"no {path}"}


def server_of(hub: Hub) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.body()
            status, content = hub.answer(self.path.partition("?")[0], body, self.headers.get("Authorization"))
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_PUT = do_GET  # noqa: N815

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    """A hub on loopback, with a login there."""
    hub = Hub()
    server = server_of(hub)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", hub.url)
    yield hub
    close_session()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def place(tmp_path, tokenizer) -> Path:
    """A model to fine-tune, and rows."""
    tiny_classifier("bert", num_labels=2, layers=2).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    make_texts(64).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def recipe(place: Path, **changes: Any) -> codir.FinetuneConfig:
    content = {
        "model": str(place / "start"),
        "data": {"source": str(place / "rows.csv"), "max_length": 16},
        "training": TRAINING,
        "output_dir": place / "out",
        "push_to_hub": "me/student",
        **changes,
    }
    return codir.FinetuneConfig.model_validate(content)


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


# ---- Pushed ----


@pytest.mark.training
def test_a_pushed_model_that_lacks_a_file_or_takes_one_along(hub, place, caplog):
    out = place / "out"
    with caplog.at_level(logging.WARNING):
        codir.finetune(recipe(place))
    (created,) = hub.created
    assert (created["name"], created["organization"]) == ("student", "me")
    assert created.get("visibility") == "private" or created.get("private") is True
    pushed = hub.files["me/student"]
    assert pushed.keys() >= {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert not pushed.keys() & {*KEPT_HERE, ".codir-files.jsonl", ".codir-lock"}
    for name, content in pushed.items():
        assert content == (out / name).read_bytes()
        assert str(place).encode() not in content, name
    assert f"Pushed to {hub.url}/me/student" in caplog.text
    assert b"# me/student" in pushed["README.md"]
    assert TOKEN.encode() not in everything_under(place)
    assert TOKEN not in caplog.text
    (place / "again").mkdir()
    for name, content in pushed.items():
        (place / "again" / name).write_bytes(content)
    assert list(hub.large.values()) == [pushed["model.safetensors"]]
    AutoTokenizer.from_pretrained(place / "again")
    assert AutoModelForSequenceClassification.from_pretrained(place / "again").config.num_labels == 2


@pytest.mark.training
def test_a_file_of_the_users_that_is_pushed(hub, place):
    """Into a folder that holds other things; and a folder inside, such as a demo's teacher, stays."""
    out = place / "out"
    (out / "teacher").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    (out / "teacher" / "config.json").write_text("{}")
    codir.finetune(recipe(place, overwrite=True))
    assert not {name for name in hub.files["me/student"] if "notes" in name or "/" in name}


@pytest.mark.training
def test_a_failed_push_that_loses_the_model_or_cannot_be_made_up_for(hub, place):
    hub.status["/api/models/me/student/commit"] = 403
    with pytest.raises(
        UserError, match=r"--push-to-hub: .* What to do: the finished model is in .*`--resume`"
    ) as error:
        codir.finetune(recipe(place))
    assert TOKEN not in str(error.value)
    assert ".." not in str(error.value)
    assert (place / "out" / "model.safetensors").is_file()
    hub.status = {"/me/student.git/info/lfs": 400}
    with pytest.raises(UserError, match=r"400"):  # which huggingface_hub may hide behind words of its own
        codir.finetune(recipe(place, resume=True))
    hub.status.clear()
    before = (place / "out" / "model.safetensors").read_bytes()
    with pytest.raises(CompleteError):
        codir.finetune(recipe(place, resume=True))
    assert hub.files["me/student"]["model.safetensors"] == before


@pytest.mark.training
def test_a_student_whose_report_or_picture_is_missing_or_published(hub, place, monkeypatch, capsys):
    """Through the command line, in a distillation, with a recipe that names folders."""
    codir.finetune(recipe(place, output_dir=place / "teacher", push_to_hub=None))
    assert not hub.asked
    words = ["distill", "--teacher", place / "teacher", "--data", place / "rows.csv", "--student-layers", "1"]
    words += ["--preset", "kd", "--no-cache", "--max-length", "16", "--output-dir", place / "out", "--max-steps", "2"]
    words += ["--set", "training.use_cpu=true", "--push-to-hub", "student"]
    monkeypatch.setattr("sys.argv", ["codir", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed
    pushed = hub.files["me/student"]  # the user's own, where no name stands before it
    assert pushed.keys() >= {"README.md", "training_curves.png", "model.safetensors"}
    assert not pushed.keys() & {"recipe.yaml", "report.json", "report.md"}
    assert str(place).encode() not in b"".join(pushed.values())
    assert TOKEN not in printed.out + printed.err
    assert TOKEN.encode() not in everything_under(place)


# ---- Refused before any work ----


def refused(config: codir.FinetuneConfig) -> str:
    with pytest.raises(UserError, match=r"--push-to-hub") as error:
        codir.finetune(config)
    assert not config.output_dir.exists()
    assert TOKEN not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["a/b/c", "me/../x", "me/a b", "-x", "me/x.git", "https://huggingface.co/me/x", "x" * 97]
)
def test_a_name_that_is_no_repository_and_trains_for_hours(hub, place, name):
    assert "such as `me/student`" in refused(recipe(place, push_to_hub=name))
    assert not hub.asked


def test_a_missing_login_that_is_found_after_training(hub, place, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert "got none" in refused(recipe(place))
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong000" * 4)
    said = refused(recipe(place))
    assert "hf auth login" in said
    assert "wrong000" not in said


def test_a_token_that_may_only_read(hub, place):
    hub.role = "read"
    assert "a token that may write" in refused(recipe(place))


def test_a_hub_that_does_not_answer(hub, place, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    assert "offline" in refused(recipe(place)).lower()
    hub.status["/api/whoami-v2"] = 503
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    assert "503" in refused(recipe(place))
    assert not hub.created


def test_a_rehearsal_that_pushes(hub, place):
    rehearse(recipe(place))
    assert set(hub.asked) == {"/api/whoami-v2"}


def test_a_check_that_makes_a_repository(hub):
    check_push("me/student")
    assert hub.asked == ["/api/whoami-v2"]


@pytest.mark.parametrize(
    "option", ["push_to_hub", "hub_model_id", "hub_strategy", "hub_always_push", "hub_private_repo", "hub_revision"]
)
def test_two_ways_to_push(place, option):
    """Trainer's own would push each checkpoint, to a repository named after the folder of checkpoints."""
    with pytest.raises(UserError, match=r"`push_to_hub` of the recipe"):
        recipe(place, training={**TRAINING, option: True})
