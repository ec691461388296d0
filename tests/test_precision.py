"""Training and scoring in half precision: both end, and what is measured is not rounded."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from mmpkd.attribution import (
    AllOnes,
    AttentionRelevance,
    AttentionRollout,
    AttributionMethod,
    CenterGaussian,
    GradCAM,
    ImageIntensity,
    LastLayerAttention,
    MeanRoi,
    RandomMap,
)
from mmpkd.callbacks.ema import EMA
from mmpkd.callbacks.localization.attribution_maps import AttributionMapLogger
from mmpkd.callbacks.localization.faithfulness import FaithfulnessMonitor
from mmpkd.callbacks.localization.monitor import LocalizationMonitor
from mmpkd.callbacks.nan_guard import NaNGuard
from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.losses import CosineFeatureLoss, HardLabels, HintMSE, InfoNCE, LossTerm, Objective
from mmpkd.metrics import HeatmapPairs, MultilabelScores, Rois, default_scores, patch_ceiling
from mmpkd.modules import DistillationModule, TeacherModule
from mmpkd.modules.optimizer import OptimizerSettings
from mmpkd.numerics.precision import Float32Buffers, Float32Linear
from mmpkd.students import VisionTransformerStudent
from mmpkd.teachers import FusionEncoder, TabularEncoder, TextEncoder, Windows
from mmpkd.teachers.source import TeacherSource
from tests.quiet_trainer import quiet_trainer
from tests.tiny import TinyDataModule, tiny_student, write_targets

HALF = (torch.bfloat16, torch.float16)


def hint() -> HintMSE:
    loss = HintMSE()
    loss.build(3, 2)
    return loss


def encoder() -> TabularEncoder:
    table = TabularEncoder(width=4)
    table.build({"numeric_names": ["year"], "categorical_names": ["a"], "mean": [2019.3], "std": [3.7]})
    return table


MEASURED: dict[str, Callable[[], nn.Module]] = {
    "thresholds": lambda: MultilabelScores(2),
    "mean": hint,
    "std": encoder,
    "threshold": HardLabels,
    "pos_weight": lambda: Objective(pos_weight=[1.1, 2.3]),
}


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", MEASURED)
def test_what_is_measured_stays_in_float32(name: str, dtype: torch.dtype) -> None:
    module = MEASURED[name]()
    buffer = module.get_buffer(name)
    buffer.fill_(1.2345678)
    outer = nn.Sequential(module, nn.Linear(1, 1)).to(dtype)
    assert outer[1].weight.dtype == dtype
    assert torch.equal(module.get_buffer(name), torch.full_like(buffer, 1.2345678))
    assert outer.to("meta") is outer
    assert module.get_buffer(name).device.type == "meta"


def test_other_buffers_are_converted() -> None:
    class Net(Float32Buffers, nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("nothing", None)
            self.norm = nn.BatchNorm1d(2)

    net = Net().to(torch.bfloat16)
    assert net.norm.get_buffer("running_mean").dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", HALF)
def test_a_float32_layer_computes_in_float32(dtype: torch.dtype) -> None:
    layer, x = Float32Linear(300, 2).to(dtype), torch.randn(4, 300).to(dtype)
    exact = x.double() @ layer.weight.double().T + layer.bias.double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(x).double(), exact, rtol=1e-5, atol=1e-5)


def test_logits_of_a_student_in_half_precision_are_in_float32() -> None:
    torch.manual_seed(0)
    options = {"depth": 1, "embed_dim": 16, "num_heads": 2}
    net = VisionTransformerStudent("vit_nano_patch8_64", 2, 32, options=options).eval().to(torch.bfloat16)
    output = net(torch.randn(64, 1, 32, 32).to(torch.bfloat16))
    assert output.features.dtype == torch.bfloat16
    assert len(output.logits[:, 0].unique()) > len(output.logits[:, 0].bfloat16().unique())


def test_the_default_type_changes_no_map_and_no_score() -> None:
    """Lightning sets it to that of the weights while a model runs, and whole numbers divided have it."""
    torch.manual_seed(0)
    net = VisionTransformerStudent("vit_nano_patch8_64", 2, 32, options={"depth": 2}).eval()
    image, label = torch.randn(2, 1, 32, 32), torch.tensor([0, 1])
    mask = torch.rand(2, 32, 32) < 0.3
    scores = default_scores(0.1)
    methods: list[AttributionMethod] = [
        AttentionRollout(),
        LastLayerAttention(),
        AllOnes(),
        RandomMap(),
        CenterGaussian(),
        ImageIntensity(),
    ]

    def found() -> list[Tensor]:
        maps = [method(net, image) for method in methods]
        maps += [method.of_label(net, image, label) for method in (AttentionRelevance(), GradCAM())]
        pairs = [HeatmapPairs(one, Rois(mask)) for one in maps]
        return [*maps, *(score.score(one) for score in scores for one in pairs), patch_ceiling(mask, (4, 4))]

    expected = found()
    torch.set_default_dtype(torch.bfloat16)
    try:
        changed = found()
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(expected, changed, strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_run_in_half_precision_ends_and_its_tables_are_in_float32(
    precision: Any, tiny_root: Path, tmp_path: Path
) -> None:
    losses = {"hint": HintMSE(), "cosine": CosineFeatureLoss(), "nce": InfoNCE(), "hard": HardLabels("validation")}
    extra = {name: LossTerm(loss, 0.1) for name, loss in losses.items()}
    teacher = str(write_targets(tmp_path / "targets", tiny_root))
    narrow = tiny_student(options={"depth": 1, "embed_dim": 16, "num_heads": 2})
    objective = Objective(extra_losses=extra)
    module = DistillationModule(narrow, TeacherSource(teacher), objective, OptimizerSettings(lr=3e-4))
    callbacks = [
        LocalizationMonitor([AttentionRollout(), GradCAM(), MeanRoi()], []),
        FaithfulnessMonitor([AttentionRollout()], num_steps=1, max_images=1),
        AttributionMapLogger(num_images=1, num_examples=0),
        PredictionWriter(),
        NaNGuard(),
    ]
    trainer = quiet_trainer(
        tmp_path, precision=precision, callbacks=callbacks, log_every_n_steps=1, limit_train_batches=2
    )
    data = TinyDataModule(str(tiny_root), num_eval=8)
    trainer.fit(module, data)
    assert trainer.logged_metrics["train/lr"] == torch.tensor(3e-4)  # bfloat16 has 2.9945e-4
    trainer.test(module, data, verbose=False)
    assert module.student.model.head.weight.dtype in HALF
    assert {module.scores.thresholds.dtype, module.objective.get_buffer("extra.hint.mean").dtype} == {torch.float32}
    probability = {stage: pd.read_parquet(tmp_path / f"predictions_{stage}.parquet") for stage in ("val", "test")}
    column = "probability/Left Finding"
    assert probability["test"][column].dtype == "float32"
    assert float(module.scores.thresholds[0]) in probability["val"][column].tolist()  # one of them, not a rounded one
    assert (tmp_path / "roi_test.parquet").is_file()


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
@pytest.mark.parametrize("is_fusion", [False, True])
def test_a_table_whose_numbers_would_be_rounded_is_refused(
    is_fusion: bool, precision: Any, tiny_root: Path, tmp_path: Path
) -> None:
    text = TextEncoder(width=8, depth=1, num_heads=1, max_length=8)
    table = TabularEncoder(width=4)
    trainer = quiet_trainer(tmp_path, precision=precision, limit_train_batches=1, limit_val_batches=1)
    with pytest.raises(ValueError, match=r"Expected numbers of a table in float32 but got b?float16, .* bf16-mixed"):
        trainer.fit(
            TeacherModule(FusionEncoder(text, table) if is_fusion else table, 2), TinyDataModule(str(tiny_root))
        )


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_teacher_of_text_trains_in_half_precision(precision: Any, tiny_root: Path, tmp_path: Path) -> None:
    encoder = TextEncoder(width=8, depth=1, num_heads=1, max_length=4, windows=Windows(1))
    module = TeacherModule(encoder, 2)
    trainer = quiet_trainer(tmp_path, precision=precision, limit_train_batches=2, limit_val_batches=1)
    trainer.fit(module, TinyDataModule(str(tiny_root)))
    assert {parameter.dtype for parameter in module.teacher.encoder.parameters()} <= {*HALF}
    assert all(parameter.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_an_average_of_weights_in_half_precision_is_refused(precision: str) -> None:
    trainer: Any = SimpleNamespace(precision=precision)
    with pytest.raises(ValueError, match="Use bf16-mixed"):
        EMA().setup(trainer, LightningModule(), "fit")
