from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_modules.batch import Batch
from data_modules.split import Split
from mmpkd.cli.lightning_cli import main
from mmpkd.losses import SigmoidKLDivergence, masked_bce
from mmpkd.students import load_student
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.controls import LabelOracle, NoisyTargets, ShuffledTargets
from mmpkd.teachers.lookup import ImageTeacher, open_teacher
from mmpkd.teachers.source import TeacherSource
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets, empty_targets
from tests.runs import config, student
from tests.tiny import NAMES, TinyDataModule

N = 40


def split(seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, (N, 2)).astype(np.float32)
    label[::7, 1] = np.nan
    names = np.array([f"s{i}" for i in range(N)])
    return Split(names, names, [Path()] * N, label, np.ones(N, np.bool_))


def targets(seed: int = 0) -> TeacherTargets:
    rng = np.random.default_rng(seed)
    available = rng.random(N) > 0.2
    logits = (rng.normal(size=(2, N, 2)) * [2, 5] + [1, -3]).astype(np.float32)
    features = rng.normal(size=(N, 3)).astype(np.float16)
    return TeacherTargets(logits, features, available, split().sample_id, TargetsMeta(list(NAMES)))


@given(seed=st.integers(0, 1000), within=st.booleans())
def test_shuffled_targets_are_the_same_rows_of_other_samples(seed: int, within: bool) -> None:
    before = targets()
    after = ShuffledTargets(within)(before, split(), seed)
    a, b = (np.concatenate([t.logits[0], t.features], axis=1)[t.available] for t in (before, after))
    np.testing.assert_array_equal(np.sort(a.view(), axis=0), np.sort(b.view(), axis=0))
    assert {row.tobytes() for row in a} == {row.tobytes() for row in b}
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(after.available, before.available)
    np.testing.assert_array_equal(after.logits[:, ~before.available], before.logits[:, ~before.available])
    same = (after.logits[0] == before.logits[0]).all(axis=1)[before.available]
    pattern = np.unique(np.nan_to_num(split().label, nan=-1)[before.available], axis=0, return_inverse=True)[1].reshape(
        -1
    )
    alone = np.bincount(pattern)[pattern] == 1
    np.testing.assert_array_equal(same, alone if within else np.zeros_like(alone))
    again = ShuffledTargets(within)(before, split(), seed)
    np.testing.assert_array_equal(after.logits, again.logits)


def test_shuffling_within_labels_keeps_everything_that_labels_tell() -> None:
    samples = split()
    pattern = np.nan_to_num(samples.label, nan=2.0)
    marked = replace(targets(), logits=np.repeat(pattern[None], 2, axis=0), available=np.ones(N, np.bool_))
    within = ShuffledTargets(True)(marked, samples, 0)
    np.testing.assert_array_equal(within.logits[0], pattern)
    assert not np.array_equal(ShuffledTargets()(marked, samples, 0).logits[0], pattern)


def test_noise_keeps_mean_and_spread_and_correlates_as_its_share_says() -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    logits = (rng.normal(size=(1, n, 1)) * 3 + 1).astype(np.float32)
    names = np.arange(n).astype(str)
    big = TeacherTargets(logits, np.zeros((n, 0), np.float16), np.ones(n, np.bool_), names, TargetsMeta(["a"]))
    for share in (0.0, 0.25, 0.75, 1.0):
        noisy = NoisyTargets(share)(big, split(), 3).logits[0, :, 0]
        assert noisy.mean() == pytest.approx(1, abs=0.1)
        assert noisy.std() == pytest.approx(3, abs=0.1)
        assert np.corrcoef(noisy, logits[0, :, 0])[0, 1] == pytest.approx(np.sqrt(1 - share), abs=0.03)
    with pytest.raises(ValueError, match="share"):
        NoisyTargets(1.1)


def test_the_oracle_says_what_the_labels_say_and_the_prevalence_where_they_are_silent() -> None:
    samples = replace(split(), has_privileged=np.arange(N) != 3)
    oracle = LabelOracle(0.9)(empty_targets(samples, NAMES), samples, 0)
    probability = torch.from_numpy(oracle.logits[0]).sigmoid().numpy()
    np.testing.assert_allclose(probability[samples.label == 1], 0.9, rtol=1e-5)
    np.testing.assert_allclose(probability[samples.label == 0], 0.1, rtol=1e-5)
    prevalence = np.nanmean(samples.label[:, 1])
    np.testing.assert_allclose(probability[np.isnan(samples.label)], prevalence, rtol=1e-5)
    np.testing.assert_array_equal(oracle.available, samples.has_privileged)


def test_samples_without_a_double_keep_their_targets_and_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    samples = replace(split(), label=np.concatenate([[[0, 1]], np.ones((N - 1, 2))]).astype(np.float32))
    before = replace(targets(), available=np.ones(N, np.bool_))
    with caplog.at_level("INFO", "mmpkd"):
        after = ShuffledTargets(True)(before, samples, 0)
    np.testing.assert_array_equal(after.logits[:, 0], before.logits[:, 0])
    assert not (after.logits[0, 1:] == before.logits[0, 1:]).all(axis=1).any()
    assert "1 of 40 samples keep their own targets" in caplog.text


