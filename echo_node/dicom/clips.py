"""From a stored object to a :class:`Clip`: header first, then only the frames that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.uid import UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from echo_node.codes import ImageMode, Reason
from echo_node.dicom import frames, pixels, sector, timing, video
from echo_node.dicom import regions as region_items
from echo_node.dicom.body import read_body
from echo_node.dicom.elements import Buffer, Elements, open_elements
from echo_node.dicom.header import is_uid
from echo_node.dicom.palette import read_palette
from echo_node.dicom.regions import Region
from echo_node.errors import ClipError
from echo_node.records import Body, Clip

ULTRASOUND_IMAGES = frozenset(
    (
        str(UltrasoundImageStorage),
        str(UltrasoundMultiFrameImageStorage),
        "1.2.840.10008.5.1.4.1.1.3",  # US Multi-frame, retired
        "1.2.840.10008.5.1.4.1.1.6",  # US, retired
    )
)
_LOOKED_AT = 6  # frames for finding the sector
MOST_PIXELS = 2 << 30  # that are read at once: 600 frames of full HD are 1.2 billion
_PHOTOMETRIC = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422",
     "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLimits:
    """What a believable clip stays below."""

    frames: int = 20_000
    side: int = 4096  # pixels


@dataclass(frozen=True, kw_only=True)
class ClipFile:
    """An object whose header has been read and found good. Its pixels are read on demand."""

    path: Path
    SOPClassUID: str
    SOPInstanceUID: str
    StudyInstanceUID: str
    NumberOfFrames: int
    coding: pixels.Coding
    times_ms: npt.NDArray[np.float64] | None
    regions: tuple[Region, ...]
    body: Body

    @property
    def stated_mode(self) -> ImageMode | None:
        """The image mode that the regions state; None where they state none."""
        return region_items.mode(self.regions)

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """Height and width of a pixel; None unless the 2D region fits the picture."""
        region = self._region
        return None if region is None else region.spacing_mm

    def read(self, indices: Sequence[int] | None = None) -> Clip:
        """Decode some frames, or all, to grey inside the sector and 0 outside.

        Parameters
        ----------
        indices : sequence of int, optional
            Counted from 0.

        Raises
        ------
        ClipError
            With the coded reason.
        """
        chosen = list(range(self.NumberOfFrames)) if indices is None else list(indices)
        if len(chosen) * self.coding.Rows * self.coding.Columns > MOST_PIXELS:
            raise ClipError(
                Reason.IMPOSSIBLE_SIZE,
                f"{len(chosen)} frames of {self.coding.Rows} x {self.coding.Columns} do not fit into memory",
            )
        mode, mask = self._seen
        keep = mask & ~self._overlay if mode is ImageMode.TWO_D else mask
        return self._clip(chosen, keep=keep, sector=mask, mode=mode)

    def read_whole(self, indices: Sequence[int]) -> Clip:
        """Decode a few frames for people to look at, where a clip has no sector to be read by.

        Its ``sector`` is the whole picture, what the cart wrote on it included; its mode is the stated one, or
        2D where none is stated. The same errors as :meth:`colours`.
        """
        whole = np.ones((self.coding.Rows, self.coding.Columns), np.bool_)
        return self._clip(indices, keep=whole, sector=whole, mode=self.stated_mode or ImageMode.TWO_D)

    @property
    def sector(self) -> npt.NDArray[np.bool_]:
        """Where there is ultrasound [H,W]; the same errors as :meth:`read`."""
        return self._seen[1]

    def colours(self, indices: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Decode frames one after the other as their maker shows them.

        Parameters
        ----------
        indices : sequence of int
            Counted from 0, ascending.

        Yields
        ------
        u8 [H,W,3]
            RGB, text and overlays included.

        Raises
        ------
        ClipError
            With the coded reason.
        """
        coding = self.coding
        with open_elements(self.path) as elements:
            element = elements.pixel_data
            assert element is not None
            if coding.TransferSyntaxUID in video.VIDEO:
                stream = frames.whole_stream(elements.buffer, element)
                for _, picture in video.each(stream, indices, rows=coding.Rows, cols=coding.Columns):
                    yield picture
                return
            index = _index(elements.buffer, elements, coding, frames_=self.NumberOfFrames)
            for i in indices:
                yield pixels.colour(index.read(elements.buffer, i), coding)

    def _clip(
        self,
        indices: Sequence[int],
        *,
        keep: npt.NDArray[np.bool_],
        sector: npt.NDArray[np.bool_],
        mode: ImageMode,
    ) -> Clip:
        """Some frames, black outside of what is kept [H,W]."""
        with open_elements(self.path) as elements:
            grey = self._decode(elements, indices, in_colour=False)
        return Clip(
            SOPInstanceUID=self.SOPInstanceUID,
            frames=np.where(keep, grey, np.uint8(0)),
            frame_numbers=tuple(index + 1 for index in indices),
            times_ms=None if self.times_ms is None else self.times_ms[list(indices)],
            spacing_mm=self.spacing_mm,
            sector=sector,
            mode=mode,
            NumberOfFrames=self.NumberOfFrames,
        )

    @property
    def _region(self) -> Region | None:
        region = region_items.two_d(self.regions)
        return region if region is not None and region.fits(self.coding.Rows, self.coding.Columns) else None

    @cached_property
    def _looked_at(self) -> npt.NDArray[np.uint8]:
        """A few frames in colour [t,H,W,3]."""
        count = min(_LOOKED_AT, self.NumberOfFrames)
        indices = sorted(set(np.linspace(0, self.NumberOfFrames - 1, count).astype(int).tolist()))
        with open_elements(self.path) as elements:
            return self._decode(elements, indices, in_colour=True)

    @cached_property
    def _coloured(self) -> npt.NDArray[np.bool_]:
        """Coloured pixels of each frame looked at [t,H,W]."""
        return np.stack([sector.coloured(frame) for frame in self._looked_at])

    @cached_property
    def _overlay(self) -> npt.NDArray[np.bool_]:
        """Pixels that are coloured on any frame looked at [H,W]."""
        return np.asarray(self._coloured.any(axis=0), np.bool_)

    @cached_property
    def _seen(self) -> tuple[ImageMode, npt.NDArray[np.bool_]]:
        """The mode and the sector [H,W], from the regions and a few frames."""
        stated = self.stated_mode
        if stated not in (None, ImageMode.TWO_D, ImageMode.COLOUR_FLOW):
            raise ClipError(Reason.NOT_TWO_D, stated.code.meaning)  # a strip over time has no sector
        looked = self._looked_at
        nothing = np.zeros(looked.shape[1:3], np.bool_)
        whole = sector.find(sector.brightest(looked), nothing, self._region)
        if stated is ImageMode.COLOUR_FLOW or any(sector.has_colour_box(c, whole) for c in self._coloured):
            return ImageMode.COLOUR_FLOW, whole
        return ImageMode.TWO_D, sector.find(sector.darkest(looked), self._overlay, self._region)

    def _decode(self, elements: Elements, indices: Sequence[int], *, in_colour: bool) -> npt.NDArray[np.uint8]:
        """Frames [T,H,W], or [T,H,W,3] in colour."""
        coding, element = self.coding, elements.pixel_data
        assert element is not None
        if coding.TransferSyntaxUID in video.VIDEO:
            stream = frames.whole_stream(elements.buffer, element)
            keep = np.asarray if in_colour else pixels.luma
            decoded = video.frames(stream, indices, rows=coding.Rows, cols=coding.Columns, keep=keep)
            return np.stack([decoded[index] for index in indices])
        index = _index(elements.buffer, elements, coding, frames_=self.NumberOfFrames)
        decode = pixels.colour if in_colour else pixels.grey
        return np.stack([decode(index.read(elements.buffer, i), coding) for i in indices])


