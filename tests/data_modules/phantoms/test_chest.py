import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules.phantoms import ChestPhantomDataModule
from data_modules.phantoms.chest.labels import LabelNoise, observed_labels
from data_modules.phantoms.chest.phantom import (
    FINDINGS,
    PREVALENCE,
    ChestScene,
    finding_boxes,
    render_chest,
    sample_chest_scene,
)
from data_modules.phantoms.chest.report import write_report
from data_modules.phantoms.chest.sentences import FLIP_RATE, UNCERTAIN_RATE, mention_findings


def scene(seed: int, split: str = "test") -> ChestScene:
    return sample_chest_scene(np.random.default_rng(seed), split)  # type: ignore[arg-type]


def with_only(attribute: str) -> ChestScene:
    """Return a scene with one inner finding and no other."""
    names = ("consolidation", "lesion", "effusion", "pneumothorax")
    for seed in range(1000):
        found = scene(seed)
        if getattr(found, attribute) is not None and not found.heart.enlarged:
            others: dict[str, Any] = {name: None for name in names if name != attribute}
            return replace(found, drain=None, marker=None, **others)
    raise AssertionError("no such scene in 1000")


SCENES = [scene(seed) for seed in range(600)]


def test_findings_have_their_prevalence() -> None:
    share = np.mean([s.present for s in SCENES], axis=0)
    error = np.sqrt(np.array(PREVALENCE) * (1 - np.array(PREVALENCE)) / len(SCENES))
    assert (np.abs(share - PREVALENCE) < 4 * error).all()


@pytest.mark.parametrize("size", [64, 96, 128, 200])
def test_any_size_shows_the_same_patient(size: int) -> None:
    for s in SCENES[:6]:
        image, reference = render_chest(s, size), render_chest(s, 128)
        assert image.pixels.shape == (size, size)
        assert image.pixels.dtype == np.uint8
        for name, mask in reference.masks.items():
            assert image.masks[name].mean() == pytest.approx(mask.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("attribute", "name", "sign"),
    [("consolidation", "Consolidation", 1), ("lesion", "Lung Lesion", 1), ("effusion", "Pleural Effusion", 1),
     ("pneumothorax", "Pneumothorax", -1)],
)  # fmt: skip
def test_a_finding_changes_the_image_inside_its_mask_and_hardly_outside(attribute: str, name: str, sign: int) -> None:
    s = with_only(attribute)
    image = render_chest(s, 128)
    removed: dict[str, Any] = {attribute: None}
    without = render_chest(replace(s, **removed), 128)
    change = image.pixels.astype(float) - without.pixels
    mask = image.masks[name]
    assert sign * change[mask].mean() > 10
    assert np.abs(change[~mask]).mean() < 0.2 * np.abs(change[mask]).mean()


def test_boxes_are_tight_and_a_bilateral_effusion_has_two() -> None:
    bilateral = 0
    for s in SCENES[:120]:
        image = render_chest(s, 128)
        boxes = finding_boxes(image, s)
        for name, mask in image.masks.items():
            own = [box for found, box in boxes if found == name]
            covered = np.zeros_like(mask)
            for box in own:
                covered[box.y : box.y + box.height, box.x : box.x + box.width] = True
            if own:
                assert not (mask & ~covered).any() or name == "Pleural Effusion"
                if len(own) == 1:
                    assert mask[:, own[0].x].any() and mask[own[0].y].any()  # noqa: PT018
        if s.effusion is not None and len(s.effusion.sides) == 2:
            bilateral += 1
            assert sum(found == "Pleural Effusion" for found, _ in boxes) == 2
    assert bilateral > 0


@pytest.mark.parametrize(("split", "with_finding", "without"), [("train", 0.80, 0.04), ("test", 0.30, 0.30)])
def test_drains_betray_pneumothoraces_in_training_only(split: str, with_finding: float, without: float) -> None:
    scenes = [scene(seed, split) for seed in range(1500)]
    for has, expected in ((True, with_finding), (False, without)):
        drains = [s.drain is not None for s in scenes if (s.pneumothorax is not None) == has]
        assert np.mean(drains) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / len(drains)))


def test_reports_name_the_side_and_zone_of_what_is_there_and_deny_what_is_not() -> None:
    for seed, s in enumerate(SCENES[:200]):
        text = " ".join(write_report(np.random.default_rng(seed), s, "AP").text.lower().split())
        if s.lesion is not None:
            place = f"{('right', 'left')[s.lesion.side]} {('upper', 'mid', 'lower')[s.lesion.zone]}"
            assert place in text
        if s.pneumothorax is None:
            assert not re.search(r"(?<!no )(?<!evidence of )pneumothorax", text)


def test_reports_have_the_layout_of_mimic_cxr() -> None:
    text = write_report(np.random.default_rng(0), SCENES[0], "PA").text
    assert all(len(line) <= 79 for line in text.splitlines())
    assert re.search(r"\n FINDINGS: ", text)


@pytest.mark.parametrize("noise", ["random", "phrase"])
def test_labels_err_at_the_stated_rates(noise: str) -> None:
    wrong, uncertain, total = 0, 0, len(SCENES) * len(FINDINGS)
    for seed, s in enumerate(SCENES):
        rng = np.random.default_rng([1, seed])
        labels = observed_labels(rng, s.present, mention_findings(rng, s), noise)  # type: ignore[arg-type]
        known = ~np.isnan(labels)
        uncertain += int((labels == -1).sum())
        wrong += int(((labels >= 0) & (labels != s.present))[known].sum())
    expected_wrong, expected_uncertain = FLIP_RATE * (1 - UNCERTAIN_RATE), UNCERTAIN_RATE
    assert wrong / total == pytest.approx(expected_wrong, abs=4 * np.sqrt(expected_wrong / total))
    assert uncertain / total == pytest.approx(expected_uncertain, abs=4 * np.sqrt(expected_uncertain / total))


def test_phrase_errors_are_a_function_of_the_wording_and_random_ones_are_not() -> None:
    mentions = mention_findings(np.random.default_rng(5), SCENES[5])
    for noise, num_expected in (("phrase", 1), ("none", 1)):
        labels = {
            observed_labels(np.random.default_rng(i), SCENES[5].present, mentions, noise).tobytes()  # type: ignore[arg-type]
            for i in range(30)
        }
        assert len(labels) == num_expected
    drawn = {
        observed_labels(np.random.default_rng(i), SCENES[5].present, mentions, "random").tobytes() for i in range(30)
    }
    assert len(drawn) > 1


def test_without_noise_labels_are_the_truth() -> None:
    s = SCENES[3]
    labels = observed_labels(np.random.default_rng(0), s.present, (), "none")
    np.testing.assert_array_equal(labels, s.present.astype(np.float32))
    assert len(labels) == len(FINDINGS)


@pytest.mark.parametrize(
    ("noise", "split", "is_said"), [("random", "val", True), ("random", "test", False), ("none", "val", False)]
)
def test_errors_of_labels_are_told_where_they_are(noise: LabelNoise, split: str, is_said: bool, tmp_path: Path) -> None:
    """A teacher's score on labels that err would be taken for its quality."""
    assert (
        "12% of these labels are wrong" in ChestPhantomDataModule(tmp_path, label_noise=noise).label_note(split)
    ) is is_said
