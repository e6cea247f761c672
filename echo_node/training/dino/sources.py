"""Where pictures for pretraining come from: phantoms, trees of DICOM files and videos, or shards of pictures.

A source hands out one picture for a random stream, so that the same stream gives the same picture whoever
asks: any number of workers, processes and restarts see the same data. With it come a few more frames of its clip,
where there are any: they tell what moves.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import array_api_compat.torch as torch_namespace
import cv2
import numpy as np
import numpy.typing as npt
import torch

from echo_node.dicom.clips import open_clip
from echo_node.errors import ClipError, EchoNodeError, LabelError
from echo_node.evaluation.frames import seen_clip
from echo_node.evaluation.videos import VIDEO_SUFFIXES, read_video
from echo_node.inference.preprocess import Letterbox
from echo_node.phantom import sample_patient
from echo_node.records import Clip
from echo_node.training import data

_log = logging.getLogger(__name__)

Frames = npt.NDArray[np.uint8]
_PICTURES = (".png", ".jpg", ".jpeg")
_TRIES = 50  # unreadable files in a row
_OPEN_SHARDS = 64
_FRAMES = 4  # of a clip: the picture and those beside it
_CLIPS_OF_A_SHARD = 1 << 32  # more than any holds
_NUMBERS = 1 << 62


class Picture(NamedTuple):
    """A grey picture and others of its clip, each a sector's box in a square."""

    frames: Frames  # u8 [T,s,s], the picture first
    clip: int  # the clip's number in its source: pictures of one clip are no contrast


class Source(Protocol):
    """Pictures without labels."""

    pictures: str  # what they are, for the cards of engines that learned from them

    def draw(self, rng: np.random.Generator) -> Picture:
        """A random one."""
        ...


def open_source(folder: Path, *, size: int, index: Path) -> Source:
    """The source that a folder is: shards where it holds ``.tar`` files, else a tree of DICOM files and videos.

    Raises
    ------
    EchoNodeError
        It holds neither.
    """
    shards = sorted(folder.rglob("*.tar"))
    if shards:
        return TarSource(shards, size=size, index=index)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise EchoNodeError(f"{folder}: holds neither .tar shards nor clips")
    return ClipSource(files, size=size)


class PhantomSource:
    """Frames of rendered phantoms."""

    pictures = "simulated hearts"

    def __init__(self, clips: data.Clips) -> None:
        self._images = clips.images

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        number = int(rng.integers(len(self._images)))
        clip = self._images[number]
        return Picture(np.asarray(clip[rng.permutation(len(clip))[:_FRAMES]], np.uint8), number)


class FreshPhantoms:
    """Phantoms rendered as they are asked for, so that no two pictures are of one patient.

    On NumPy where no device is named, so that workers can share the work; else by torch on that device.
    """

    pictures = "simulated hearts, no two of one patient"

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        patient, view = sample_patient(rng), data.CYCLE[int(rng.integers(len(data.CYCLE)))]
        if self._device is None:
            clip = data.rendered(patient, view, rng=rng, frames=_FRAMES)
        else:
            with self._device, torch.no_grad():
                clip = data.rendered(patient, view, rng=rng, frames=_FRAMES, xp=torch_namespace)
        frames = np.asarray(clip["images"][rng.permutation(_FRAMES)], np.uint8)
        return Picture(frames, int(rng.integers(_NUMBERS)))


class ClipSource:
    """Random frames of the readable clips below a folder, DICOM, AVI or MP4; what is no clip is passed over."""

    pictures = "clips of its maker's own"

    def __init__(self, files: Sequence[Path], *, size: int) -> None:
        self._files, self._size = files, size

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        for _ in range(_TRIES):
            number = int(rng.integers(len(self._files)))
            clip = _some_frames(self._files[number], rng)
            if clip is not None:
                squares = Letterbox.around(clip.sector, self._size).apply(clip.frames)
                return Picture(np.asarray(squares[rng.permutation(len(squares))], np.uint8), number)
        raise EchoNodeError(f"{_TRIES} files in a row below {self._files[0].parent} are no readable clips")