def test_the_oracle_is_label_smoothing_at_temperature_one() -> None:
    label = torch.tensor([[1.0, 0.0, 1.0]])
    logits = torch.tensor([[0.3, -1.2, 2.0]], requires_grad=True)
    teacher = torch.where(label == 1, 0.9, 0.1).logit()
    everyone = torch.ones(1, dtype=torch.bool)
    kd = SigmoidKLDivergence()(ModelOutput(logits, logits), ModelOutput(teacher, teacher), everyone)
    gradients = [
        torch.autograd.grad(value, logits)[0]
        for value in (0.3 * masked_bce(logits, label) + 0.7 * kd, masked_bce(logits, label, smoothing=2 * 0.7 * 0.1))
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("control", [ShuffledTargets(), NoisyTargets(1.0)])
def test_a_control_replaces_what_the_teacher_says(
    control: ShuffledTargets | NoisyTargets, tiny_root: Path, tmp_path: Path
) -> None:
    data, cpu = TinyDataModule(str(tiny_root)), torch.device("cpu")
    own = data.splits["train"]
    logits = np.random.default_rng(0).normal(size=(1, len(own), 2)).astype(np.float32)
    features = np.zeros((len(own), 0), np.float16)
    TeacherTargets(logits, features, own.has_privileged, own.sample_id, TargetsMeta(list(NAMES))).save(tmp_path / "t")
    plain, changed = (
        open_teacher(TeacherSource(str(tmp_path / "t"), control=given), data, cpu) for given in (None, control)
    )
    index: Batch = {"index": torch.arange(len(own) - 1)}
    assert torch.equal(plain(index)[0].logits[0], torch.from_numpy(logits[0, :-1]))
    assert not (plain(index)[0].logits == changed(index)[0].logits).all(2).any()
    with pytest.raises(ValueError, match="Expected no teacher for the control LabelOracle"):
        TeacherSource(str(tmp_path / "t"), control=LabelOracle())


def test_an_image_teacher_must_see_images_as_it_learned_them(tiny_root: Path, tmp_path: Path) -> None:
    main(["fit", *config(tmp_path, "baseline", tiny_root, student())])
    best = tmp_path / "baseline" / "checkpoints" / "best.ckpt"
    data = TinyDataModule(str(tiny_root))
    data.mean = 0.4
    with pytest.raises(ValueError, match="Expected images like the training images"):
        open_teacher(TeacherSource(str(best), "image"), data, torch.device("cpu"))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_student(best)
    assert torch.equal(torch.rand(3), expected)  # nothing is drawn from the training that loads it


def test_a_control_is_found_by_the_command_line_and_changes_the_training(tiny_root: Path, tmp_path: Path) -> None:
    control = {"class_path": "mmpkd.teachers.controls.LabelOracle", "init_args": {"confidence": 0.8}}
    main(["fit", *config(tmp_path, "oracle", tiny_root, student(teacher={"control": control}))])
    assert (tmp_path / "oracle" / "checkpoints" / "best.ckpt").is_file()
    assert "train/distillation" in (tmp_path / "oracle" / "metrics.csv").read_text()


def test_an_image_teacher_sees_the_augmented_image(tiny_root: Path, tmp_path: Path) -> None:
    main(["fit", *config(tmp_path, "baseline", tiny_root, student())])
    best = tmp_path / "baseline" / "checkpoints" / "best.ckpt"
    data = TinyDataModule(str(tiny_root))
    lookup = open_teacher(TeacherSource(str(best), "image"), data, torch.device("cpu"))
    assert isinstance(lookup, ImageTeacher)
    images = torch.randn(3, 1, 32, 32)
    output, available = lookup({"image": images, "index": torch.tensor([0, 1, 63])})
    with torch.no_grad():
        torch.testing.assert_close(output.logits[0], load_student(best)(images).logits)
    half = images.bfloat16()  # as a student in bf16-true gets them: the teacher stays in float32
    rounded, _ = lookup({"image": half, "index": torch.tensor([0, 1, 63])})
    with torch.no_grad():
        torch.testing.assert_close(rounded.logits[0], load_student(best)(half.float()).logits)
    assert available.tolist() == [True, True, False]  # as a teacher of the text, which the last sample lacks
    assert not output.logits.requires_grad
    assert not any(p.requires_grad for p in lookup.student[0].parameters())
    main(["fit", *config(tmp_path, "self", tiny_root, student(teacher={"path": str(best), "targets": "image"}))])
    saved = torch.load(tmp_path / "self" / "checkpoints" / "best.ckpt", weights_only=True)
    assert not any("teacher" in key for key in saved["state_dict"])


def test_what_does_not_go_together_is_refused(tiny_root: Path, tmp_path: Path) -> None:
    data, cpu = TinyDataModule(str(tiny_root)), torch.device("cpu")
    with pytest.raises(ValueError, match="control ShuffledTargets but there is none"):
        TeacherSource(control=ShuffledTargets())
    with pytest.raises(ValueError, match="'stored' for a control"):
        TeacherSource("x.ckpt", "online", ShuffledTargets())
    with pytest.raises(FileNotFoundError, match="checkpoint of a student"):
        open_teacher(TeacherSource(str(tmp_path / "x.ckpt"), "image"), data, cpu)
    other = TinyDataModule(str(tiny_root), label_names=("A", "B"))
    main(["fit", *config(tmp_path, "baseline", tiny_root, student())])
    with pytest.raises(ValueError, match="teacher with the labels"):
        open_teacher(TeacherSource(str(tmp_path / "baseline" / "checkpoints" / "best.ckpt"), "image"), other, cpu)
