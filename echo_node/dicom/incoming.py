"""One object on its way in: straight from the network to a temporary file, hashed as it passes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from echo_node.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

PREAMBLE = b"\0" * 128 + b"DICM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedObject:
    """A whole object in a temporary file, fsynced, before its sender has an answer."""

    SOPClassUID: str
    SOPInstanceUID: str
    TransferSyntaxUID: str
    path: Path
    sha256: str  # of the dataset
    size: int  # bytes, the whole file
    calling_ae: str
    peer_host: str


class TooLarge(Exception):
    """The object is over the limit."""


class IncomingObject:
    """A temporary file that grows with every fragment.

    Parameters
    ----------
    folder : Path
        On the file system of the spool.
    SOPClassUID, SOPInstanceUID, TransferSyntaxUID : str
        From the command and the presentation context; the dataset's bytes stay as they were sent.
    calling_ae, peer_host : str
        The sender.
    limit : int
        Bytes of the dataset.
    """

    def __init__(
        self,
        folder: Path,
        *,
        SOPClassUID: str,
        SOPInstanceUID: str,
        TransferSyntaxUID: str,
        calling_ae: str,
        peer_host: str,
        limit: int,
    ) -> None:
        self.SOPClassUID, self.SOPInstanceUID = SOPClassUID, SOPInstanceUID
        self.TransferSyntaxUID = TransferSyntaxUID
        self._calling_ae, self._peer_host, self._limit = calling_ae, peer_host, limit
        self._digest = hashlib.sha256()
        self._length = 0
        handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
        self._path = Path(name)
        self._file: BinaryIO = os.fdopen(handle, "wb", buffering=0)
        self._head = PREAMBLE + self._meta()
        try:
            self._write(memoryview(self._head))
        except OSError:
            self.discard()
            raise

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment of the dataset.

        Raises
        ------
        TooLarge
            It is more than the limit.
        OSError
            The disk does not take it.
        """
        self._length += len(fragment)
        if self._length > self._limit:
            raise TooLarge(f"more than {self._limit >> 20} MiB")
        self._digest.update(fragment)
        self._write(fragment)

    def finish(self) -> ReceivedObject:
        """Put it on the disk for good; after a failed fsync the file is worth nothing."""
        os.fsync(self._file.fileno())
        self._file.close()
        return ReceivedObject(
            SOPClassUID=self.SOPClassUID,
            SOPInstanceUID=self.SOPInstanceUID,
            TransferSyntaxUID=self.TransferSyntaxUID,
            path=self._path,
            sha256=self._digest.hexdigest(),
            size=len(self._head) + self._length,
            calling_ae=self._calling_ae,
            peer_host=self._peer_host,
        )

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, content: memoryview) -> None:
        written = 0
        while written < len(content):
            written += self._file.write(content[written:])

    def _meta(self) -> bytes:
        """File Meta Information (PS3.10 7.1)."""
        meta = FileMetaDataset()
        meta.FileMetaInformationVersion = b"\x00\x01"
        meta.MediaStorageSOPClassUID = UID(self.SOPClassUID)
        meta.MediaStorageSOPInstanceUID = UID(self.SOPInstanceUID)
        meta.TransferSyntaxUID = UID(self.TransferSyntaxUID)
        meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
        meta.ImplementationVersionName = IMPLEMENTATION_NAME
        meta.SourceApplicationEntityTitle = self._calling_ae
        buffer = DicomBytesIO()
        write_file_meta_info(buffer, meta, enforce_standard=True)
        return buffer.getvalue()
