"""Clips coded as video, against the pictures that went in."""

from io import BytesIO

import av
import numpy as np
import pytest

from echo_node.codes import ImageMode, Reason
from echo_node.dicom.clips import open_clip
from echo_node.errors import ClipError
from tests.unit.clips.test_codings import FRAMES, GREY, RGB, dataset, written

H264 = "1.2.840.10008.1.2.4.102"


@pytest.fixture(scope="module")
def stream() -> bytes:
    """The movie as H.264 in an MPEG-2 transport stream (PS3.5 8.2.7)."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "8", "profile": "high", "bf": "2"})
        video.height, video.width = RGB.shape[1:3]
        video.pix_fmt = "yuv420p"
        for picture in RGB:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
    return buffer.getvalue()


def fragments(stream: bytes, count: int) -> list[bytes]:
    """A stream as DICOM cuts it: into fragments of even length, anywhere."""
    step = len(stream) // count & ~1
    return [stream[i * step : (i + 1) * step if i < count - 1 else None] for i in range(count)]


@pytest.mark.parametrize("count", [1, 3])
def test_h264_shows_the_pictures_that_went_in(tmp_path, stream, count):
    path = written(tmp_path, dataset(H264, "YBR_PARTIAL_420", 3, fragments(stream, count)))
    clip = open_clip(path).read()
    assert clip.frames.shape == GREY.shape
    assert clip.mode is ImageMode.TWO_D
    inside = GREY > 0
    difference = np.abs(clip.frames.astype(int) - GREY)[inside]
    assert difference.mean() < 6  # of 160 grey levels of noise, through a lossy codec
    middle = open_clip(path).read([2])
    assert np.array_equal(middle.frames[0], clip.frames[2])


def test_a_video_that_ends_early_says_so(tmp_path, stream):
    path = written(tmp_path, dataset(H264, "YBR_PARTIAL_420", 3, [stream], NumberOfFrames=FRAMES + 4))
    with pytest.raises(ClipError) as caught:
        open_clip(path).read()
    assert caught.value.reason is Reason.TRUNCATED


def test_what_is_no_video_is_unreadable(tmp_path):
    path = written(tmp_path, dataset(H264, "YBR_PARTIAL_420", 3, [b"not a video, " * 100]))
    with pytest.raises(ClipError) as caught:
        open_clip(path).read()
    assert caught.value.reason is Reason.UNREADABLE


def test_a_video_of_another_size_than_the_header_says_is_refused(tmp_path, stream):
    path = written(tmp_path, dataset(H264, "YBR_PARTIAL_420", 3, [stream], Rows=480))
    with pytest.raises(ClipError) as caught:
        open_clip(path).read()
    assert caught.value.reason is Reason.IMPOSSIBLE_SIZE


def test_a_playlist_reaches_no_other_file(tmp_path, stream, monkeypatch):
    (tmp_path / "other.ts").write_bytes(stream)
    monkeypatch.chdir(tmp_path)
    playlist = b"ffconcat version 1.0\nfile other.ts\n\n"
    path = written(tmp_path, dataset(H264, "YBR_PARTIAL_420", 3, [playlist]))
    with pytest.raises(ClipError) as caught:
        open_clip(path).read()
    assert caught.value.reason is Reason.UNREADABLE
