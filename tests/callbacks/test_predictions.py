import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmpkd.callbacks.predictions import PredictionWriter
from mmpkd.records.tables import write_table
from tests.callbacks.localization_data import LABELS, MemoryData, StudentModule, make_samples, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def test_table_holds_targets_and_probabilities(tmp_path: Path) -> None:
    samples = make_samples()
    trainer = make_trainer(tmp_path, [PredictionWriter()])
    trainer.validate(StudentModule(), datamodule=MemoryData([*samples, samples[0]]), verbose=False)
    frame = pd.read_parquet(tmp_path / "predictions_val.parquet")
    columns = [f"{kind}/{name}" for name in LABELS for kind in ("target", "probability")]
    assert list(frame.columns) == ["sample_id", "patient_id", *columns]
    assert frame["sample_id"].tolist() == [sample.sample_id for sample in samples]  # the repeated one counts once
    assert frame["patient_id"].tolist() == [sample.patient_id for sample in samples]
    np.testing.assert_array_equal(frame[[f"target/{name}" for name in LABELS]], np.stack([s.label for s in samples]))
    with torch.no_grad():
        image = torch.stack([torch.tensor(sample.image) for sample in samples])
        expected = StudentModule().student.eval()(image).logits.sigmoid()
    np.testing.assert_allclose(frame[[f"probability/{name}" for name in LABELS]], expected, atol=1e-6)
    assert not (tmp_path / "predictions_test.parquet").exists()


def test_fit_keeps_the_last_epoch_and_skips_the_sanity_check(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [PredictionWriter()], max_epochs=2, num_sanity_val_steps=1)
    module = StudentModule()
    trainer.fit(module, datamodule=MemoryData(make_samples()))
    frame = pd.read_parquet(tmp_path / "predictions_val.parquet")
    assert len(frame) == 7
    with torch.no_grad():
        image = torch.stack([torch.tensor(sample.image) for sample in make_samples()])
        expected = module.student.eval()(image).logits.sigmoid()[:, 0]
    np.testing.assert_allclose(frame["probability/Effusion"], expected, atol=1e-6)


def test_failed_write_keeps_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.parquet"
    write_table(pd.DataFrame({"a": [1]}), path)

    def fail(table: pa.Table, target: Path) -> None:
        del table
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match=r"Expected room for '.*table\.parquet'"):
        write_table(pd.DataFrame({"a": [2]}), path)
    assert pd.read_parquet(path)["a"].tolist() == [1]
    assert list(tmp_path.iterdir()) == [path]
