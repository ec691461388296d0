"""An exported student as a teacher, and what the card of an export says of teachers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmpkd.callbacks.record import sha256_of_teacher
from mmpkd.commands.main import main as mmpkd
from mmpkd.export.training import teacher_words
from mmpkd.records import RunState
from mmpkd.records.checkpoint import sha256_of
from mmpkd.teachers.lookup import open_teacher
from mmpkd.teachers.source import TeacherSource
from tests.tiny import TinyDataModule


def test_an_export_teaches_like_its_checkpoint_and_is_recorded_as_it(
    run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "student"
    assert mmpkd(["export", str(run), "--out", str(exported)]) == 0
    checkpoint = run / "checkpoints" / "best.ckpt"
    data = TinyDataModule(str(tiny_root))
    batch: Any = {"image": torch.randn(2, 1, 32, 32), "index": torch.tensor([0, 63])}
    found = [
        open_teacher(TeacherSource(str(path), "image"), data, torch.device("cpu"))(batch)
        for path in (exported, checkpoint)
    ]
    torch.testing.assert_close(found[0][0].logits, found[1][0].logits)
    assert found[0][1].tolist() == found[1][1].tolist() == [True, False]  # the last sample has no privileged input
    assert sha256_of_teacher(exported) == sha256_of(checkpoint)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (None, "None: the student was trained on images and labels only."),
        ({"path": None}, "None: a control made the targets of the training, without a teacher."),
        ({"path": "a.ckpt", "targets": "image"}, "A frozen student that sees the same images."),
        ({"path": "a.ckpt"}, "A frozen teacher that reads privileged information"),
    ],
)
def test_the_card_says_what_kind_of_teacher_there_was(teacher: dict[str, str] | None, words: str) -> None:
    config = {"model": {"init_args": {"teacher": teacher}}}
    assert teacher_words(SimpleNamespace(state=RunState(), config=config)).startswith(words)  # type: ignore[arg-type]
