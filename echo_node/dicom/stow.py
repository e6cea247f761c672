"""Sending by STOW-RS (PS3.18 10.5). All that knows dicomweb-client."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from requests.auth import AuthBase, HTTPBasicAuth

from echo_node.dicom.recode import recoded
from echo_node.dicom.scu import Outgoing
from echo_node.dicom.statuses import DUPLICATE, OUT_OF_RESOURCES, PROCESSING_FAILURE, failure, may_be_of_the_syntax
from echo_node.errors import DeliveryError, DeliveryRefused, DeliveryUnreachable

_log = logging.getLogger(__name__)

_JSON = "application/dicom+json"
_NEVER_CHUNKED = 1 << 40  # bytes: with a length, so that servers without chunked requests take it too
# These say something of us or of the moment, nothing of the object: who we are, and when we ask.
_ABOUT_US = frozenset((401, 403, 407, 408, 425, 429))
_SERVER_ERRORS = range(500, 600)
# Failure reasons of Microsoft's DICOM service alone (its conformance statement, version 2): it has the object;
# it is writing it at this moment.
_OF_ONE_SERVICE = {45070: DUPLICATE, 45071: OUT_OF_RESOURCES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A DICOMweb service and how to be let in: by user and password, by a token, or as anybody."""

    url: str
    user: str | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None  # PEM of whom to believe; None: the bundle that certifi ships


def send(
    objects: Sequence[Outgoing],
    *,
    to: Service,
    connect_seconds: float = 10,
    response_seconds: float = 60,
) -> list[DeliveryError | None]:
    """Store objects, one request for each, as their bytes are.

    One request each bounds the memory, and keeps what a server says of one object apart from the others.

    Returns
    -------
    list
        None for each object that the server says it has, else the error.

    Raises
    ------
    DeliveryUnreachable
        A file of the credentials cannot be read: nothing was sent.
    """
    results: list[DeliveryError | None] = []
    with _session(to) as session:
        sender = _Sender(session, to, timeout=(connect_seconds, response_seconds))
        for item in objects:
            try:
                results.append(sender.store(item))
            except requests.RequestException as error:  # there is nobody: the rest need not wait for it too
                lost = DeliveryUnreachable(f"no answer from {to.url}: {type(error).__name__}")
                return results + [lost] * (len(objects) - len(results))
    return results


@contextmanager
def _session(to: Service) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # what is not in config.yaml counts for nothing: .netrc, proxies, bundles
        session.auth = _Identity(_credentials(to))
        if to.ca_file is not None:
            if not to.ca_file.is_file():
                raise DeliveryUnreachable("ca_file is not there")
            session.verify = str(to.ca_file)
        yield session


def _credentials(to: Service) -> AuthBase | None:
    if to.token_file is not None:
        return _Bearer(_secret(to.token_file, "token_file"))
    if to.user is not None and to.password_file is not None:
        return HTTPBasicAuth(to.user.encode(), _secret(to.password_file, "password_file").encode())
    return None


def _secret(path: Path, key: str) -> str:
    """A file's one line. It is read for every batch, so that a new one counts at once."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DeliveryUnreachable(f"{key} cannot be read: {type(error).__name__}") from error


class _Bearer(AuthBase):
    """A token (RFC 6750 2.1)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Identity(AuthBase):
    """Credentials, and a Host header with its port, which dicomweb-client leaves out (RFC 9110 7.2)."""

    def __init__(self, credentials: AuthBase | None) -> None:
        self._credentials = credentials

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Host", None)  # the connection sets the right one
        return request if self._credentials is None else self._credentials(request)


class _Sender:
    """dicomweb-client, and the answer to its latest request."""

    def __init__(self, session: requests.Session, to: Service, *, timeout: tuple[float, float]) -> None:
        self._answers: list[requests.Response] = []
        self._client = DICOMwebClient(
            to.url.rstrip("/"),
            session=session,
            headers={"Accept": _JSON},
            callback=self._remember,
            chunk_size=_NEVER_CHUNKED,
            timeout=timeout,
        )
        self._client.set_http_retry_params(retry=False)  # the outbox tries again

    def _remember(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        self._answers.append(answer)

    def store(self, item: Outgoing) -> DeliveryError | None:
        """Store one object.

        Raises
        ------
        requests.RequestException
            There was no answer.
        """
        first = self._store_as(item, item.preferred)
        if item.preferred is None or not may_be_of_the_syntax(first):
            return first
        syntax = UID(item.preferred).name
        _log.warning("%s in %s: %s; sent uncompressed", item.SOPInstanceUID, syntax, first)
        return self._store_as(item, None)

    def _store_as(self, item: Outgoing, preferred: str | None) -> DeliveryError | None:
        """Store one object in a transfer syntax, None for its own."""
        try:
            ds = dcmread(item.path) if preferred is None else recoded(item.path, preferred)
        except OSError as error:
            return DeliveryRefused(f"its file cannot be read: {error.strerror}")
        except InvalidDicomError:
            return DeliveryRefused("its file is damaged")
        return self._send(ds)

    def _send(self, ds: Dataset) -> DeliveryError | None:
        self._answers.clear()
        # What the client makes of an error or of an answer out of shape is read below, with more patience.
        with suppress(requests.HTTPError, ValueError, LookupError, TypeError, AttributeError):
            self._client.store_instances([ds])
        if not self._answers:
            return DeliveryUnreachable("STOW-RS: no answer")
        answer = self._answers[-1]
        return judged(answer.status_code, _module(answer), ds.SOPInstanceUID)


def _module(answer: requests.Response) -> Dataset:
    """The Store Instances Response Module (PS3.18 table I.1-1); empty where there is none."""
    if answer.headers.get("Content-Type", "").split(";")[0].strip() not in (_JSON, "application/json"):
        return Dataset()
    try:
        content = answer.json()
        return Dataset.from_json(content[0] if isinstance(content, list) else content)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Dataset()


def judged(status: int, module: Dataset, SOPInstanceUID: str) -> DeliveryError | None:
    """What an answer means for one object (PS3.18 10.5.3).

    Only an answer that names the object as stored is success: a login page has status 200 too.

    Parameters
    ----------
    status : int
        HTTP's.
    module : Dataset
        Store Instances Response Module, or an empty dataset.
    SOPInstanceUID : str
        The object's.
    """
    failed = _item(module, "FailedSOPSequence", SOPInstanceUID)
    if failed is not None:
        reason = int(failed.get("FailureReason") or PROCESSING_FAILURE)
        meant = _OF_ONE_SERVICE.get(reason, reason)
        error = failure(meant, f"STOW-RS answered {status}, failure reason {reason:04X}")
        is_refusal = isinstance(error, DeliveryRefused)
        return DeliveryUnreachable(str(error)) if is_refusal and status in _SERVER_ERRORS else error
    if status in _SERVER_ERRORS or status in _ABOUT_US:
        return DeliveryUnreachable(f"STOW-RS answered {status}")
    if 400 <= status < 500:
        return DeliveryRefused(f"STOW-RS answered {status}")
    stored = _item(module, "ReferencedSOPSequence", SOPInstanceUID)
    if stored is None:
        return DeliveryUnreachable(f"STOW-RS answered {status} and does not say that it has the object")
    if stored.get("WarningReason"):
        _log.warning("%s is stored with warning %04X", SOPInstanceUID, int(stored.WarningReason))
    return None


def _item(module: Dataset, keyword: str, SOPInstanceUID: str) -> Dataset | None:
    items = module.get(keyword) or ()
    return next((i for i in items if i.get("ReferencedSOPInstanceUID") == SOPInstanceUID), None)
