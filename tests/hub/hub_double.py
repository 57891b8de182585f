"""A double of the Hugging Face Hub, on the loopback interface and in memory.

It is a double because tests may not reach a network, and because the real Hub cannot be made to fail on request. It
answers the requests that `huggingface_hub`, `datasets` and `evaluate` make to create, read and write repositories, the
way the real one does as far as those clients look. What it proves is that ours makes those calls and survives their
failures; not that the real Hub accepts what it is given. Not modelled: Xet (clients need `HF_HUB_DISABLE_XET=1`),
branches but `main`, tags, pull requests, pages of long listings, gated repositories, the viewer, and running a Space.

Its rules of a card's front matter are the documented ones that a mistake of ours could break, and no more.

    with HubDouble() as hub:
        hub.fault("POST", r"/commit/main$", status=500)
        subprocess.run([...], env=hub.environment(tmp_path))
        hub.files("space", "seal/reward_shift")["README.md"]
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

WRITE_TOKEN = "hf_doubleWriteTokenThatMustNotLeak"
READ_TOKEN = "hf_doubleReadTokenThatMustNotLeak"
USER = "tester"
ORGANISATIONS = ("seal",)

_LFS_SUFFIXES = (".parquet", ".safetensors", ".bin", ".png", ".arrow", ".gz")
_COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_DATE = "2026-01-01T00:00:00.000Z"
_TYPE = r"(?P<type>model|dataset|space)s"
_ID = r"(?P<id>[\w.-]+/[\w.-]+?)"
_REPO = rf"/api/{_TYPE}/{_ID}"
_PREFIX = r"/(?:(?P<type>dataset|space)s/)?"


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of a repository."""

    sha: str
    summary: str
    files: Mapping[str, bytes]


@dataclass(slots=True)
class Repo:
    """A repository, with every commit it ever had, oldest first."""

    type: str
    id: str
    private: bool
    commits: list[Commit]

    def at(self, revision: str) -> Commit:
        """The commit of `main` or of a hash."""
        if revision in ("main", "refs/heads/main"):
            return self.commits[-1]
        found = [each for each in self.commits if each.sha == revision]
        if not found:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found[0]


class Request(NamedTuple):
    """What was asked, and the status it got: 0 where the connection was cut."""

    method: str
    path: str
    status: int


@dataclass(slots=True)
class Fault:
    """A failure that waits for its request; `reached` is set once it has come, and `then` is done."""

    method: str
    path: re.Pattern[str]
    nth: int
    times: int
    outcome: int | str
    headers: Mapping[str, str]
    body: object = None
    seen: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], object] = lambda: None

    def strikes(self, method: str, path: str) -> bool:
        """Count a request, and say whether it is the one that fails."""
        if method != self.method or not self.path.search(path):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class _Refused(Exception):
    def __init__(self, status: int, code: str | None, message: str, body: object = None) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = _Answer(status, {"error": message} if body is None else body, headers)


class _Answer(NamedTuple):
    status: int
    body: object
    headers: Mapping[str, str] = {}


