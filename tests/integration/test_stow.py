"""STOW-RS against Orthanc, and against servers that answer in every way that they may."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from email.message import Message

import pytest

from echo_node.dicom import stow
from echo_node.errors import ClassRefused, DeliveryRefused, DeliveryUnreachable, ProcessingFailed
from tests.integration.test_receive import small
from tests.peers import free_port, orthanc

UID = "1.2.3.4"


class Server:
    """An HTTP server that gives the answer it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[Message, bytes]] = []
        self.status, self.kind, self.content = 200, "application/dicom+json", b""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.requests.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(server.status)
                self.send_header("Content-Type", server.kind)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/dicom-web/"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def answer(self, status: int, *, stored: str = "", failed: str = "", reason: int = 0, warning: int = 0) -> None:
        module = {}
        if stored:
            module["00081199"] = _sequence(stored, "00081196", warning)
        if failed:
            module["00081198"] = _sequence(failed, "00081197", reason)
        self.status, self.content = status, json.dumps(module).encode()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _sequence(uid: str, tag: str, code: int) -> dict:
    item: dict[str, dict] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if code:
        item[tag] = {"vr": "US", "Value": [code]}
    return {"vr": "SQ", "Value": [item]}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.mark.peer("Orthanc")
def test_orthanc_gives_back_the_very_bytes(tmp_path, result_files):
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"node": "s\u00e9cret"}}
    with orthanc(tmp_path, **users) as archive:
        (tmp_path / "password").write_text("s\u00e9cret\n", encoding="utf-8")
        to = stow.Service(url=f"{archive.url}/dicom-web", user="node", password_file=tmp_path / "password")
        assert stow.send(result_files, to=to) == [None, None]
        assert stow.send(result_files, to=to) == [None, None]  # what it has already it has
        basic = base64.b64encode("node:s\u00e9cret".encode()).decode()
        names = json.loads(archive.get("/instances", authorization=f"Basic {basic}"))
        kept = {archive.get(f"/instances/{name}/file", authorization=f"Basic {basic}") for name in names}
        assert kept == {item.path.read_bytes() for item in result_files}
        (tmp_path / "password").write_text("another\n", encoding="utf-8")
        errors = stow.send(result_files, to=to)
        assert [type(error) for error in errors] == [DeliveryUnreachable] * 2  # a person mends that, not the object
        assert "401" in str(errors[0])


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (200, {"stored": UID}, None),
        (202, {"stored": UID, "warning": 0xB000}, None),
        (200, {"stored": "9.9"}, DeliveryUnreachable),
        (200, {}, DeliveryUnreachable),
        (202, {"failed": UID, "reason": 0xA900}, DeliveryRefused),
        (409, {"failed": UID, "reason": 0x0122}, ClassRefused),
        (409, {"failed": UID, "reason": 0xA700}, DeliveryUnreachable),
        (409, {"failed": UID, "reason": 0x0110}, ProcessingFailed),
        (409, {"failed": UID, "reason": 0x0124}, DeliveryUnreachable),
        (409, {"failed": UID, "reason": 0x0111}, None),
        (200, {"stored": "9.9", "failed": UID, "reason": 0xC000}, DeliveryRefused),
        (400, {}, DeliveryRefused),
        (413, {}, DeliveryRefused),
        (415, {}, DeliveryRefused),
        (403, {}, DeliveryUnreachable),
        (429, {}, DeliveryUnreachable),
        (500, {}, DeliveryUnreachable),
        (503, {"failed": UID, "reason": 0xA900}, DeliveryUnreachable),
    ],
)
def test_each_answer_is_judged_for_the_object(server, tmp_path, status, said, expected):
    server.answer(status, **said)
    (error,) = stow.send([small(tmp_path / "x.dcm", uid=UID)], to=stow.Service(url=server.url))
    assert type(error) is (expected or type(None))
    assert len(server.requests) == 1  # the outbox tries again, the client does not


@pytest.mark.parametrize("content", [b"[", b"[3]", b'"x"', b'{"00081199": {}}', b'{"zz": 1}'])
def test_an_answer_out_of_shape_is_no_success(server, tmp_path, content):
    server.content = content
    (error,) = stow.send([small(tmp_path / "x.dcm", uid=UID)], to=stow.Service(url=server.url))
    assert isinstance(error, DeliveryUnreachable)


def test_a_page_with_status_200_is_no_success(server, tmp_path):
    server.kind, server.content = "text/html", b"<p>Please log in</p>"
    (error,) = stow.send([small(tmp_path / "x.dcm", uid=UID)], to=stow.Service(url=server.url))
    assert "does not say that it has the object" in str(error)


def test_a_request_carries_the_bytes_the_token_and_the_port(server, tmp_path):
    (tmp_path / "token").write_text("abc.def\n", encoding="utf-8")
    item = small(tmp_path / "x.dcm", uid=UID, size=2 << 20)
    server.answer(200, stored=UID)
    assert stow.send([item], to=stow.Service(url=server.url, token_file=tmp_path / "token")) == [None]
    headers, body = server.requests[0]
    assert headers["Authorization"] == "Bearer abc.def"
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert item.path.read_bytes() in body


def test_nobody_there_is_asked_once_for_the_whole_batch(tmp_path):
    items = [small(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(3)]
    to = stow.Service(url=f"http://127.0.0.1:{free_port()}/dicom-web")
    errors = stow.send(items, to=to, connect_seconds=1)
    assert [type(error) for error in errors] == [DeliveryUnreachable] * 3
    assert len({id(error) for error in errors}) == 1


def test_a_lost_file_holds_no_other_back(server, tmp_path):
    lost, kept = (small(tmp_path / f"{n}.dcm", uid=f"1.2.{n}") for n in range(2))
    lost.path.unlink()
    server.answer(200, stored="1.2.1")
    first, second = stow.send([lost, kept], to=stow.Service(url=server.url))
    assert isinstance(first, DeliveryRefused)
    assert second is None


def test_missing_credentials_are_worth_another_try(tmp_path):
    to = stow.Service(url="http://127.0.0.1:1", token_file=tmp_path / "none")
    with pytest.raises(DeliveryUnreachable, match="token_file cannot be read"):
        stow.send([small(tmp_path / "x.dcm")], to=to)
