"""Maps and scores of a GPU are those of the CPU, within 1e-3 of the largest value of a map and 1e-2 of a score."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from mmpkd.attribution import AttributionMethod
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.metrics import RoiMetric
from mmpkd.modules import DistillationModule
from mmpkd.students import VisionTransformerStudent
from tests.attribution.methods import METHODS, maps
from tests.gpu.device import DEVICE, MARKS, ON_GPU, data, trainer
from tests.metrics.test_on_device import SCORES, pairs
from tests.tiny import tiny_student

pytestmark = MARKS


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_maps_are_those_of_the_cpu(method: AttributionMethod) -> None:
    torch.manual_seed(0)
    student = VisionTransformerStudent("vit_tiny_patch16_224", 3, 96, options={"depth": 4}).eval()
    image, label = torch.randn(4, 1, 96, 96), torch.tensor([0, 1, 2, 0])

    found = [
        maps(method, student.to(place), image.to(place), label.to(place)).cpu()
        for place in (torch.device("cpu"), DEVICE)
    ]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-3 * float(found[0].abs().max()))


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_scores_are_those_of_the_cpu(score: RoiMetric) -> None:
    found, expected = score.score(pairs(lambda value: value.to(DEVICE))), score.score(pairs())
    assert found.device.type == DEVICE.type
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=1e-2, equal_nan=True)


@pytest.mark.parametrize(
    "precision", ["32-true", *(pytest.param(name, marks=ON_GPU) for name in ("bf16-mixed", "bf16-true"))]
)
def test_a_test_writes_its_tables(precision: str, tiny_root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = DistillationModule(tiny_student())
    monitor = LocalizationMonitor()
    callbacks = [monitor, FaithfulnessMonitor(num_steps=2, max_images=2), PredictionWriter()]
    run = trainer(tmp_path, *callbacks, precision=precision, limit_train_batches=1, limit_val_batches=1)
    run.fit(student, data(tiny_root))
    run.test(student, data(tiny_root), verbose=False)
    table = pd.read_parquet(tmp_path / "roi_test.parquet")
    assert set(table["attribution"]) == {method.name for method in (*monitor.attributions, *monitor.test_attributions)}
    assert table["pixel_auroc"].between(0, 1).all()
    assert len(pd.read_parquet(tmp_path / "predictions_test.parquet")) == 16