class HubDouble:
    """The double, as a context manager; see the module.

    Attributes:
        repos (`dict`): Repositories by type and id.
        requests (`list[Request]`): Every request so far.
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self._blobs: dict[str, bytes] = {}
        self._offered: set[str] = set()
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()

    def __enter__(self) -> HubDouble:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="hub-double", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What to set `HF_ENDPOINT` to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, home: Path, token: str | None = WRITE_TOKEN) -> dict[str, str]:
        """Environment of a client process that knows only this Hub, with its caches in a folder of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "127.0.0.1",
        }
        return kept | ours | ({"HF_TOKEN": token} if token is not None else {})

    def fault(
        self,
        method: str,
        path: str,
        *,
        nth: int = 1,
        times: int = 1,
        status: int | None = None,
        how: str = "cut",
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Fault:
        """Make requests fail.

        Args:
            method (`str`): Of the request.
            path (`str`): Regular expression that is searched in its path.
            nth (`int`): The first such request that fails, from 1.
            times (`int`): How many in a row fail.
            status (`int`, *optional*): Status to answer with, in place of doing what was asked.
            how (`str`): Without a status: `cut` closes the connection unanswered, `lost` does what was asked and then
                closes it, and `hang` never answers (for killing the client).
            headers (`Mapping`, *optional*): Headers that go with the status, such as `Retry-After`.
            body (`object`, *optional*): Bytes or JSON that go with the status.

        Returns:
            `Fault`: It tells when it was reached.
        """
        outcome = how if status is None else status
        fault = Fault(method, re.compile(path), nth, times, outcome, headers or {}, body)
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def put(self, type: str, id: str, files: Mapping[str, bytes | str], *, private: bool = False) -> Repo:
        """Put a repository there, as somebody else would have."""
        contents = {path: each.encode() if isinstance(each, str) else each for path, each in files.items()}
        with self._lock:
            repo = self.repos.setdefault((type, id), Repo(type, id, private, []))
            repo.commits.append(_commit_of(repo, "by somebody else", contents))
            return repo

    def files(self, type: str, id: str, revision: str = "main") -> Mapping[str, bytes]:
        """Files of a repository."""
        return self.repos[type, id].at(revision).files

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests so far whose path matches."""
        with self._lock:
            return [each for each in self.requests if each.method == method and re.search(path, each.path)]

    # What follows is the server's side.

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> _Answer | None:
        """Answer a request, or `None` to cut the connection."""
        path = unquote(urlsplit(url).path)
        with self._lock:
            struck = [each for each in self._faults if each.strikes(method, path)]
        outcome = struck[0].outcome if struck else None
        if outcome == "hang":
            struck[0].reached.set()
            self._closing.wait(60)
        if outcome in (None, "lost"):
            answer: _Answer | None = self._serve(method, url, path, headers, body)
        elif isinstance(outcome, int):
            body_ = {"error": "injected by the test"} if struck[0].body is None else struck[0].body
            answer = _Answer(outcome, body_, struck[0].headers)
        else:
            answer = None
        if outcome is not None:
            struck[0].then()
            struck[0].reached.set()
        if outcome == "lost":
            answer = None
        with self._lock:
            self.requests.append(Request(method, path, answer.status if answer else 0))
        return answer

    def _serve(self, method: str, url: str, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
        for verb, pattern, act in _ROUTES:
            found = re.fullmatch(pattern, path) if verb == method or (verb == "GET" and method == "HEAD") else None
            if not found:
                continue
            named = {name: value for name, value in found.groupdict().items() if value is not None}
            call = _Call(self, headers, body, query, named)
            try:
                with self._lock:
                    return act(call)
            except _Refused as refused:
                return refused.answer
        return _Answer(404, {"error": f"the double has no route {method} {path}"})


@dataclass(frozen=True, slots=True)
class _Call:
    """A request on its way to a route."""

    hub: HubDouble
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str]
    named: Mapping[str, str]

    @property
    def token(self) -> str | None:
        """The token given; an unknown one is refused at once."""
        given = self.headers.get("authorization", "").removeprefix("Bearer ") or None
        if given not in (None, READ_TOKEN, WRITE_TOKEN):
            raise _Refused(401, None, "Invalid credentials in Authorization header")
        return given

    def json(self) -> Any:
        return json.loads(self.body)

    def may_write(self, namespace: str) -> None:
        """Refuse a caller without a token, with one that only reads, or of another namespace."""
        if self.token is None:
            raise _Refused(401, None, "Invalid username or password.")
        if self.token == READ_TOKEN or namespace not in (USER, *ORGANISATIONS):
            raise _Refused(403, None, f'You don\'t have the rights to write under the namespace "{namespace}"')

    def repo(self, *, write: bool = False) -> Repo:
        """The repository that the path names."""
        name = self.named["id"]
        found = self.hub.repos.get((self.named.get("type", "model"), name))
        if write:
            self.may_write(name.split("/")[0])
        if found is None or (found.private and self.token is None):
            raise _Refused(404 if self.token else 401, "RepoNotFound", "Repository not found")
        return found

    def commit(self) -> Commit:
        """The commit that the path names, `main` where it names none."""
        return self.repo().at(self.named.get("revision", "main"))


def _whoami(call: _Call) -> _Answer:
    if call.token is None:
        raise _Refused(401, None, "Invalid username or password.")
    role = "write" if call.token == WRITE_TOKEN else "read"
    return _Answer(
        200,
        {
            "type": "user",
            "name": USER,
            "fullname": USER,
            "orgs": [{"type": "org", "name": o} for o in ORGANISATIONS],
            "auth": {"type": "access_token", "accessToken": {"displayName": "double", "role": role}},
        },
    )


def _job_hardware(call: _Call) -> _Answer:
    """Two flavors in the Hub's form; names as the Hub's, numbers invented."""
    gpu = {"type": "gpu", "model": "L4", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"}
    flavors = [("l4x1", "8 vCPU", "30 GB", gpu, 20_000), ("cpu-basic", "2 vCPU", "16 GB", None, 500)]
    return _Answer(
        200,
        [
            {
                "name": name,
                "prettyName": name,
                "cpu": cpu,
                "ram": ram,
                "ephemeralStorage": "50 GB",
                "accelerator": accelerator,
                "unitCostMicroUSD": cost,
                "unitCostUSD": cost / 1e6,
                "unitLabel": "minute",
            }
            for name, cpu, ram, accelerator, cost in flavors
        ],
    )


def _validate_yaml(call: _Call) -> _Answer:
    asked = call.json()
    errors, warnings = card_problems(asked["content"], asked["repoType"])
    body = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
    return _Answer(400 if errors else 200, body)


def card_problems(content: str, repo_type: str) -> tuple[list[str], list[str]]:
    """What is wrong with a card's front matter: errors, and warnings."""
    found = re.match(r"\s*---\r?\n(.*?)\r?\n---(\r?\n|$)", content, flags=re.DOTALL)
    if not found:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.safe_load(found.group(1)) or {}
    except yaml.YAMLError as error:
        return [f"the front matter is not YAML: {error}"], []
    if not isinstance(data, dict):
        return ["the front matter must be a mapping"], []
    checks: dict[str, Callable[[Any], bool]] = {
        "license": lambda value: all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", each) for each in _listed(value)),
        "tags": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
        "configs": lambda value: isinstance(value, list) and all("config_name" in each for each in value),
        "model-index": lambda value: all("name" in each and "results" in each for each in value),
    }
    if repo_type == "space":
        checks |= {
            "sdk": lambda value: value in ("gradio", "docker", "static"),
            "sdk_version": lambda value: isinstance(value, str) and bool(re.fullmatch(r"\d+\.\d+(\.\d+)?", value)),
            "colorFrom": lambda value: value in _COLORS,
            "colorTo": lambda value: value in _COLORS,
            "pinned": lambda value: isinstance(value, bool),
            "short_description": lambda value: isinstance(value, str) and len(value) <= 60,
        }
    errors = [
        f'"{name}" is not valid: {data[name]!r}' for name, valid in checks.items() if not _passes(valid, data, name)
    ]
    if repo_type == "space":
        errors += [f'"{name}" is required' for name in ("sdk",) if name not in data]
    return errors, []


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _passes(valid: Callable[[Any], bool], data: Mapping[str, Any], name: str) -> bool:
    try:
        return name not in data or valid(data[name])
    except TypeError:
        return False


def _create(call: _Call) -> _Answer:
    asked = call.json()
    namespace, type_ = asked.get("organization") or USER, asked.get("type", "model")
    call.may_write(namespace)
    name = f"{namespace}/{asked['name']}"
    prefix = "" if type_ == "model" else f"{type_}s/"
    body = {"url": f"{call.hub.url}/{prefix}{name}", "name": name, "id": name}
    if (type_, name) in call.hub.repos:
        return _Answer(409, body | {"error": f"You already created this {type_} repo"})
    repo = Repo(type_, name, asked.get("visibility") == "private" or bool(asked.get("private")), [])
    files = {".gitattributes": b"*.parquet filter=lfs\n"}
    if type_ == "space":  # as the real one does
        files["README.md"] = f"---\ntitle: {asked['name']}\nsdk: {asked['sdk']}\n---\n".encode()
    repo.commits.append(_commit_of(repo, "initial commit", files))
    call.hub.repos[type_, name] = repo
    return _Answer(200, body)


def _delete(call: _Call) -> _Answer:
    asked = call.json()
    namespace = asked.get("organization") or USER
    call.may_write(namespace)
    if call.hub.repos.pop((asked.get("type", "model"), f"{namespace}/{asked['name']}"), None) is None:
        raise _Refused(404, "RepoNotFound", "Repository not found")
    return _Answer(200, {})


def _settings(call: _Call) -> _Answer:
    repo = call.repo(write=True)
    repo.private = call.json().get("visibility", "private" if repo.private else "public") == "private"
    return _Answer(200, {"private": repo.private})


def _info(call: _Call) -> _Answer:
    repo, commit = call.repo(), call.commit()
    card = commit.files.get("README.md", b"").decode("utf-8", "replace")
    front = re.match(r"---\n(.*?)\n---\n", card, flags=re.DOTALL)
    data = (yaml.safe_load(front.group(1)) if front else None) or {}
    siblings = [{"rfilename": path, "size": len(each)} for path, each in sorted(commit.files.items())]
    return _Answer(
        200,
        {
            "id": repo.id,
            "author": repo.id.split("/")[0],
            "sha": commit.sha,
            "private": repo.private,
            "disabled": False,
            "gated": False,
            "downloads": 0,
            "likes": 0,
            "createdAt": _DATE,
            "lastModified": _DATE,
            "sdk": data.get("sdk"),
            "tags": data.get("tags", []),
            "cardData": data,
            "siblings": siblings,
        },
    )


def _preupload(call: _Call) -> _Answer:
    present = call.repo(write=True).commits[-1].files
    files = []
    for asked in call.json()["files"]:
        path = asked["path"]
        lfs = path.endswith(_LFS_SUFFIXES) and asked["size"] > 0
        oid = None
        if path in present:
            oid = hashlib.sha256(present[path]).hexdigest() if lfs else _blob_id(present[path])
        mode = "lfs" if lfs else "regular"
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | ({"oid": oid} if oid else {}))
    return _Answer(200, {"files": files})


