"""Where pictures for pretraining come from: phantoms, DICOM trees, or shards of pictures.

A source hands out one picture for a random stream, so that the same stream gives the same picture whoever
asks: any number of workers, processes and restarts see the same data.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.dicom.clips import open_clip
from echo_node.errors import ClipError, EchoNodeError
from echo_node.inference.preprocess import Letterbox
from echo_node.training import data

_log = logging.getLogger(__name__)

Picture = npt.NDArray[np.uint8]
_PICTURES = (".png", ".jpg", ".jpeg")
_TRIES = 50  # unreadable files in a row
_OPEN_SHARDS = 64


class Source(Protocol):
    """Pictures without labels."""

    def draw(self, rng: np.random.Generator) -> Picture:
        """One grey picture u8 [s,s]: a sector's box in a square."""
        ...


def open_source(folder: Path, *, size: int) -> Source:
    """The source that a folder is: shards where it holds ``.tar`` files, else a tree of DICOM files.

    Raises
    ------
    EchoNodeError
        It holds neither.
    """
    shards = sorted(folder.rglob("*.tar"))
    if shards:
        return TarSource(shards, size=size)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise EchoNodeError(f"{folder}: holds neither .tar shards nor DICOM files")
    return DicomSource(files, size=size)


class PhantomSource:
    """Frames of rendered phantoms."""

    def __init__(self, clips: data.Clips) -> None:
        self._images = clips.images

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        return np.asarray(
            self._images[rng.integers(len(self._images)), rng.integers(self._images.shape[1])], np.uint8
        )


class DicomSource:
    """Random frames of the readable clips below a folder; what is no clip is passed over."""

    def __init__(self, files: Sequence[Path], *, size: int) -> None:
        self._files, self._size = files, size

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        for _ in range(_TRIES):
            path = self._files[int(rng.integers(len(self._files)))]
            try:
                source = open_clip(path)
                clip = source.read([int(rng.integers(source.NumberOfFrames))])
            except ClipError as error:
                _log.debug("passed over: %s", error.reason.name)
                continue
            (square,) = Letterbox.around(clip.sector, self._size).apply(clip.frames)
            return np.asarray(square, np.uint8)
        raise EchoNodeError(f"{_TRIES} files in a row below {self._files[0].parent} are no readable clips")


class TarSource:
    """Random pictures (PNG, JPEG) of random shards, as WebDataset writes them."""

    def __init__(self, shards: Sequence[Path], *, size: int) -> None:
        self._shards, self._size = shards, size

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        for _ in range(_TRIES):
            shard = self._shards[int(rng.integers(len(self._shards)))]
            members = _members(shard)
            if not members:
                continue
            offset, size = members[int(rng.integers(len(members)))]
            with shard.open("rb") as file:
                file.seek(offset)
                coded = np.frombuffer(file.read(size), np.uint8)
            grey = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
            if grey is not None:
                whole = np.ones(grey.shape, np.bool_)
                (square,) = Letterbox.around(whole, self._size).apply(np.asarray(grey, np.uint8)[None])
                return np.asarray(square, np.uint8)
        raise EchoNodeError(f"{_TRIES} draws in a row from {self._shards[0].parent} gave no picture")


@lru_cache(maxsize=_OPEN_SHARDS)
def _members(shard: Path) -> list[tuple[int, int]]:
    """Where a shard's pictures lie: offset and size in bytes."""
    with tarfile.open(shard) as archive:
        return [
            (member.offset_data, member.size)
            for member in archive
            if member.isfile() and member.name.lower().endswith(_PICTURES)
        ]
