"""The letterbox there and back."""

import numpy as np
import pytest

from echo_node.inference.preprocess import Letterbox, in_clip, level, normalise, without_islands


@pytest.mark.parametrize(("rows", "cols"), [(300, 500), (500, 260), (113, 111)])
def test_a_mask_comes_back_within_a_pixel(rows, cols):
    sector = np.zeros((rows, cols), bool)
    sector[20 : rows - 7, 15 : cols - 30] = True
    r, c = np.mgrid[0:rows, 0:cols]
    disk = (r - rows / 2) ** 2 + (c - cols / 2) ** 2 < (0.2 * min(rows, cols)) ** 2
    box = Letterbox.around(sector, 112)
    logits = box.apply(disk[None].astype(np.uint8) * 255).astype(np.float32) - 127.5
    back = box.restore(logits, sector, most=1)[0]
    scale = max(rows - 27, cols - 45) / 112  # source pixels per square's pixel
    for axis in (0, 1):
        there, here = (np.flatnonzero(m.any(axis=axis)) for m in (disk, back))
        assert abs(there[0] - here[0]) <= max(1, scale)
        assert abs(there[-1] - here[-1]) <= max(1, scale)
    centre = np.argwhere(back).mean(axis=0) - np.argwhere(disk).mean(axis=0)
    assert np.abs(centre).max() < 0.5


def test_islands_are_noise_and_walls_have_parts():
    mask = np.zeros((60, 60), bool)
    mask[5:25, 5:45] = True  # 800 pixels
    mask[30:40, 5:45] = True  # 400
    mask[50:59, 5:45] = True  # 360
    mask[2:4, 50:53] = True
    assert [without_islands(mask, most=n).sum() for n in (1, 2, 3, 4)] == [800, 1200, 1560, 1560]
    assert without_islands(mask, most=1)[5:25, 5:45].all()
    alike = np.eye(9, dtype=bool)
    alike[4:6] = False
    assert without_islands(alike[::-1], most=1).sum() == 4
    assert not without_islands(np.zeros_like(mask), most=3).any()


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


def test_a_frame_in_its_clip_has_the_clip_s_mean_and_deviation_beside_it():
    clip = np.random.default_rng(4).integers(0, 256, (2, 6, 5, 7)).astype(np.uint8)
    assert np.array_equal(in_clip(clip, 1), clip[:, :, None])
    seen = in_clip(clip[:, 1:3], 3, among=clip)
    assert seen.shape == (2, 2, 3, 5, 7)
    for b in range(2):
        levelled = level(clip[b])[clip[b]]
        assert np.array_equal(seen[b, :, 0], levelled[1:3])
        for t in range(2):
            assert np.allclose(seen[b, t, 1], levelled.mean(axis=0), atol=0.51)
            assert np.allclose(seen[b, t, 2], np.minimum(3 * levelled.std(axis=0), 255), atol=0.51)


def test_of_a_long_clip_eight_frames_tell_what_moves_and_a_still_does_not():
    clip = np.random.default_rng(5).integers(0, 256, (61, 4, 4)).astype(np.uint8)
    eight = clip[np.linspace(0, 60, 8).round().astype(int)]
    assert np.array_equal(in_clip(clip, 3)[:8, 1:], in_clip(clip[:8], 3, among=eight)[:, 1:])
    still = in_clip(clip[:1], 3)[0]
    assert np.array_equal(still[1], still[0])
    assert not still[2].any()


def test_clips_of_other_gain_and_contrast_come_to_one_level():
    rng = np.random.default_rng(6)
    tissue = rng.gamma(2.0, 30.0, (8, 40, 40))
    tissue[:, :, :10] = 0  # beside the sector
    means, tops = [], []
    for gain, offset, power in ((1.0, 0, 1.0), (0.4, 0, 1.0), (0.7, 30, 1.0), (1.0, 0, 0.6), (1.0, 0, 1.7)):
        shown = 255 * np.clip(tissue / 255, 0, 1) ** power * gain + offset * (tissue > 0)
        clip = np.clip(shown, 0, 255).astype(np.uint8)
        table = level(clip)
        assert (np.diff(table.astype(int)) >= 0).all(), "what was brighter stays so"
        assert table[0] == 0
        means.append(table[clip][clip > 0].mean() / 255)
        tops.append(np.percentile(table[clip], 99.8))
    assert means == pytest.approx([0.25] * 5, abs=0.02)
    assert min(tops) == 255


@pytest.mark.parametrize("grey", [0, 77])
def test_a_clip_of_one_grey_has_a_level_too(grey):
    assert in_clip(np.full((3, 4, 4), grey, np.uint8), 3).max() == 0


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
