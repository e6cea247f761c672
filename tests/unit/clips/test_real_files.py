"""What carts really wrote."""

import subprocess

import numpy as np
import pydicom
import pytest

from echo_node.codes import ImageMode, Reason
from echo_node.dicom.clips import open_clip
from echo_node.errors import ClipError


def test_the_acuson_cine(data):
    clip = open_clip(data / "acuson-a4c-65f-jpeg.dcm")
    assert clip.NumberOfFrames == 65
    assert clip.spacing_mm == pytest.approx((0.5248, 0.5248), abs=1e-3)
    assert clip.times_ms[-1] == pytest.approx(2438, abs=1)
    few = clip.read([0, 30])
    assert few.frames.shape == (2, 456, 576)
    assert few.mode is ImageMode.TWO_D
    assert few.sector[200, 260]  # in the ventricle
    assert not few.sector[40:130, 440:].any()  # the settings' text
    assert not few.sector[400:440, :200].any()  # the ECG


def test_a_region_that_does_not_fit_is_not_believed(data):
    assert open_clip(data / "examples_ybr_color.dcm").spacing_mm is None
    assert open_clip(data / "examples_palette.dcm").spacing_mm is None


def test_pixel_identical_pairs_are_read_alike(data):
    for first, second in (("color-pl", "color-px"), ("US1_UNCR", "US1_J2KR")):
        a, b = (open_clip(data / f"{name}.dcm").read() for name in (first, second))
        assert np.abs(a.frames.astype(int) - b.frames).max() <= 1
        assert a.mode is b.mode is ImageMode.COLOUR_FLOW


@pytest.mark.peer("dcmdjpeg")
def test_jpeg_lossless_is_exact(data, tmp_path):
    name = "JPGLosslessP14SV1_1s_1f_8b.dcm"
    subprocess.run(["/usr/bin/dcmdjpeg", data / name, tmp_path / "raw.dcm"], check=True)
    raw = pydicom.dcmread(tmp_path / "raw.dcm")
    expected = np.frombuffer(raw.PixelData, np.uint8)[: raw.Rows * raw.Columns].reshape(raw.Rows, raw.Columns)
    clip = open_clip(data / name).read()
    assert np.array_equal(clip.frames[0][clip.sector], expected[clip.sector])


def test_a_probe_in_air_has_no_sector(data):
    with pytest.raises(ClipError) as caught:
        open_clip(data / "no-pixel-spacing.dcm").read()
    assert caught.value.reason is Reason.NO_SECTOR


def test_two_frames_in_the_single_frame_class(data):
    assert open_clip(data / "OBXXXX1A_expb_2frame.dcm").NumberOfFrames == 2


def test_every_file_is_read_or_refused_with_a_reason(data):
    refused = []
    for path in sorted(data.glob("*.dcm")):
        try:
            clip = open_clip(path).read([0])
        except ClipError:  # it always carries a reason
            refused.append(path.name)
        else:
            assert clip.frames.dtype == np.uint8
            assert (clip.frames[:, ~clip.sector] == 0).all()
    assert refused == ["no-pixel-spacing.dcm"]