def _commit(call: _Call) -> _Answer:
    repo = call.repo(write=True)
    if call.query.get("create_pr"):
        raise _Refused(400, None, "the double has no pull requests")
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header, last = lines[0]["value"], repo.commits[-1]
    if header.get("parentCommit", last.sha) != last.sha:
        raise _Refused(412, None, "A commit has happened since. Please refresh and try again.")
    files = dict(last.files)
    for line in lines[1:]:
        _apply(line["key"], line["value"], files, call.hub._blobs)
    card = files.get("README.md", b"").decode("utf-8", "replace")
    if errors := card_problems(card, repo.type)[0]:
        raise _Refused(400, None, f"Invalid metadata in README.md: {errors}")
    commit = _commit_of(repo, header["summary"], files)
    repo.commits.append(commit)
    prefix = "" if repo.type == "model" else f"{repo.type}s/"
    url = f"{call.hub.url}/{prefix}{repo.id}/commit/{commit.sha}"
    return _Answer(200, {"success": True, "commitOid": commit.sha, "commitUrl": url, "hookOutput": ""})


def _apply(kind: str, value: Mapping[str, Any], files: dict[str, bytes], blobs: Mapping[str, bytes]) -> None:
    path = value["path"]
    if kind == "file":
        files[path] = base64.b64decode(value["content"])
    elif kind == "lfsFile":
        if value["oid"] not in blobs:
            raise _Refused(400, None, f"LFS pointer of {path} points to an object that was not uploaded")
        files[path] = blobs[value["oid"]]
    elif kind in ("deletedFile", "deletedFolder"):
        gone = [each for each in files if each == path or each.startswith(f"{path.rstrip('/')}/")]
        if not gone:
            raise _Refused(404, "EntryNotFound", f"{path} is not there")
        for each in gone:
            del files[each]
    else:
        raise _Refused(400, None, f"the double does not know the operation {kind}")


