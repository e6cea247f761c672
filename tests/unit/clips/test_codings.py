"""Every coding of pixels that carts use, against the picture that went in."""

import imagecodecs
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, UltrasoundMultiFrameImageStorage

from echo_node.codes import ImageMode, Reason
from echo_node.dicom.clips import MOST_PIXELS, ClipLimits, open_clip
from echo_node.dicom.frames import MOST_FRAGMENTS
from echo_node.dicom.sector import coloured, has_colour_box
from echo_node.errors import ClipError

ROWS, COLS, FRAMES = 96, 128, 5
LUMA = np.array([0.299, 0.587, 0.114])


def movie(seed=1) -> np.ndarray:
    """Speckle that changes, inside a bright box: u8 [T,H,W]."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((FRAMES, ROWS, COLS), np.uint8)
    frames[:, 10:86, 16:112] = rng.integers(40, 200, (FRAMES, 76, 96))
    return frames


def ybr(rgb: np.ndarray) -> np.ndarray:
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return (
        np.stack([y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402], axis=-1).round().clip(0, 255).astype(np.uint8)
    )


def dataset(syntax: str, photometric: str, samples: int, pixels: bytes | list[bytes], **changes) -> pydicom.Dataset:
    ds = pydicom.Dataset()
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.4", "1.2.5"
    ds.Rows, ds.Columns, ds.NumberOfFrames = ROWS, COLS, FRAMES
    ds.SamplesPerPixel, ds.PhotometricInterpretation = samples, photometric
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.FrameTime = "20"
    is_compressed = isinstance(pixels, list)
    ds.PixelData = encapsulate(pixels) if isinstance(pixels, list) else pixels
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = is_compressed
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, UID("1.2.3")
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    return ds


def written(tmp_path, ds):
    path = tmp_path / "x.dcm"
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


GREY = movie()
RGB = np.repeat(GREY[..., None], 3, axis=3)
YBR = ybr(RGB)
PALETTE = np.random.default_rng(2).permutation(256).astype(np.uint16)
PLANES = [f.transpose(2, 0, 1).copy() for f in RGB]


def packed_422() -> bytes:
    out = np.empty((FRAMES, ROWS, COLS // 2, 4), np.uint8)
    out[..., 0], out[..., 1] = YBR[:, :, 0::2, 0], YBR[:, :, 1::2, 0]
    out[..., 2], out[..., 3] = YBR[:, :, 0::2, 1], YBR[:, :, 0::2, 2]
    return out.tobytes()


def palette() -> dict:
    inverse = np.argsort(PALETTE).astype(np.uint8)
    tables: dict = {}
    for name in ("Red", "Green", "Blue"):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = (PALETTE << 8).astype("<u2").tobytes()
    return {"pixels": inverse[GREY].tobytes(), **tables}


J = "1.2.840.10008.1.2"
LOSSLESS = {
    "raw MONOCHROME2": lambda: dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes()),
    "raw MONOCHROME1": lambda: dataset(f"{J}.1", "MONOCHROME1", 1, (255 - GREY).tobytes()),
    "implicit": lambda: dataset(J, "MONOCHROME2", 1, GREY.tobytes()),
    "deflated": lambda: dataset(f"{J}.1.99", "MONOCHROME2", 1, GREY.tobytes()),
    "raw RGB": lambda: dataset(f"{J}.1", "RGB", 3, RGB.tobytes()),
    "planar RGB": lambda: dataset(f"{J}.1", "RGB", 3, np.stack(PLANES).tobytes(), PlanarConfiguration=1),
    "raw YBR_FULL": lambda: dataset(f"{J}.1", "YBR_FULL", 3, YBR.tobytes()),
    "raw YBR_FULL_422": lambda: dataset(f"{J}.1", "YBR_FULL_422", 3, packed_422()),
    "palette": lambda: dataset(f"{J}.1", "PALETTE COLOR", 1, **palette()),
    "JPEG lossless": lambda: dataset(
        f"{J}.4.70", "MONOCHROME2", 1, [bytes(imagecodecs.ljpeg_encode(f)) for f in GREY]
    ),
    "JPEG-LS": lambda: dataset(f"{J}.4.80", "MONOCHROME2", 1, [bytes(imagecodecs.jpegls_encode(f)) for f in GREY]),
    "JPEG 2000": lambda: dataset(
        f"{J}.4.90",
        "MONOCHROME2",
        1,
        [bytes(imagecodecs.jpeg2k_encode(f, codecformat="j2k", reversible=True)) for f in GREY],
    ),
    "RLE": lambda: dataset(f"{J}.5", "MONOCHROME2", 1, [_rle(f[None]) for f in GREY]),
    "RLE RGB": lambda: dataset(f"{J}.5", "RGB", 3, [_rle(f) for f in PLANES]),
}


def _rle(planes: np.ndarray) -> bytes:
    """Byte planes as literal runs (PS3.5 G.3): valid, if not small."""
    segments = []
    for plane in planes:
        raw = plane.tobytes()
        runs = [raw[i : i + 128] for i in range(0, len(raw), 128)]
        segment = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [64 + sum(map(len, segments[:i])) for i in range(len(segments))]
    head = np.array([len(segments), *offsets, *[0] * (15 - len(segments))], "<u4").tobytes()
    return head + b"".join(segments)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_codings_are_exact(name, tmp_path):
    clip = open_clip(written(tmp_path, LOSSLESS[name]())).read()
    inside = clip.sector
    tolerance = 1 if "YBR" in name else 0
    assert inside[20:76, 24:104].all()
    assert np.abs(clip.frames.astype(int) - GREY)[:, inside].max() <= tolerance
    assert clip.mode is ImageMode.TWO_D


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "MONOCHROME2"])
def test_jpeg_baseline_is_the_picture_within_its_loss(photometric, tmp_path):
    samples = 1 if photometric == "MONOCHROME2" else 3
    smooth = np.stack([np.asarray(f, np.uint8) for f in GREY])
    colours = "GRAY" if samples == 1 else "RGB"
    coded = [
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(f[..., None] if samples == 1 else np.repeat(f[..., None], 3, 2)),
            quality=98,
            colorspace=colours,
            colorsubsampling="422" if samples == 3 else "Gray",
        )
        for f in smooth
    ]
    clip = open_clip(written(tmp_path, dataset(f"{J}.4.50", photometric, samples, coded))).read([1, 3])
    assert clip.frame_numbers == (2, 4)
    difference = np.abs(clip.frames.astype(int) - GREY[[1, 3]])[:, 20:76, 24:104]
    assert difference.mean() < 2


def test_only_the_wanted_frames_are_decoded(tmp_path):
    coded = [bytes(imagecodecs.jpegls_encode(f)) for f in GREY]
    coded[3] = coded[3][:40]  # nobody asks for it
    path = written(tmp_path, dataset(f"{J}.4.80", "MONOCHROME2", 1, coded))
    clip_file = open_clip(path)
    clip_file.__dict__["_looked_at"] = RGB[[0, 1, 2, 4]]
    assert np.array_equal(clip_file.read([0, 4]).frames[:, 30:70, 30:100], GREY[[0, 4], 30:70, 30:100])
    with pytest.raises(ClipError):
        clip_file.read([3])


def j2k(rows, cols):
    return imagecodecs.jpeg2k_encode(np.zeros((rows, cols), np.uint8), codecformat="j2k")


def two_frame_headers() -> bytes:
    """JPEG lossless whose second frame header claims 9000 x 9000 pixels: its decoder goes by that one."""
    good = bytes(imagecodecs.ljpeg_encode(GREY[0]))
    start = good.index(b"\xff\xc3")
    header = good[start : start + 2 + int.from_bytes(good[start + 2 : start + 4], "big")]
    large = header[:5] + (9000).to_bytes(2, "big") * 2 + header[9:]
    return good[:start] + b"\xff\xc0" + header[2:] + large + good[start + len(header) :]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes()[:-1000]), Reason.TRUNCATED),
        (lambda: dataset(f"{J}.4.80", "MONOCHROME2", 1, [b"\xff\xd8" * 20] * 3), Reason.TRUNCATED),
        (lambda: dataset(f"{J}.4.94", "MONOCHROME2", 1, [b"xx"] * FRAMES), Reason.UNKNOWN_CODING),
        (lambda: dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes(), NumberOfFrames=0), Reason.IMPOSSIBLE_SIZE),
        (lambda: dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes(), NumberOfFrames=2**31), Reason.IMPOSSIBLE_SIZE),
        (lambda: dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes(), Rows=65535), Reason.IMPOSSIBLE_SIZE),
        (lambda: dataset(f"{J}.4.90", "MONOCHROME2", 1, [j2k(512, 512)] * FRAMES), Reason.IMPOSSIBLE_SIZE),
        (lambda: dataset(f"{J}.4.90", "MONOCHROME2", 1, [b"not a codestream!"] * FRAMES), Reason.UNREADABLE),
        (lambda: dataset(f"{J}.5", "MONOCHROME2", 1, [b"\xff" * 80] * FRAMES), Reason.UNREADABLE),
        (lambda: dataset(f"{J}.1", "MONOCHROME2", 1, bytes(GREY.size)), Reason.NO_SECTOR),
        (lambda: dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes(), StudyInstanceUID=""), Reason.MISSING_UID),
        (
            lambda: dataset(
                f"{J}.1", "MONOCHROME2", 1, GREY.tobytes(), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"
            ),
            Reason.NOT_AN_IMAGE,
        ),
    ],
)
def test_bad_input_has_its_reason(make, reason, tmp_path):
    with pytest.raises(ClipError) as caught:
        open_clip(written(tmp_path, make())).read()
    assert caught.value.reason is reason


def test_of_two_frame_headers_the_decoder_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(imagecodecs, "ljpeg_decode", lambda _: pytest.fail("the decoder was asked"))
    path = written(tmp_path, dataset(f"{J}.4.70", "MONOCHROME2", 1, [two_frame_headers()] * FRAMES))
    with pytest.raises(ClipError, match="does not begin"):
        open_clip(path).read()


def test_millions_of_empty_fragments_are_refused(tmp_path):
    path = written(tmp_path, dataset(f"{J}.4.80", "MONOCHROME2", 1, [b"\xff\xd8"] * FRAMES))
    content = path.read_bytes()
    table = content.index(b"\xfe\xff\x00\xe0")
    path.write_bytes(content[:table] + b"\xfe\xff\x00\xe0\0\0\0\0" * (MOST_FRAGMENTS + 1))
    with pytest.raises(ClipError) as caught:
        open_clip(path)
    assert caught.value.reason is Reason.IMPOSSIBLE_SIZE


def test_a_clip_that_fills_the_memory_is_refused_before_it_is_decoded(tmp_path):
    frames = MOST_PIXELS // 4096**2 + 1
    size = {"Rows": 4096, "Columns": 4096, "NumberOfFrames": frames}
    path = written(tmp_path, dataset(f"{J}.4.80", "MONOCHROME2", 1, [b"no codestream"] * frames, **size))
    with pytest.raises(ClipError) as caught:
        open_clip(path).read()
    assert caught.value.reason is Reason.IMPOSSIBLE_SIZE


def test_limits_are_the_site_s(tmp_path):
    path = written(tmp_path, dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes()))
    with pytest.raises(ClipError) as caught:
        open_clip(path, limits=ClipLimits(frames=4))
    assert caught.value.reason is Reason.IMPOSSIBLE_SIZE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"FrameTime": "25"}, [0, 25, 50, 75, 100]),
        ({"FrameTime": "0", "CineRate": "50"}, [0, 20, 40, 60, 80]),
        ({"FrameTimeVector": [0, 10, 30, 20, 10]}, [0, 10, 40, 60, 70]),
        ({"FrameTime": "-3"}, None),
    ],
)
def test_frame_times(changes, expected, tmp_path):
    clip = open_clip(written(tmp_path, dataset(f"{J}.1", "MONOCHROME2", 1, GREY.tobytes(), **changes)))
    assert (None if clip.times_ms is None else clip.times_ms.tolist()) == expected


def test_colour_flow_is_told_from_a_tinted_map(tmp_path):
    tinted = (RGB * np.array([1.0, 0.92, 0.8])).astype(np.uint8)
    clip = open_clip(written(tmp_path, dataset(f"{J}.1", "RGB", 3, tinted.tobytes()))).read()
    assert clip.mode is ImageMode.TWO_D
    flow = RGB.copy()
    flow[:, 30:50, 40:60] = (200, 20, 20)
    flow[:, 50:66, 40:60] = (20, 20, 200)
    clip = open_clip(written(tmp_path, dataset(f"{J}.1", "RGB", 3, flow.tobytes()))).read()
    assert clip.mode is ImageMode.COLOUR_FLOW


def test_a_coloured_overlay_is_masked_out(tmp_path):
    marked = RGB.copy()
    marked[:, 40, 20:100] = (0, 255, 0)
    clip = open_clip(written(tmp_path, dataset(f"{J}.1", "RGB", 3, marked.tobytes()))).read()
    assert clip.mode is ImageMode.TWO_D
    assert (clip.frames[:, 40, 24:96] == 0).all()


@pytest.mark.parametrize("tint", [(1.0, 0.85, 0.6), (0.7, 0.85, 1.0), (1.0, 0.7, 0.4)])
def test_bright_parts_of_a_tinted_map_are_no_colour(tint):
    grey = np.random.default_rng(4).gamma(1.2, 45, (300, 400)).clip(0, 255)
    grey[:40] = 0
    frame = (grey[..., None] * np.array(tint)).astype(np.uint8)
    everywhere = np.ones(frame.shape[:2], np.bool_)
    assert not has_colour_box(coloured(frame), everywhere)
    assert coloured(frame).mean() < 0.001
    frame[100:130, 150:190] = 200, 40, 20  # one small jet, of one hue
    assert has_colour_box(coloured(frame), everywhere)


@pytest.mark.parametrize("wrong", [{"Columns": COLS - 1}, {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}])
def test_raw_422_that_does_not_pair_its_pixels_is_unreadable(tmp_path, wrong):
    ds = dataset("1.2.840.10008.1.2.1", "YBR_FULL_422", 3, packed_422() * 2, **wrong)
    clip = open_clip(written(tmp_path, ds))
    with pytest.raises(ClipError) as caught:
        clip.read()
    assert caught.value.reason is Reason.UNREADABLE
