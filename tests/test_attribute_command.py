"""`mmpkd attribute` on image files of several kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from data_modules.cbis_ddsm.breast import PrepareBreast
from data_modules.images.preparation import Preparation
from data_modules.phantoms import write_breast_phantoms
from mmpkd.attribution import AttentionRollout
from mmpkd.cli.lightning_cli import main
from mmpkd.commands.attribute import ATTRIBUTIONS
from mmpkd.commands.main import main as mmpkd
from mmpkd.inference.image_files import find_images
from mmpkd.inference.maps import METHODS
from mmpkd.students import load_trained_student
from tests.data.dicom import write_dicom
from tests.runs import config, student
from tests.tiny import NAMES, TinyDataModule


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("student")
    main(["fit", *config(folder, "student", tiny_root, student())])
    return folder / "student" / "checkpoints" / "best.ckpt"


def test_every_map_can_be_asked_for() -> None:
    assert set(ATTRIBUTIONS) == set(METHODS)


def test_files_and_folders_become_figures_and_predictions(checkpoint: Path, tiny_root: Path, tmp_path: Path) -> None:
    images = tmp_path / "images" / "below"
    images.mkdir(parents=True)
    for name in ("0.png", "1.png"):
        (images / name).write_bytes((tiny_root / "test" / name).read_bytes())
    alone = tiny_root / "test" / "2.png"
    out = tmp_path / "out"
    assert mmpkd(["attribute", str(checkpoint), str(alone), str(tmp_path / "images"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.glob("*.png")) == ["2.png", "below_0.png", "below_1.png"]
    data = TinyDataModule(str(tiny_root))
    sample = data.dataset("test", True, False)[0, 2]
    trained = load_trained_student(checkpoint)
    with torch.no_grad():
        expected = trained.student(torch.from_numpy(sample.image)[None]).logits.sigmoid()[0]
    row = pd.read_csv(out / "predictions.csv", dtype={"name": str}).query("name == '2'")
    # read, resized and normalised as in training
    assert row[list(NAMES)].to_numpy()[0] == pytest.approx(expected.numpy(), abs=1e-6)
    with Image.open(out / "2.png") as figure:
        assert figure.width > 2 * figure.height > 400


def test_maps_and_findings_are_those_asked_for(
    checkpoint: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, np.ndarray]] = []

    def figure(image: np.ndarray, heatmaps: dict[str, np.ndarray], title: str, aspect: float) -> Any:
        assert image.shape == (32, 32)
        assert aspect == 1
        assert all(name in title for name in NAMES)
        seen.append(heatmaps)
        return type("Figure", (), {"savefig": lambda self, *a, **k: None})()

    monkeypatch.setattr("mmpkd.inference.figures.map_figure", figure)
    image = tiny_root / "test" / "0.png"
    arguments = ["attribute", str(checkpoint), str(image), "--out", str(tmp_path)]
    chosen = ["--attribution", "rollout", "grad_cam", "--finding", "Right Finding", "Left Finding"]
    assert mmpkd([*arguments, *chosen]) == 0
    assert list(seen[0]) == ["rollout", "grad cam: Right Finding", "grad cam: Left Finding"]
    trained = load_trained_student(checkpoint)
    pixels, _ = trained.read(image)
    normalised = torch.from_numpy((pixels - 0.5) / 0.25).float()[None, None]
    heatmap = AttentionRollout()(trained.student, normalised)[0].numpy()
    assert np.allclose(seen[0]["rollout"].reshape(4, 8, 4, 8).mean((1, 3)), heatmap, rtol=0.3)  # enlarged


def test_breast_images_are_cropped_as_in_training_and_keep_their_proportions(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_breast_phantoms(root, num_train=24, num_test=4, num_workers=0)
    data = {
        "class_path": "data_modules.cbis_ddsm.CBISDDSMDataModule",
        "init_args": {"root": str(root), "image_size": 32, "batch_size": 8, "num_workers": 0},
    }
    content = {
        "run": {"dir": str(tmp_path / "run"), "wandb": "disabled"},
        "data": data,
        "model": student(),
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "limit_train_batches": 1},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    main(["fit", "--config", str(tmp_path / "run.yaml")])
    checkpoint = tmp_path / "run" / "checkpoints" / "best.ckpt"
    preparation = load_trained_student(checkpoint).preparation
    assert preparation is not None
    assert isinstance(preparation.preprocess, PrepareBreast)
    dicom = next(path for path in sorted(root.rglob("*.dcm")) if "full" in str(path).lower() or "Mass" in str(path))
    assert mmpkd(["attribute", str(checkpoint), str(dicom), "--out", str(tmp_path / "out"), "--format", "svg"]) == 0
    assert list((tmp_path / "out").glob("*.svg"))


def test_what_cannot_be_read_is_named_and_does_not_stop_the_rest(
    checkpoint: Path,
    tiny_root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((tiny_root / "test" / "0.png").read_bytes()[:60])
    good = tiny_root / "test" / "1.png"
    with caplog.at_level("ERROR", "mmpkd"):
        assert mmpkd(["attribute", str(checkpoint), str(broken), str(good), "--out", str(tmp_path / "out")]) == 1
    assert "broken.png" in caplog.text
    assert "figures and predictions for 1 of 2 files." in capsys.readouterr().out
    assert (tmp_path / "out" / "1.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.ckpt", "."], "Expected the checkpoint of a student"),
        (["CHECKPOINT", "nowhere"], "Expected an image or a folder at 'nowhere'"),
        (["CHECKPOINT", "EMPTY"], "Expected images"),
        (["CHECKPOINT", "EMPTY", "--finding", "Fracture"], "Expected findings of"),
    ],
)
def test_wrong_arguments_are_explained_before_anything_starts(
    arguments: list[str], message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"CHECKPOINT": str(checkpoint), "EMPTY": str(tmp_path)}
    assert mmpkd(["attribute", *(places.get(a, a) for a in arguments), "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_figures_of_an_earlier_call_are_no_images(checkpoint: Path, tiny_root: Path, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes((tiny_root / "test" / "0.png").read_bytes())
    words = ["attribute", str(checkpoint), str(tmp_path), "--attribution", "rollout", "--out", str(tmp_path / "maps")]
    for _ in range(2):
        assert mmpkd(words) == 0
        assert [path.name for path in (tmp_path / "maps").glob("*.png")] == ["0.png"]


def test_names_never_collide(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / folder / "x.png")
    named = find_images([tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path])
    assert [file.name for file in named] == ["x", "x_2", "a_x", "b_x"]
    known = {str(tmp_path / "b" / "x.png"): "x"}  # from an earlier call
    assert [file.name for file in find_images([tmp_path / "a" / "x.png", tmp_path / "b"], known)] == ["x_2", "x"]


SCANS = ["scan of kind JPEG", "scan of kind PNG"]


def test_files_are_found_by_content_and_keep_their_names(tmp_path: Path) -> None:
    for name in ("1.2.840.1", "1.2.840.2", "IM1", "b/x.dcm", "b/x.IMA", "DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_dicom(tmp_path / name, np.zeros((2, 2), np.uint16), 12)
    (tmp_path / "README").write_text("text")
    for kind in ("PNG", "JPEG"):
        Image.new("L", (2, 2)).save(tmp_path / f"scan of kind {kind}", kind)
    named = find_images([tmp_path, tmp_path / "1.2.840.2"])
    assert [file.name for file in named] == ["1.2.840.1", "1.2.840.2", "IM1", "b_x", "b_x_2", *SCANS, "1.2.840.2_2"]


def test_a_checkpoint_cannot_name_code_of_others() -> None:
    described = Preparation(32).describe()
    described["preprocess"] = {"class": "os.system", "fields": {}}
    with pytest.raises(ValueError, match="preprocessing of this package"):
        Preparation.from_description(described)
