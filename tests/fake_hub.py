"""A Hub on 127.0.0.1: enough of its HTTP for huggingface_hub to fetch config.json and safetensors headers."""

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from typing import Any

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "I32": 4, "I64": 8}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Tensors = dict[str, tuple[str, list[int]]]


def header(tensors: Tensors) -> bytes:
    """A safetensors file up to where its data would begin."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape) in tensors.items():
        end = start + prod(shape) * BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


class FakeHub:
    """`repos`: files by repository and path; `refusals`: (status, X-Error-Code) by repository; `requests`: a log."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.repos: dict[str, dict[str, bytes]] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []

    def add(self, repo: str, config: Any, *shards: Tensors) -> str:
        """A repository with a config.json and, where shards are given, safetensors files in one or more pieces."""
        files = {"config.json": config if isinstance(config, bytes) else json.dumps(config).encode()}
        if len(shards) == 1:
            files["model.safetensors"] = header(shards[0])
        elif shards:
            names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
            files |= {name: header(shard) for name, shard in zip(names, shards, strict=True)}
            weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
            files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
        self.repos[repo] = files
        return repo

    def answer(self, path: str, wanted: str) -> tuple[int, str, bytes]:
        """Status, X-Error-Code and body for /org/name/resolve/main/FILE, whole or a range of bytes."""
        parts = path.strip("/").split("/")
        repo, name = "/".join(parts[:2]), "/".join(parts[4:])
        if repo in self.refusals:
            return (*self.refusals[repo], b"")
        if repo not in self.repos:
            return 401, "RepoNotFound", b""
        if name not in self.repos[repo]:
            return 404, "EntryNotFound", b""
        content = self.repos[repo][name]
        if not wanted:
            return 200, "", content
        first, last = wanted.removeprefix("bytes=").split("-")
        return 206, "", content[int(first) : int(last) + 1]


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("range", "")
            hub.requests.append(f"{self.command} {path} {wanted}".strip())
            status, code, body = hub.answer(path, wanted)
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hash(body):x}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serve() -> Iterator[FakeHub]:
    """A running fake Hub; it ends with the block."""
    hub = FakeHub("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
