"""The letterbox there and back."""

import numpy as np
import pytest

from echo_node.inference.preprocess import Letterbox, normalise


@pytest.mark.parametrize(("rows", "cols"), [(300, 500), (500, 260), (113, 111)])
def test_a_mask_comes_back_within_a_pixel(rows, cols):
    sector = np.zeros((rows, cols), bool)
    sector[20 : rows - 7, 15 : cols - 30] = True
    r, c = np.mgrid[0:rows, 0:cols]
    disk = (r - rows / 2) ** 2 + (c - cols / 2) ** 2 < (0.2 * min(rows, cols)) ** 2
    box = Letterbox.around(sector, 112)
    logits = box.apply(disk[None].astype(np.uint8) * 255).astype(np.float32) - 127.5
    back = box.restore(logits, sector)[0]
    scale = max(rows - 27, cols - 45) / 112  # source pixels per square's pixel
    for axis in (0, 1):
        there, here = (np.flatnonzero(m.any(axis=axis)) for m in (disk, back))
        assert abs(there[0] - here[0]) <= max(1, scale)
        assert abs(there[-1] - here[-1]) <= max(1, scale)
    centre = np.argwhere(back).mean(axis=0) - np.argwhere(disk).mean(axis=0)
    assert np.abs(centre).max() < 0.5


def test_a_point_lands_where_its_pixel_does():
    sector = np.zeros((200, 300), bool)
    sector[50:150, 100:300] = True
    box = Letterbox.around(sector, 112)
    picture = np.zeros((1, 200, 300), np.uint8)
    picture[0, 98:103, 198:203] = 255
    rows, cols = np.nonzero(box.apply(picture)[0] > 60)
    x, y = box.to_square(100, 200)
    assert x * 112 == pytest.approx(cols.mean() + 0.5, abs=1)
    assert y * 112 == pytest.approx(rows.mean() + 0.5, abs=1)


def test_normalise_has_the_encoder_s_shape():
    out = normalise(np.full((3, 8, 8), 255, np.uint8), mean=0.2, std=0.4)
    assert out.shape == (3, 1, 8, 8)
    assert out.dtype == np.float32
    assert np.allclose(out, 2.0)


def test_a_closer_window_lies_around_what_was_seen_and_inside_the_wider_one():
    sector = np.zeros((300, 400), bool)
    sector[20:290, 10:390] = True
    whole = Letterbox.around(sector, 112)
    seen = np.zeros_like(sector)
    seen[100:160, 200:230] = True
    window = Letterbox.closer(whole, seen, margin=1.5)
    assert (window.top, window.left, window.height, window.width) == (85, 170, 90, 90)
    assert window.holds(seen)
    assert not window.holds(sector)
    seen[22:160, 200:230] = True
    at_the_top = Letterbox.closer(whole, seen, margin=1.5)
    assert at_the_top.top == 20
    assert at_the_top.holds(seen)
    assert Letterbox.closer(whole, np.zeros_like(seen), margin=1.5) is None
