import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data_modules.batch import Privileged
from mmpkd.cli.lightning_cli import main
from mmpkd.modules import TeacherModule
from mmpkd.modules.optimizer import TeacherOptimizerSettings
from mmpkd.teachers import FTTransformerEncoder, FusionEncoder, TabularEncoder, Teacher, TextEncoder, load_teacher
from mmpkd.teachers.encoders.base import PrivilegedEncoder
from mmpkd.teachers.teacher import build_teacher
from tests.runs import config
from tests.tiny import write_tiny

SMALL = {"width": 8, "depth": 1, "num_heads": 2}


def fusion(**options: float) -> FusionEncoder:
    text = TextEncoder(max_length=16, **SMALL)  # type: ignore[arg-type]
    return FusionEncoder(text, TabularEncoder(8, 1), width=6, **options)


def built(encoder: FusionEncoder, root: Path) -> FusionEncoder:
    torch.manual_seed(0)
    encoder.build(encoder.learn(write_tiny(root, {"train": 16})["train"]))
    return encoder.eval()


def batch(report: list[str], numeric: list[float], categorical: list[list[float]]) -> Privileged:
    return {"report": report, "numeric": torch.tensor(numeric)[:, None], "categorical": torch.tensor(categorical)}


def test_each_part_has_an_influence_and_either_may_be_missing(tmp_path: Path) -> None:
    encoder = built(fusion(), tmp_path)
    nan = float("nan")
    none, one = [0.0, 0.0], [1.0, 0.0]
    reports = ["bright left", "dark left", "bright left", "bright left", ""]
    features = encoder(batch(reports, [1, 1, 0, nan, 1], [one, one, one, none, one]))
    assert features.isfinite().all()
    for other in (1, 2, 3, 4):
        assert not torch.allclose(features[0], features[other])
    # a missing part is the same whatever the encoder says about nothing
    blank = encoder(batch(["", "   "], [1, 1], [one, one]))
    torch.testing.assert_close(blank[0], blank[1])


def test_part_dropout_leaves_out_one_part_but_never_both_and_only_in_training(tmp_path: Path) -> None:
    encoder = built(fusion(part_dropout=0.9, dropout=0.0), tmp_path)
    torch.manual_seed(0)
    encoder.train()
    present = encoder._present(batch(["left"] * 400, [1.0] * 400, [[1.0, 0.0]] * 400))
    either, both = present["text"] | present["table"], present["text"] & present["table"]
    assert either.all()
    assert 0.05 < both.float().mean() < 0.2
    assert 0.3 < present["text"].float().mean() < 0.8
    assert all(value.all() for value in encoder.eval()._present(batch(["a"] * 9, [1.0] * 9, [[1.0, 0.0]] * 9)).values())


def test_it_is_rebuilt_from_its_manifest(tmp_path: Path) -> None:
    encoder = built(fusion(), tmp_path)
    teacher = Teacher(encoder, 2).eval()
    again = build_teacher(json.loads(json.dumps(teacher.manifest(("A", "B"))))).eval()
    again.load_state_dict(teacher.state_dict())
    inputs = batch(["bright left"], [1.0], [[1.0, 0.0]])
    torch.testing.assert_close(again(inputs), teacher(inputs))


def test_a_teacher_of_both_is_trained_by_the_command_line(tiny_root: Path, tmp_path: Path) -> None:
    text = {"class_path": "mmpkd.teachers.TextEncoder", "init_args": {**SMALL, "max_length": 16}}
    table = {"class_path": "mmpkd.teachers.FTTransformerEncoder", "init_args": {"width": 8, "num_heads": 2, "depth": 1}}
    encoder = {"class_path": "mmpkd.teachers.FusionEncoder", "init_args": {"text": text, "table": table, "width": 8}}
    model = {
        "class_path": "mmpkd.modules.TeacherModule",
        "init_args": {"encoder": encoder, "optimizer": {"lr": 5e-3, "layer_decay": 0.7}},
    }
    main(["fit", *config(tmp_path, "fusion", tiny_root, model)])
    frozen = load_teacher(tmp_path / "fusion" / "checkpoints" / "best.ckpt")
    assert isinstance(frozen.teacher.encoder, FusionEncoder)
    assert frozen(batch(["bright left dark right"], [1.0], [[1.0, 0.0]])).logits.shape == (1, 2)


def test_ft_transformer_reads_numbers_categories_or_either(tmp_path: Path) -> None:
    inputs = {"numeric_names": ["a"], "categorical_names": ["b=0", "b=1"], "mean": [2.0], "std": [4.0]}
    torch.manual_seed(0)
    encoder = FTTransformerEncoder(width=8, depth=1, num_heads=2)
    encoder.build(inputs)
    encoder.eval()
    rows = encoder(
        {"numeric": torch.tensor([[2.0], [6.0], [torch.nan]]), "categorical": torch.tensor([[1.0, 0.0]] * 3)}
    )
    assert rows.shape == (3, 8)
    torch.testing.assert_close(rows[0], rows[2])  # missing is the mean
    assert not torch.allclose(rows[0], rows[1])
    encoder.build({"numeric_names": [], "categorical_names": ["b=0"], "mean": [], "std": []})
    assert encoder({"numeric": torch.zeros(2, 0), "categorical": torch.ones(2, 1)}).shape == (2, 8)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (FTTransformerEncoder, {"width": 9, "num_heads": 2}),
        (FTTransformerEncoder, {"num_heads": 0}),
        (FTTransformerEncoder, {"depth": 0}),
        (TabularEncoder, {"width": 0}),
        (TabularEncoder, {"depth": 0}),
        (TabularEncoder, {"dropout": 1.0}),
        (TextEncoder, {"width": 0}),
        (TextEncoder, {"num_heads": 3}),
        (TextEncoder, {"depth": -1}),
        (TextEncoder, {"dropout": -0.1}),
        (TextEncoder, {"max_length": 2}),
        (TextEncoder, {"bucket_size": 0}),
    ],
)
def test_sizes_that_no_encoder_can_have_are_refused_at_once(
    kind: type[PrivilegedEncoder], sizes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"^Expected an? encoder|^Expected encoder\.max_length"):
        kind(**sizes)


def test_learning_rates_of_a_text_teacher_shrink_towards_its_embeddings(tmp_path: Path) -> None:
    encoder = TextEncoder(max_length=16, width=8, depth=2, num_heads=2)
    module = TeacherModule(encoder, 2, TeacherOptimizerSettings(lr=1.0, layer_decay=0.5))
    encoder.build(encoder.learn(write_tiny(tmp_path, {"train": 16})["train"]))
    module.teacher = Teacher(encoder, 2)
    rate = {id(p): group.get("lr", 1.0) for group in module.parameter_groups() for p in group["params"]}
    assert set(rate) == {id(p) for p in module.parameters()}
    by_name = {name: rate[id(p)] for name, p in module.named_parameters()}
    assert {value for name, value in by_name.items() if ".embeddings." in name} == {0.25}
    assert {value for name, value in by_name.items() if ".layer.0." in name} == {0.5}
    assert {value for name, value in by_name.items() if ".layer.1." in name or "head" in name} == {1.0}
