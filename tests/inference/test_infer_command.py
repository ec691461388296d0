"""`mmpkd infer`: predictions and maps for any files, in a folder from which a stopped command resumes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import mmpkd as package
from mmpkd.attribution import AttentionRollout, GradCAM
from mmpkd.commands.main import main as mmpkd
from mmpkd.inference import folder as infer_folder
from mmpkd.inference.predictions import FilePrediction, predict_files
from mmpkd.records.checkpoint import sha256_of
from mmpkd.records.tables import read_table
from mmpkd.students import load_trained_student
from tests.data.dicom import write_dicom
from tests.tiny import NAMES, TinyDataModule

PROBABILITIES = [f"probability/{name}" for name in NAMES]
DECISIONS = [f"above_threshold/{name}" for name in NAMES]


def expected(checkpoint: Path, tiny_root: Path) -> np.ndarray:
    """Return the probabilities (16, 2) of the test split, by way of the data set."""
    dataset = TinyDataModule(str(tiny_root)).dataset("test", True, False)
    images = torch.stack([torch.from_numpy(dataset[0, row].image) for row in range(16)])
    with torch.no_grad():
        found: np.ndarray = load_trained_student(checkpoint).student(images).logits.sigmoid().numpy()
    return found


@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_become_a_table(num_workers: int, checkpoint: Path, tiny_root: Path, tmp_path: Path) -> None:
    files = [str(tiny_root / "test" / f"{row}.png") for row in range(16)]
    words = ["infer", str(checkpoint), *files, "--out", str(tmp_path), "--batch_size", "5"]
    assert mmpkd([*words, "--num_workers", str(num_workers)]) == 0
    table = read_table(tmp_path / "predictions.parquet")
    assert table.checkpoint == sha256_of(checkpoint)
    assert table.frame["file"].tolist() == files
    probability = expected(checkpoint, tiny_root)
    np.testing.assert_allclose(table.frame[PROBABILITIES].to_numpy(), probability, atol=1e-6)
    above = table.frame[DECISIONS].to_numpy(bool)
    # of the table's own probabilities: a threshold is one of those of validation, and batches of another size round differently
    probability = table.frame[PROBABILITIES].to_numpy(np.float32)
    assert (above == (probability >= load_trained_student(checkpoint).thresholds.numpy())).all()
    assert 0 < above.mean() < 1
    again = pd.read_csv(tmp_path / "predictions.csv", dtype={"name": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(again, table.frame, check_dtype=False, rtol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv", "predictions.parquet"]


def test_any_folder_is_searched_by_content_and_bad_files_are_listed_and_skipped(
    checkpoint: Path,
    tiny_root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = tmp_path / "images"
    (images / "below").mkdir(parents=True)
    shutil.copy(tiny_root / "test" / "3.png", images / "below" / "no suffix")
    write_dicom(images / "IM0", np.asarray(Image.open(tiny_root / "test" / "4.png")).astype(np.uint16), 8)
    (images / "broken.png").write_bytes((tiny_root / "test" / "0.png").read_bytes()[:60])
    (images / "notes.txt").write_text("no image")
    out = tmp_path / "out"
    assert mmpkd(["infer", str(checkpoint), str(images), "--out", str(out)]) == 1
    assert "predictions for 2 of 3 files; 1 could not be predicted" in capsys.readouterr().out
    assert "broken.png" in caplog.text
    frame = pd.read_parquet(out / "predictions.parquet").set_index("name")
    assert sorted(frame.index) == ["IM0", "below_no suffix", "broken"]
    np.testing.assert_allclose(
        frame.loc["below_no suffix", PROBABILITIES].to_numpy(float), expected(checkpoint, tiny_root)[3], atol=1e-6
    )
    assert frame.loc["broken", [*PROBABILITIES, *DECISIONS]].isna().all()
    assert "broken.png" in str(frame.loc["broken", "error"])
    assert (frame.drop("broken")["error"] == "").all()
    # a file that was mended is read by the same command
    shutil.copy(tiny_root / "test" / "0.png", images / "broken.png")
    assert mmpkd(["infer", str(checkpoint), str(images), "--out", str(out)]) == 0


def test_a_stopped_command_goes_on(
    checkpoint: Path,
    tiny_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    predicted: list[str] = []
    limit = 5

    def counting(*arguments: object, **options: object):  # type: ignore[no-untyped-def]  # noqa: ANN202
        found: FilePrediction
        for found in predict_files(*arguments, **options):  # type: ignore[arg-type]
            if len(predicted) == limit:
                raise KeyboardInterrupt
            predicted.append(found.file.path.name)
            yield found

    monkeypatch.setattr(infer_folder, "predict_files", counting)
    words = ["infer", str(checkpoint), str(tiny_root / "test"), "--out", str(tmp_path), "--maps", "raw"]
    assert mmpkd(words) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert len(pd.read_parquet(tmp_path / "predictions.parquet")) == limit
    lost = next((tmp_path / "maps").glob("*.npz"))
    lost.unlink()
    limit = 99
    assert mmpkd(words) == 0
    # those that are left, and the one whose map was lost
    assert len(predicted) == 5 + 11 + 1
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    order = [int(name) for name in frame["name"]]
    np.testing.assert_allclose(frame[PROBABILITIES].to_numpy(), expected(checkpoint, tiny_root)[order], atol=1e-6)
    assert lost.is_file()
    before = (tmp_path / "predictions.csv").read_bytes()
    assert mmpkd(words) == 0
    assert len(predicted) == 17
    assert (tmp_path / "predictions.csv").read_bytes() == before


def test_the_table_is_saved_while_files_are_predicted(
    checkpoint: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(infer_folder, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(infer_folder, "write_table", lambda frame, *_: saved.append(len(frame)))
    assert mmpkd(["infer", str(checkpoint), str(tiny_root / "test"), "--out", str(tmp_path)]) == 0
    assert saved == [*range(1, 17), 16]


def test_predictions_of_another_student_are_refused(
    checkpoint: Path, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "epoch": 1}, other)
    words = [str(tiny_root / "test" / "0.png"), "--out", str(tmp_path / "out")]
    assert mmpkd(["infer", str(checkpoint), *words]) == 0
    assert mmpkd(["infer", str(other), *words]) == 1
    assert "Expected a new folder, or one with predictions of this student" in capsys.readouterr().err


def test_maps_are_written_as_numbers_and_drawn(checkpoint: Path, tiny_root: Path, tmp_path: Path) -> None:
    image = tiny_root / "test" / "0.png"
    words = ["infer", str(checkpoint), str(image), "--out", str(tmp_path), "--maps", "raw", "drawn"]
    assert mmpkd([*words, "--attribution", "rollout", "grad_cam", "--finding", NAMES[1]]) == 0
    trained = load_trained_student(checkpoint)
    normalised = trained.normalised(trained.read(image)[0])
    with np.load(tmp_path / "maps" / "0.npz") as maps:
        assert sorted(maps) == [f"grad_cam/{NAMES[1]}", "rollout"]
        np.testing.assert_allclose(maps["rollout"], AttentionRollout()(trained.student, normalised)[0], atol=1e-6)
        own = GradCAM().of_label(trained.student, normalised, torch.tensor([1]))[0]
        np.testing.assert_allclose(maps[f"grad_cam/{NAMES[1]}"], own, atol=1e-6)
    with Image.open(tmp_path / "maps" / "0.png") as figure:
        assert figure.width > 2 * figure.height > 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.ckpt", "."], "Expected the checkpoint of a student"),
        (["CHECKPOINT", "nowhere"], "Expected an image or a folder at 'nowhere'"),
        (["CHECKPOINT", "EMPTY"], "Expected images"),
        (["CHECKPOINT", "EMPTY", "--finding", "Fracture"], "Expected findings of"),
    ],
)
def test_wrong_arguments_are_explained_before_anything_is_written(
    words: list[str], message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"CHECKPOINT": str(checkpoint), "EMPTY": str(tmp_path)}
    assert mmpkd(["infer", *(places.get(word, word) for word in words), "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_python_gives_the_same_with_processes_that_read(checkpoint: Path, tiny_root: Path) -> None:
    alone = package.infer(checkpoint, tiny_root / "test")
    pd.testing.assert_frame_equal(
        package.infer(checkpoint, tiny_root / "test", batch_size=3, num_workers=1), alone, atol=1e-6
    )