def _tree(call: _Call) -> _Answer:
    commit, folder = call.commit(), call.named.get("path", "").strip("/")
    entries = _entries(commit, recursive=call.query.get("recursive", "").lower() == "true", folder=folder)
    if folder and not entries:
        raise _Refused(404, "EntryNotFound", f"{folder} does not exist")
    return _Answer(200, entries)


def _entries(commit: Commit, *, recursive: bool, folder: str) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    inside = [path for path in sorted(commit.files) if path.startswith(prefix)]
    folders = {
        prefix + "/".join(parts[:depth])
        for path in inside
        if (parts := path[len(prefix) :].split("/"))
        for depth in range(1, len(parts))
    }
    near = {each for each in folders if recursive or "/" not in each[len(prefix) :]}
    found = [{"type": "directory", "path": each, "oid": _blob_id(each.encode()), "size": 0} for each in sorted(near)]
    return found + [
        _file_entry(path, commit.files[path]) for path in inside if recursive or "/" not in path[len(prefix) :]
    ]


def _file_entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": _blob_id(content), "size": len(content)}
    if path.endswith(_LFS_SUFFIXES):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _paths_info(call: _Call) -> _Answer:
    files = call.commit().files
    if call.headers.get("content-type", "").startswith("application/json"):
        wanted = _listed(call.json()["paths"])
    else:
        wanted = parse_qs(call.body.decode())["paths"]
    return _Answer(200, [_file_entry(path, files[path]) for path in wanted if path in files])