def open_clip(path: Path, *, limits: ClipLimits | None = None) -> ClipFile:
    """Read an object's header as a clip.

    Parameters
    ----------
    path : Path
        A Part 10 file.
    limits : ClipLimits, optional
        What is refused as impossible.

    Raises
    ------
    ClipError
        With the coded reason: not an image, truncated, unknown coding, impossible size, missing UID.
    """
    with open_elements(path) as elements:
        clip = _clip(path, elements, limits or ClipLimits())
        if clip.coding.TransferSyntaxUID not in video.VIDEO:
            _index(elements.buffer, elements, clip.coding, frames_=clip.NumberOfFrames)
        return clip


def is_readable(TransferSyntaxUID: str) -> bool:
    """Can frames of this transfer syntax be read?"""
    return pixels.is_supported(TransferSyntaxUID) or TransferSyntaxUID in video.VIDEO


def _clip(path: Path, elements: Elements, limits: ClipLimits) -> ClipFile:
    kind = elements.text("SOPClassUID")
    if kind not in ULTRASOUND_IMAGES or elements.pixel_data is None:
        raise ClipError(Reason.NOT_AN_IMAGE, f"SOP Class {kind or 'is missing'}" if kind else "no SOP Class")
    uids = {name: elements.text(name) for name in ("SOPInstanceUID", "StudyInstanceUID")}
    for name, uid in uids.items():
        if not is_uid(uid):
            raise ClipError(Reason.MISSING_UID, f"{name} is missing or no UID")
    count = elements.integer("NumberOfFrames", 1)
    if not 1 <= count <= limits.frames:
        raise ClipError(Reason.IMPOSSIBLE_SIZE, f"NumberOfFrames is {count}; 1 to {limits.frames} are taken")
    return ClipFile(
        path=path,
        SOPClassUID=kind,
        **uids,
        NumberOfFrames=count,
        coding=_coding(elements, limits),
        times_ms=timing.frame_times(elements, count),
        regions=region_items.parse(elements.sequence("SequenceOfUltrasoundRegions")),
        body=read_body(elements),
    )


