"""The sector in pictures of all kinds: what it must hold, and what it must not."""

import cv2
import numpy as np
import pytest

from echo_node.codes import Structure, View
from echo_node.dicom import sector
from echo_node.phantom import sample_patient, simulate_clip


def of(frames: np.ndarray) -> np.ndarray:
    """The sector by six frames, as a clip is looked at."""
    looked = frames[np.unique(np.linspace(0, len(frames) - 1, min(6, len(frames))).astype(int))]
    return sector.find(looked, np.zeros(looked.shape[1:], np.bool_), None)


@pytest.fixture(scope="module")
def cropped():
    """A4C cines of 112 pixels without a screen, as research data has them."""
    draws = (np.random.default_rng([501, number]) for number in range(8))
    return [simulate_clip(sample_patient(rng), View.A4C, rng=rng, size=112) for rng in draws]


@pytest.mark.parametrize("frames", [5, 12, None])
@pytest.mark.parametrize("brightness", [1.0, 0.4, 0.2])
def test_small_cropped_dim_and_short_clips_keep_their_ventricle(cropped, frames, brightness):
    for clip in cropped:
        seen = (clip.frames[:frames] * brightness).astype(np.uint8)
        found, cavity = of(seen), clip.masks[Structure.LV_CAVITY][: len(seen)]
        assert (cavity & found).sum() == cavity.sum()
        assert (found & clip.sector).sum() > 0.75 * clip.sector.sum()
        assert (found & ~clip.sector).sum() < 0.06 * clip.sector.sum()


@pytest.mark.parametrize("grey", [70, 90, 110, 255])
@pytest.mark.parametrize("brightness", [1.0, 0.3])
def test_text_beside_a_sector_stays_outside(cropped, grey, brightness):
    for clip in cropped[:4]:
        frames = np.zeros((8, 300, 400), np.uint8)
        sharp = [cv2.resize(f, (250, 230)) for f in (clip.frames[:8] * brightness).astype(np.uint8)]
        frames[:, 60:290, 60:310] = np.stack(sharp)
        blank = frames.max(axis=0) == 0
        text = np.zeros((300, 400), np.uint8)
        cv2.putText(text, "DOE JANE 1970-01-01", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, grey, 1)
        cv2.putText(text, "MRN 123456", (290, 285), cv2.FONT_HERSHEY_SIMPLEX, 0.5, grey, 1)
        cv2.putText(text, "TIS 0.4", (330, 90), cv2.FONT_HERSHEY_SIMPLEX, 0.5, grey, 2)
        frames = np.where(blank & (text > 0), text, frames)
        found = of(frames)
        assert (found & blank & (text > 40)).sum() < 0.02 * (text > 40).sum()


def test_a_still_shown_many_times_is_a_still(cropped):
    once = sector.find(cropped[0].frames[:1], np.zeros((cropped[0].frames.shape[1:]), np.bool_), None)
    assert (of(np.repeat(cropped[0].frames[:1], 9, axis=0)) == once).all()