def _refs(call: _Call) -> _Answer:
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": call.commit().sha}
    return _Answer(200, {"branches": [main], "converts": [], "tags": [], "pullRequests": []})


def _commits(call: _Call) -> _Answer:
    history = call.repo().commits[::-1]
    return _Answer(
        200,
        [
            {"id": each.sha, "title": each.summary, "message": "", "authors": [{"user": USER}], "date": _DATE}
            for each in history
        ],
    )


def _resolve(call: _Call) -> _Answer:
    commit, path = call.commit(), call.named["path"]
    if path not in commit.files:
        raise _Refused(404, "EntryNotFound", f"{path} does not exist")
    content = commit.files[path]
    lfs = path.endswith(_LFS_SUFFIXES)
    etag = hashlib.sha256(content).hexdigest() if lfs else _blob_id(content)
    headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if lfs:
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("range", ""))
    if not wanted:
        return _Answer(200, content, headers)
    start, end = int(wanted.group(1)), min(int(wanted.group(2) or len(content) - 1), len(content) - 1)
    headers |= {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
    return _Answer(206, content[start : end + 1], headers)


def _lfs_batch(call: _Call) -> _Answer:
    call.repo(write=True)
    objects = []
    for asked in call.json()["objects"]:
        described = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] not in call.hub._blobs:
            call.hub._offered.add(asked["oid"])
            described["actions"] = {
                "upload": {"href": f"{call.hub.url}/lfs-store/{asked['oid']}"},
                "verify": {"href": f"{call.hub.url}/lfs-verify/{asked['oid']}"},
            }
        objects.append(described)
    return _Answer(200, {"transfer": "basic", "objects": objects})


def _lfs_put(call: _Call) -> _Answer:
    oid = call.named["oid"]
    if oid not in call.hub._offered:  # the address is what gives the right to write to it, as with a signed one
        raise _Refused(403, None, "this address was not handed out")
    if hashlib.sha256(call.body).hexdigest() != oid:
        raise _Refused(400, None, "the content has another hash than its address")
    call.hub._blobs[oid] = call.body
    return _Answer(200, b"")


def _lfs_verify(call: _Call) -> _Answer:
    if call.token is None:
        raise _Refused(401, None, "Invalid username or password.")
    stored = call.hub._blobs.get(call.json()["oid"])
    if stored is None or len(stored) != call.json()["size"]:
        raise _Refused(404, None, "the object is not there, or has another size")
    return _Answer(200, {})


_ROUTES: list[tuple[str, str, Callable[[_Call], _Answer]]] = [
    ("GET", "/api/whoami-v2", _whoami),
    ("GET", "/api/jobs/hardware", _job_hardware),
    ("POST", "/api/validate-yaml", _validate_yaml),
    ("POST", "/api/repos/create", _create),
    ("DELETE", "/api/repos/delete", _delete),
    ("PUT", rf"{_REPO}/settings", _settings),
    ("POST", rf"{_REPO}/preupload/main", _preupload),
    ("POST", rf"{_REPO}/commit/main", _commit),
    ("GET", rf"{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", _tree),
    ("POST", rf"{_REPO}/paths-info/(?P<revision>[^/]+)", _paths_info),
    ("GET", rf"{_REPO}/refs", _refs),
    ("GET", rf"{_REPO}/commits/(?P<revision>[^/]+)", _commits),
    ("GET", rf"{_REPO}(?:/revision/(?P<revision>.+))?", _info),
    ("GET", rf"{_PREFIX}{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _resolve),
    ("POST", rf"{_PREFIX}{_ID}\.git/info/lfs/objects/batch", _lfs_batch),
    ("PUT", r"/lfs-store/(?P<oid>[0-9a-f]{64})", _lfs_put),
    ("POST", r"/lfs-verify/[0-9a-f]{64}", _lfs_verify),
]


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _commit_of(repo: Repo, summary: str, files: Mapping[str, bytes]) -> Commit:
    parts = [f"{path} {_blob_id(content)}" for path, content in sorted(files.items())]
    sha = hashlib.sha1("\n".join([repo.type, repo.id, str(len(repo.commits)), *parts]).encode()).hexdigest()
    return Commit(sha, summary, dict(files))


def _handler_of(hub: HubDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = hub.answer(self.command, self.path, headers, self._body(headers))
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, quote(value, safe=" !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"))
            kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

        def _body(self, headers: Mapping[str, str]) -> bytes:
            if headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(headers.get("content-length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: the log is in `requests`."""

    return Handler
