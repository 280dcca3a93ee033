"""Both servers, each started once and stopped by its own process id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

ENVIRONMENT = REPOSITORY / ".venv-label"
PYTHON = ENVIRONMENT / "bin" / "python"
STOCK_APP = ENVIRONMENT / "monailabel" / "sample-apps" / "monaibundle"


@dataclass
class Response:
    """What the server answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Server:
    """A running server.

    Args:
        address: without a slash at its end.
        model: the packed bundle's name.
        bundle: the folder of the bundle that it serves.
        studies: the folder of its images.
    """

    address: str
    model: str
    bundle: Path
    studies: Path

    def ask(
        self, path: str, method: str = "GET", content: Any = None, timeout: float = 300, **parts: str | Path
    ) -> Response:
        """Send JSON content, or the parts of a form (paths are files), and return the response whatever its status."""
        headers, data = {}, None
        if parts:
            boundary = uuid.uuid4().hex
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
            data = b"".join(_part(boundary, name, value) for name, value in parts.items())
            data += f"--{boundary}--\r\n".encode()
        elif content is not None:
            headers["Content-Type"], data = "application/json", json.dumps(content).encode()
        request = urllib.request.Request(self.address + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Response(response.status, response.read())
        except urllib.error.HTTPError as refused:
            return Response(refused.code, refused.read())

    def infer(self, file: Path, output: str, model: str | None = None, **parts: str | Path) -> Response:
        """Upload an image and return its predictions (``json``) or its mask (``image``)."""
        return self.ask(f"/infer/{model or self.model}?output={output}", "POST", file=file, **parts)


def _part(boundary: str, name: str, value: str | Path) -> bytes:
    is_file = isinstance(value, Path)
    kind = f'; filename="{value.name}"\r\nContent-Type: application/octet-stream' if isinstance(value, Path) else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{kind}\r\n\r\n'
    return head.encode() + (Path(value).read_bytes() if is_file else str(value).encode()) + b"\r\n"


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _serve(command: list[str], port: int, bundle: Path, studies: Path, log: Path) -> Iterator[Server]:
    temporary = log.with_name("temporary")
    temporary.mkdir(exist_ok=True)
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}
    settings["TMPDIR"] = str(temporary)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(PYTHON), "-m", *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=REPOSITORY,
            env=settings,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", bundle.name, bundle, studies)
        for _ in range(240):
            assert process.poll() is None, f"the server ended:\n{log.read_text(errors='replace')[-3000:]}"
            try:
                if server.ask("/info/", timeout=5).status == 200:
                    break
            except OSError:
                time.sleep(0.5)
        yield server
        assert process.poll() is None, f"the server ended:\n{log.read_text(errors='replace')[-3000:]}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            assert not list(temporary.glob("brain-tumour-label-*")), "the app's folder was left behind"


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    if not PYTHON.is_file():
        pytest.fail("no MONAI Label environment: make test-label makes it")


def _place(root: Path, packed_bundle: Path, one_slice: dict[str, Path]) -> tuple[Path, Path]:
    bundle = Path(shutil.copytree(packed_bundle, root / "model" / packed_bundle.name))
    studies = root / "studies"
    studies.mkdir()
    for form, path in one_slice.items():
        shutil.copy(path, studies / (form + "".join(path.suffixes)))
    for name in ("labelled_1", "labelled_2"):
        shutil.copy(one_slice["png"], studies / f"{name}.png")
    return bundle, studies


@pytest.fixture(scope="session")
def stock(
    packed_bundle: Path, one_slice: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """MONAI Label's own app for bundles."""
    root = Path(shutil.copytree(STOCK_APP, tmp_path_factory.mktemp("stock") / "app"))
    bundle, studies = _place(root, packed_bundle, one_slice)
    place = ["--app", str(root), "--studies", str(studies)]
    conf = ["--conf", "models", bundle.name, "--conf", "zoo_source", "ngc", "--conf", "sam2", "false"]
    command = ["monailabel.main", "start_server", *place, *conf]
    yield from _serve(command, _free_port(), bundle, studies, root.parent / "server.log")
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def own(packed_bundle: Path, one_slice: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """This project's app."""
    root = tmp_path_factory.mktemp("own")
    bundle, studies = _place(root, packed_bundle, one_slice)
    command = ["monai_bundle.label_app", "--studies", str(studies), "--bundle", str(bundle)]
    yield from _serve(command, _free_port(), bundle, studies, root / "server.log")
    shutil.rmtree(root)
