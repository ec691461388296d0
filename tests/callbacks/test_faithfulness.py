from pathlib import Path

import pandas as pd
import pytest
import torch

from data_modules.images.regions import Roi
from mmpkd.attribution import AttentionRollout, GradCAM, RandomMap
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.map_samples import rank
from mmpkd.metrics.faithfulness import area_under_curve, perturbation_curves
from tests.callbacks.localization_data import MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def data() -> MemoryData:
    found = MemoryData(make_samples())
    found.splits["test"] = found.splits["val"]
    rois = {row: (Roi(0),) for row in (0, 2, 5, 6)}
    object.__setattr__(found.splits["test"], "rois", rois)
    return found


def test_table_and_means_are_those_of_the_function(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [FaithfulnessMonitor([AttentionRollout(), GradCAM()], num_steps=4)])
    trainer.test(StudentModule(), datamodule=data(), verbose=False)
    frame = pd.read_parquet(tmp_path / "faithfulness_test.parquet")
    assert len(frame) == 2 * 4  # the ROI of study/6 is empty
    sample, student = make_samples()[2], StudentModule().student.eval()
    image, label = torch.tensor(sample.image)[None], torch.tensor([1])
    for method, heatmap in (
        ("rollout", AttentionRollout()(student, image)),
        ("grad_cam", GradCAM().of_label(student, image, label)),
    ):
        curves = perturbation_curves(student, image, heatmap, label, 4)
        row = frame[(frame["sample_id"] == "study/2") & (frame["finding"] == "Mass") & (frame["attribution"] == method)]
        assert row["deletion"].item() == pytest.approx(area_under_curve(curves.deletion).item(), abs=1e-5)
        assert row["insertion"].item() == pytest.approx(area_under_curve(curves.insertion).item(), abs=1e-5)
        own = frame[frame["attribution"] == method]
        assert trainer.callback_metrics[f"test/{method}/deletion"].item() == pytest.approx(own["deletion"].mean())


def test_images_are_chosen_by_their_hash(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [FaithfulnessMonitor([RandomMap()], num_steps=1, max_images=2)])
    trainer.test(StudentModule(), datamodule=data(), verbose=False)
    frame = pd.read_parquet(tmp_path / "faithfulness_test.parquet")
    chosen = sorted((f"study/{i}" for i in (0, 2, 5, 6)), key=rank)[:2]
    assert set(frame["sample_id"]) == set(chosen) - {"study/6"}


def test_more_steps_than_patches_are_refused_before_anything_long(tmp_path: Path) -> None:
    module, passes = StudentModule(), []
    module.student.register_forward_hook(lambda *_: passes.append(1))
    trainer = make_trainer(tmp_path, [FaithfulnessMonitor([RandomMap()], num_steps=17)], max_epochs=1)
    with pytest.raises(ValueError, match="Expected 1 to 16 num_steps of FaithfulnessMonitor") as error:
        trainer.fit(module, datamodule=data())
    assert "\n" not in str(error.value)
    assert not passes
    FaithfulnessMonitor(num_steps=16).setup(trainer, module, "test")


@pytest.mark.parametrize(
    "options",
    [{"attributions": []}, {"num_steps": 0}, {"max_images": 0}, {"attributions": [RandomMap(), RandomMap(1)]}],
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected attributions"):
        FaithfulnessMonitor(**options)  # type: ignore[arg-type]