def _some_frames(path: Path, rng: np.random.Generator) -> Clip | None:
    """Random frames of a clip, in order; None of what is no readable clip."""
    try:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            frames = read_video(path).frames
            picked = np.sort(rng.permutation(len(frames))[:_FRAMES])
            return seen_clip(frames[picked], uid=path.name, times_ms=None, spacing_mm=None)
        source = open_clip(path)
        return source.read(np.sort(rng.permutation(source.NumberOfFrames)[:_FRAMES]).tolist())
    except (ClipError, LabelError, OSError) as error:
        _log.debug("passed over: %s", error.reason.name if isinstance(error, ClipError) else type(error).__name__)
        return None


class TarSource:
    """Random clips of random shards, as WebDataset writes them: members of one key are frames of one clip."""

    pictures = "clips of its maker's own"

    def __init__(self, shards: Sequence[Path], *, size: int, index: Path) -> None:
        self._shards, self._size, self._index = shards, size, index

    def draw(self, rng: np.random.Generator) -> Picture:
        """See :class:`Source`."""
        for _ in range(_TRIES):
            number = int(rng.integers(len(self._shards)))
            shard = self._shards[number]
            try:
                frames, key = self._some_frames(shard, rng)
            except (OSError, tarfile.TarError, cv2.error) as error:
                _log.warning("shard %s: passed over: %s", shard.name, type(error).__name__)
                continue
            if frames:
                boxes = (Letterbox.around(np.ones(f.shape, np.bool_), self._size).apply(f[None])[0] for f in frames)
                return Picture(np.asarray(np.stack([*boxes]), np.uint8), number * _CLIPS_OF_A_SHARD + key)
        raise EchoNodeError(f"{_TRIES} draws in a row from {self._shards[0].parent} gave no picture")

    def _some_frames(self, shard: Path, rng: np.random.Generator) -> tuple[list[npt.NDArray[np.uint8]], int]:
        """Of one of its clips, and that clip's number in the shard."""
        members = _members(shard, self._index)  # [N,3]
        if not len(members):
            return [], 0
        _, _, key = members[int(rng.integers(len(members)))]
        first, last = np.searchsorted(members[:, 2], [key, key + 1])
        frames = []
        with shard.open("rb") as file:
            for row in first + rng.permutation(last - first)[:_FRAMES]:
                offset, size, _ = members[row]
                file.seek(int(offset))
                grey = cv2.imdecode(np.frombuffer(file.read(int(size)), np.uint8), cv2.IMREAD_GRAYSCALE)
                if grey is not None:
                    frames.append(np.asarray(grey, np.uint8))
        return frames, int(key)


@lru_cache(maxsize=_OPEN_SHARDS)
def _members(shard: Path, index: Path) -> npt.NDArray[np.int64]:
    """Where a shard's pictures lie [N,3]: offset and size in bytes, and the number of their clip, which grows.

    Found once, by walking the shard, and kept: an archive has more shards than are open at a time.
    """
    stamp = shard.stat()
    name = hashlib.sha256(f"{shard.resolve()} {stamp.st_size} {stamp.st_mtime_ns}".encode()).hexdigest()
    kept = index / f"{name[:32]}.npy"
    if kept.exists():
        return np.asarray(np.load(kept, allow_pickle=False), np.int64)
    with tarfile.open(shard) as archive:
        found = [
            (_key(member.name), member.offset_data, member.size)
            for member in archive
            if member.isfile() and member.size and member.name.lower().endswith(_PICTURES)
        ]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(key for key, _, _ in found))}
    rows = sorted((numbers[key], offset, size) for key, offset, size in found)
    members = np.array([(offset, size, number) for number, offset, size in rows], np.int64).reshape(-1, 3)
    index.mkdir(parents=True, exist_ok=True)
    half = kept.with_suffix(f".{os.getpid()}.npy")
    np.save(half, members, allow_pickle=False)
    half.replace(kept)
    return members


def _key(name: str) -> str:
    """Of a member, WebDataset's: its name up to the first dot."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"
