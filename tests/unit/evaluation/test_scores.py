"""Every statistic against a value worked out by hand, or one that its paper or another library gives."""

import itertools
import math

import numpy as np
import pytest

from echo_node.evaluation import confidence
from echo_node.evaluation.calibration import calibration, expected_calibration_error
from echo_node.evaluation.scores import agreement, auroc, balanced_accuracy, correlation, dice, roc


def test_dice_is_twice_the_overlap_over_the_sum():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    first[:2], second[1:3] = True, True
    assert dice(first, second) == pytest.approx(2 * 4 / 16)
    assert dice(first & False, first & False) == 1.0


def test_balanced_accuracy_is_the_mean_recall():
    # scikit-learn 1.5: balanced_accuracy_score([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]) = 0.625 (its docs)
    truth, predicted = np.array([0, 1, 0, 0, 1, 0]), np.array([0, 1, 0, 0, 0, 1])
    assert balanced_accuracy(predicted, truth) == pytest.approx(0.625)


def test_auroc_is_what_scikit_learn_documents():
    # scikit-learn 1.5: roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) = 0.75 (its docs)
    assert auroc(np.array([0.35, 0.8]), np.array([0.1, 0.4])) == pytest.approx(0.75)


def test_auroc_counts_every_pair_and_halves_ties():
    rng = np.random.default_rng(1)
    positives, negatives = rng.integers(2, 8, 31) / 8, rng.integers(0, 6, 17) / 8
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in itertools.product(positives, negatives)]
    assert auroc(positives, negatives) == pytest.approx(np.mean(pairs))
    assert math.isnan(auroc(positives, np.zeros(0)))


def test_the_area_under_the_roc_is_the_auroc():
    rng = np.random.default_rng(2)
    positives, negatives = rng.normal(1, 1, 40), rng.normal(0, 1, 25)
    curve = roc(positives, negatives)
    area = np.trapezoid(curve.true_positives, curve.false_positives)
    assert area == pytest.approx(auroc(positives, negatives))
    assert (curve.false_positives[0], curve.true_positives[0]) == (0, 0)
    assert (curve.false_positives[-1], curve.true_positives[-1]) == (1, 1)


def test_agreement_by_hand():
    # differences 1, 3, 5: mean 3, sample deviation 2
    limits = agreement(np.array([11.0, 23, 35]), np.array([10.0, 20, 30]))
    assert (limits.bias, limits.low, limits.high) == pytest.approx((3, 3 - 1.96 * 2, 3 + 1.96 * 2))
    assert math.isnan(agreement(np.array([1.0]), np.array([2.0])).low)


def test_correlation_by_hand():
    # deviations (-1, 0, 1) and (-4/3, -1/3, 5/3): 3 / sqrt(2 * 14/3)
    assert correlation(np.array([1.0, 2, 3]), np.array([1.0, 2, 4])) == pytest.approx(3 / math.sqrt(28 / 3))
    assert math.isnan(correlation(np.array([1.0, 1]), np.array([1.0, 2])))


def test_the_calibration_error_by_hand():
    # bin 0.6: two clips at 0.65, one right: gap 0.15; bin 0.9: 0.95 right and 1.0 wrong: 0.975 against 0.5
    certain, right = np.array([0.65, 0.65, 0.95, 1.0]), np.array([True, False, True, False])
    expected = (2 * abs(0.5 - 0.65) + 2 * abs(0.5 - 0.975)) / 4
    assert expected_calibration_error(certain, right) == pytest.approx(expected)


def test_the_reliability_curve_leaves_empty_bins_out():
    found = calibration([0.65, 0.65, 0.95, 1.0], [True, False, True, False], list("abcd"))
    assert [(b.low, b.high, b.right.n) for b in found.bins] == [(0.6, 0.7, 2), (0.9, 1.0, 2)]
    assert found.bins[1].certainty == pytest.approx(0.975)
    assert found.ece.low <= found.ece.value <= found.ece.high


def test_wilsons_interval_is_the_published_one():
    # Newcombe, Statist Med 1998;17:857, table I, method 3: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 to 0.1611
    some = confidence.wilson([True] * 81 + [False] * 182, ["p"] * 263)
    assert (some.low, some.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    none = confidence.wilson([False] * 20, ["p"] * 20)
    assert (none.low, none.high) == pytest.approx((0, 0.1611), abs=5e-5)


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = confidence.mean(values.tolist(), [str(i) for i in range(400)])
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_clips_of_one_patient_are_drawn_together():
    values = np.repeat(np.random.default_rng(4).normal(0, 1, 40), 10)  # ten clips that all say the same
    patients = [str(i // 10) for i in range(400)]
    together = confidence.mean(values.tolist(), patients)
    alone = confidence.mean(values.tolist(), [str(i) for i in range(400)])
    assert (together.n, together.patients) == (400, 40)
    assert (together.high - together.low) > 2.5 * (alone.high - alone.low)  # sqrt(10) in the limit


def test_the_same_answers_give_the_same_interval():
    first, second = (confidence.mean([1.0, 2.0, 4.0], list("abc")) for _ in range(2))
    assert first == second


def test_one_patient_has_no_interval():
    found = confidence.mean([1.0, 2.0], ["a", "a"])
    assert found.value == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
