"""Time to write a clip's masks as a SEG, against the plain ways to do it.

Run: ``python -m benchmarks.seg``. 60 frames, 3 segments, 600 x 800; medians over the repeats, all in one
run on the same masks. "pydicom" encodes each frame's functional groups as nested datasets and packs with
``pydicom.pixels.utils.pack_bits``; "highdicom" is its Segmentation class on the same number of single-frame
images in a frame of reference, for it cannot write the multi-frame clip itself (its issue 284).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from io import BytesIO

import highdicom
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmarks.timing import race
from echo_node.codes import ObjectKind, Structure
from echo_node.records import ClipAnalysis, Report, Segmentation
from echo_node.reports import build_seg
from echo_node.reports.frames import frame_group
from tests.unit.reports.builders import MADE_AT, clip, masks, segmentation, source

FRAMES, ROWS, COLUMNS = 60, 600, 800
STRUCTURES = (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LA)


def main() -> None:
    """Print the medians and what the ways agree on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    of = source(Rows=ROWS, Columns=COLUMNS, NumberOfFrames=FRAMES)
    analysis = clip(of, segmentations=_masks(of))
    made = build_seg(analysis, of, made_at=MADE_AT)
    assert made is not None
    images = _images()
    ways: dict[str, Callable[[], object]] = {
        "echo-node": lambda: build_seg(analysis, of, made_at=MADE_AT),
        "echo-node, label map": lambda: build_seg(analysis, of, made_at=MADE_AT, kind=ObjectKind.SEG_LABELMAP),
        "pydicom, item by item": lambda: plain(analysis, of, made),
        "highdicom, single-frame": lambda: with_highdicom(analysis, images),
    }
    assert plain(analysis, of, made) == made.content
    size = len(made.content) / 1e6
    print(f"{FRAMES} frames, {len(STRUCTURES)} segments, {ROWS} x {COLUMNS}: {size:.1f} MB")
    race(ways, repeats=repeats)


def plain(analysis: ClipAnalysis, of: Dataset, made: Report) -> bytes:
    """The same object, its frames written by pydicom alone."""
    ds = pydicom.dcmread(BytesIO(made.content), stop_before_pixels=True)
    ds.PerFrameFunctionalGroupsSequence = [
        frame_group(of, segment=number, position=frame, frame=frame)
        for number, segment in enumerate(analysis.segmentations, start=1)
        for frame in segment.frame_numbers
    ]
    ds.PixelData = pack_bits(np.concatenate([s.masks for s in analysis.segmentations]).astype(np.uint8))
    ds["PixelData"].VR = "OB"
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def with_highdicom(analysis: ClipAnalysis, images: Sequence[Dataset]) -> bytes:
    """As many masks over as many images by highdicom's own writer."""
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.structure.code.meaning,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.LeftVentricle,
            algorithm_type="AUTOMATIC",
            algorithm_identification=highdicom.AlgorithmIdentificationSequence(
                name="engine", version="1", family=codes.DCM.ArtificialIntelligence
            ),
        )
        for number, segment in enumerate(analysis.segmentations, start=1)
    ]
    seg = highdicom.seg.Segmentation(
        source_images=list(images),
        pixel_array=np.stack([s.masks for s in analysis.segmentations], axis=-1).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=described,
        series_instance_uid="1.2.3",
        series_number=1,
        sop_instance_uid="1.2.4",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )
    buffer = BytesIO()
    seg.save_as(buffer)
    return buffer.getvalue()


def _masks(of: Dataset) -> tuple[Segmentation, ...]:
    return tuple(
        segmentation(
            structure,
            uid=of.SOPInstanceUID,
            mask=masks(frames=FRAMES, rows=ROWS, columns=COLUMNS, at=0.3 + 0.2 * i),
        )
        for i, structure in enumerate(STRUCTURES)
    )


def _images() -> list[Dataset]:
    """Slices of a stack, which highdicom can segment."""
    images = []
    for number in range(1, FRAMES + 1):
        ds = source(uid=f"1.2.826.0.1.3680043.10.9.{number}", Rows=ROWS, Columns=COLUMNS, NumberOfFrames=None)
        ds.SOPClassUID = CTImageStorage
        ds.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.9"
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [0, 0, number]
        ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        images.append(ds)
    return images


if __name__ == "__main__":
    main()
