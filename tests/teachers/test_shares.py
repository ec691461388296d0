"""Several processes compute the outputs of a teacher in shares; the whole is what one process computes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_modules.split import Split
from mmpkd.teachers import FrozenTeacher, Teacher, TextEncoder, run_teachers
from mmpkd.teachers.teacher import TeacherIdentity
from tests.tiny import NAMES, TinyDataModule

CPU = torch.device("cpu")


class Reports(TinyDataModule):
    """Reports of one to three times the usual length, which are padded to the longest of their batch."""

    def read_splits(self) -> Mapping[str, Split]:
        splits = dict(super().read_splits())
        reports = splits["train"].report or []
        longer = [" ".join([text] * (1 + row * row % 3)) for row, text in enumerate(reports)]
        splits["train"] = replace(splits["train"], report=longer)
        return splits


def text_teacher(data: TinyDataModule) -> FrozenTeacher:
    torch.manual_seed(0)
    encoder = TextEncoder(width=16, depth=1, num_heads=2, max_length=16)
    encoder.build(encoder.learn(data.splits["train"]))
    return FrozenTeacher(Teacher(encoder, len(NAMES)), NAMES, TeacherIdentity("a" * 64, "b" * 64, "c" * 64))


# batches of 7 of 64 samples: 10 batches, the last one smaller; with 12 processes, two have nothing to do
@pytest.mark.parametrize("processes", [2, 3, 12])
def test_shares_of_several_processes_are_the_targets_of_one_bit_by_bit(
    tiny_root: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Reports(str(tiny_root), batch_size=7)
    teacher = text_teacher(data)
    expected = run_teachers.build_targets([teacher], data.privileged_dataloader("train"), data.splits["train"], CPU)

    class SentError(Exception):
        """A process has computed its share."""

    sent: list[Any] = []

    def send(own: object) -> list[Any]:
        sent.append(own)
        if len(sent) < processes:
            raise SentError
        return sent

    monkeypatch.setattr(run_teachers, "world_size", lambda: processes)
    monkeypatch.setattr(run_teachers, "all_gather", send)
    for rank in range(processes - 1):
        monkeypatch.setattr(run_teachers, "rank", lambda rank=rank: rank)
        with pytest.raises(SentError):
            run_teachers.shared_targets([teacher], data, "train", CPU)
    monkeypatch.setattr(run_teachers, "rank", lambda: processes - 1)
    found = run_teachers.shared_targets([teacher], data, "train", CPU)
    for name in ("logits", "features", "available", "sample_id", "row_hash"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.meta == expected.meta
    # nothing is computed twice, and no process has over one batch more than another
    batches = [len(own) for own in sent]
    assert sum(batches) == 10
    assert max(batches) - min(batches) <= 1