def _coding(elements: Elements, limits: ClipLimits) -> pixels.Coding:
    syntax = elements.TransferSyntaxUID
    if not is_readable(syntax):
        raise ClipError(Reason.UNKNOWN_CODING, f"transfer syntax {syntax}")
    coding = pixels.Coding(
        TransferSyntaxUID=syntax,
        PhotometricInterpretation=elements.text("PhotometricInterpretation"),
        SamplesPerPixel=elements.integer("SamplesPerPixel", 1),
        Rows=elements.integer("Rows", 0),
        Columns=elements.integer("Columns", 0),
        BitsAllocated=elements.integer("BitsAllocated", 8),
        BitsStored=elements.integer("BitsStored", 8),
        PlanarConfiguration=elements.integer("PlanarConfiguration", 0),
        byte_order=elements.byte_order,
        has_swapped_bytes=elements.has_swapped_bytes,
        palette=None,
        palette_first=0,
    )
    if not (1 < coding.Rows <= limits.side and 1 < coding.Columns <= limits.side):
        raise ClipError(
            Reason.IMPOSSIBLE_SIZE, f"{coding.Rows} x {coding.Columns} pixels; {limits.side} a side are taken"
        )
    is_known = coding.PhotometricInterpretation in _PHOTOMETRIC and coding.BitsAllocated in (8, 16)
    if not is_known or coding.SamplesPerPixel not in (1, 3):
        raise ClipError(
            Reason.UNKNOWN_CODING,
            f"{coding.SamplesPerPixel} samples of {coding.BitsAllocated} bits, photometric unknown",
        )
    return read_palette(elements, coding) if coding.PhotometricInterpretation == "PALETTE COLOR" else coding


def _index(buffer: Buffer, elements: Elements, coding: pixels.Coding, *, frames_: int) -> frames.FrameIndex:
    element = elements.pixel_data
    assert element is not None
    if coding.TransferSyntaxUID in pixels.NATIVE:
        return frames.native(element, len(buffer), frames=frames_, frame_bytes=coding.frame_bytes)
    return frames.encapsulated(buffer, element, frames=frames_)
