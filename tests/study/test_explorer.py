"""The content of the explorer of a study."""

import gzip
import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmpkd.records.map_file import read_maps, write_maps
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.explorer import explorer as module
from mmpkd.study.report.explorer.blocks import Blocks, different_rows, run_lengths
from mmpkd.study.report.explorer.explorer import Explorer, write_explorers
from mmpkd.study.report.explorer.images import read_images
from mmpkd.study.report.explorer.page import SCRIPTS, STYLES
from tests.study.explored import AREAS, OF_STUDENT, with_license, write_explored_study
from tests.tiny import SIDE

WEB = Path(module.__file__).parent / "web"
Study = tuple[StudyPlan, list[Run]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_explored_study(tmp_path_factory.mktemp("explored"), (0,))


@pytest.fixture
def own_study(tmp_path: Path) -> Study:
    """One that a test may change."""
    return write_explored_study(tmp_path, (0,))


def written(study: Study, license_name: str = "synthetic") -> tuple[Explorer, dict[str, Any], str]:
    """Write the explorer, and return what the page holds."""
    plan, runs = study
    folder = runs[0].folder.parents[1] / "report"
    (own,) = write_explorers(plan, folder, with_license(runs, license_name), {}, is_as_declared=True)
    if not own.file:
        return own, {}, ""
    return own, meta_of(folder / own.file), (folder / own.file).read_text()


def meta_of(path: Path) -> dict[str, Any]:
    """Return the JSON of a page."""
    found = re.search(r'id="meta">(.*?)</script>', path.read_text())
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_the_page_holds_every_image_run_and_attribution_in_both_units(study: Study) -> None:
    own, meta, page = written(study)
    assert own == Explorer("", "explore.html")
    rois = pd.read_parquet(study[1][1].record.rois("test"))
    assert meta["samples"] == sorted(rois["sample_id"].unique())
    assert [run["arm"] for run in meta["runs"]] == ["baseline", "distilled"]
    assert {unit["name"]: unit["top_area"] for unit in meta["units"]} == AREAS
    by_name = {method["name"]: method for method in meta["methods"]}
    assert list(by_name) == [*OF_STUDENT, "center_gaussian", "mean_roi"]
    assert {name for name, method in by_name.items() if method["is_of_finding"]} == {"relevance", "mean_roi"}
    assert {name for name, method in by_name.items() if method["is_baseline"]} == {"center_gaussian", "mean_roi"}
    assert meta["units"][1]["methods"] == ["rollout", "center_gaussian"]
    assert meta["strata"] == {"view": ["AP", "PA"]}
    assert meta["arrays"]["map/0/rollout"]["shape"][0] == len(meta["samples"])  # equal maps are kept once
    assert meta["arrays"]["map/b/center_gaussian"]["shape"][0] == 1
    assert meta["left_out"] == []
    assert meta["num_images"] == len(meta["samples"])
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page.split("<body>")[0])
    assert "default-src 'none'" in page


def test_another_data_set_has_a_page_of_its_own_images_under_its_own_licence(tmp_path: Path) -> None:
    plan, runs = write_explored_study(tmp_path, (0,), has_external=True)
    own = with_license([run for run in runs if not run.test_set], "synthetic")
    other = with_license([run for run in runs if run.test_set], "credentialed")
    pages = write_explorers(plan, tmp_path / "report", own, {"elsewhere": other}, is_as_declared=True)
    assert pages == (Explorer("", "explore.html"), Explorer("elsewhere", "explore_elsewhere.html"))
    home, elsewhere = (meta_of(tmp_path / "report" / page.file) for page in pages)
    regions = pd.read_parquet(other[0].run.record.rois("test"))
    assert elsewhere["num_images"] == regions["sample_id"].nunique() < home["num_images"]
    assert (home["license"], home["names"]) == ("synthetic", "identifiers")
    assert (elsewhere["license"], elsewhere["names"]) == ("credentialed", "numbers")
    assert elsewhere["study"] == "demo, elsewhere"
    assert home["declared"]["exploratory"] == ""
    assert elsewhere["declared"]["exploratory"] == "the declaration is about the study's own test set"
    # pages of data sets that were removed from the study go with the next report
    write_explorers(replace(plan, external=()), tmp_path / "report", own, {}, is_as_declared=True)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["explore.html"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("out/baseline/seed0/config.yaml", "", "such as `model:`, but it contains nothing"),
        ("out/baseline/seed0/config.yaml", "a: [", "Expected YAML in"),
        ("other.yaml", "class_path: Nothing\n", "the settings of their data are refused, see the terminal"),
    ],
)
def test_a_page_that_cannot_be_made_says_why(name: str, content: str, reason: str, tmp_path: Path) -> None:
    plan, runs = write_explored_study(tmp_path, (0,), has_external=True)
    (tmp_path / name).write_text(content)
    other = with_license([run for run in runs if run.test_set], "credentialed")
    (page,) = write_explorers(plan, tmp_path / "report", [], {"elsewhere": other}, is_as_declared=True)
    assert (page.domain, page.file) == ("elsewhere", "")
    assert reason in page.reason


def test_equal_studies_give_equal_pages(study: Study, own_study: Study) -> None:
    assert written(study)[2] == written(own_study)[2]


def test_a_page_that_is_too_large_holds_the_declared_comparison_then_fewer_images_and_says_so(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(written(study)[2])
    monkeypatch.setattr(module, "MAX_BYTES", whole - 1)
    _, meta, page = written(study)
    assert [method["name"] for method in meta["methods"]] == ["rollout", "center_gaussian", "mean_roi"]
    assert "holds the declared comparison, distilled and baseline by rollout" in meta["left_out"][0]
    monkeypatch.setattr(module, "MAX_BYTES", len(page) - 1)
    _, meta, fewer = written(study)
    assert len(fewer) < len(page)
    assert 1 <= len(meta["samples"]) < meta["num_images"]
    assert f"Of {meta['num_images']} images that have regions it holds {len(meta['samples'])}" in meta["left_out"][1]


@pytest.mark.parametrize(
    ("license_name", "key", "kind"),
    [("credentialed", "", "numbers"), ("credentialed", "secret", "hashes"), ("synthetic", "", "identifiers")],
)
def test_names_of_credentialed_images_stay_private(
    study: Study, monkeypatch: pytest.MonkeyPatch, license_name: str, key: str, kind: str
) -> None:
    monkeypatch.setenv("MMPKD_ID_KEY", key)
    _, meta, page = written(study, license_name)
    names = read_maps(study[1][1].record.scored_maps("test")).sample_id
    assert meta["names"] == kind
    assert meta["license"] == license_name
    assert (any(f'"{name}"' in page for name in names)) is (kind == "identifiers")
    assert ("test-patient" in page) is (kind == "identifiers")
    assert len(set(meta["samples"])) == len(set(names))


def test_hashed_names_depend_on_the_key_alone(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for key in ("one", "one", "other"):
        monkeypatch.setenv("MMPKD_ID_KEY", key)
        found.append(written(study, "credentialed")[1]["samples"])
    assert found[0] == found[1]
    assert not set(found[0]) & set(found[2])


def test_why_there_is_no_explorer_is_said_and_an_old_one_is_deleted(own_study: Study) -> None:
    written(own_study)
    students = [run for run in own_study[1] if run.arm.role == "student"]
    path = students[0].record.scored_maps("test")
    kept = read_maps(path)
    write_maps(replace(kept, sample_id=kept.sample_id[::-1], finding=kept.finding[::-1]), path)
    own, _, _ = written(own_study)
    assert "Expected in" in own.reason
    assert not (own_study[1][0].folder.parents[1] / "report" / "explore.html").exists()
    write_maps(replace(kept, checkpoint="f" * 64), path)
    assert "the checkpoint that was tested" in written(own_study)[0].reason
    path.write_bytes(b"half")
    assert "damaged" in written(own_study)[0].reason
    path.unlink()
    own, meta, _ = written(own_study)
    assert own.file == "explore.html"  # the other arm has maps
    assert meta["left_out"] == ["Runs without maps: baseline (seed 0)."]
    students[1].record.scored_maps("test").unlink()
    assert "keep_maps: false" in written(own_study)[0].reason


def test_runs_on_other_patches_or_in_another_frame_have_no_page_together(own_study: Study) -> None:
    path = next(run for run in own_study[1] if run.arm.role == "student").record.scored_maps("test")
    kept = read_maps(path)
    write_maps(replace(kept, frame=(40, 40)), path)
    assert "has 4 x 4 patches of 40 x 40 pixels" in written(own_study)[0].reason
    finer = {name: np.repeat(maps, 2, axis=1) for name, maps in kept.maps.items()}
    write_maps(replace(kept, maps=finer), path)
    assert "has 8 x 4 patches of 32 x 32 pixels" in written(own_study)[0].reason


def test_images_and_regions_are_those_of_the_padded_frame_that_a_student_was_scored_in(study: Study) -> None:
    run = next(run for run in study[1] if run.arm.role == "student")
    plain, padded = (read_images(run, frame).images for frame in ((SIDE, SIDE), (40, 48)))
    for own, expected in zip(padded, plain, strict=True):
        picture = _decoded(own.pixels)
        assert picture.shape == (40, 48)
        # lossy, but not by an image that is moved or stretched
        assert np.abs(picture[:SIDE, :SIDE].astype(int) - _decoded(expected.pixels)).mean() < 8
        for region, before in zip(own.regions, expected.regions, strict=True):
            mask = np.pad(_mask(before.runs, (SIDE, SIDE)), ((0, 40 - SIDE), (0, 48 - SIDE)))
            np.testing.assert_array_equal(_mask(region.runs, (40, 48)), mask)
            assert region.num_pixels == mask.sum()


def _decoded(pixels: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _mask(runs: bytes, size: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the mask of the lengths of runs, in 7 bits a byte, that begin outside the region."""
    lengths = [0]
    shift = 0
    for byte in runs:
        lengths[-1] |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            lengths.append(0)
            shift = 0
    assert lengths.pop() == 0  # the last number is whole
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape(size)


def test_data_that_have_changed_or_cannot_be_read_are_told(own_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    config = own_study[1][1].record.config
    text = config.read_text()
    config.write_text(text.replace("num_eval: 20", "num_eval: 18"))
    assert "the data have changed" in written(own_study)[0].reason
    for content in ("", "a: [", "run:"):
        config.write_text(content)
        assert "cannot be read" in written(own_study)[0].reason
    config.unlink()
    assert "cannot be read" in written(own_study)[0].reason
    monkeypatch.setenv("MMPKD_ID_KEY", "another one")
    config.write_text(text.replace("hash_ids: false", "hash_ids: true"))
    assert "the data have changed, or MMPKD_ID_KEY" in written(own_study)[0].reason


@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_run_lengths_give_the_mask_again(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    np.testing.assert_array_equal(_mask(run_lengths(mask), mask.shape), mask)


@given(st.lists(st.sampled_from([0.0, 1.0, float("nan")]), min_size=1, max_size=9))
def test_rows_that_are_equal_are_kept_once(values: list[float]) -> None:
    maps = np.array(values, np.float32)[:, None, None].repeat(2, axis=1)
    kept, row = different_rows(maps)
    np.testing.assert_array_equal(kept[row], maps)
    assert len(kept) == len({str(value) for value in values})


def test_arrays_lie_where_the_contract_says() -> None:
    blocks = Blocks()
    first, second = np.arange(5, dtype=np.uint32), np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    blocks.add("first", first)
    blocks.add("second", second)
    data = np.frombuffer(gzip.decompress(blocks.compressed()), np.uint8)
    for name, array in (("first", first), ("second", second)):
        place = blocks.places[name]
        planes = data[place.at : place.at + place.bytes].reshape(array.dtype.itemsize, -1)
        np.testing.assert_array_equal(np.frombuffer(planes.T.tobytes(), array.dtype).reshape(place.shape), array)
    with pytest.raises(ValueError, match="Expected a new array of uint8"):
        blocks.add("third", np.zeros(3))


def test_the_vendored_library_is_the_published_one_and_every_script_is_used() -> None:
    stated = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (WEB / "vendor" / "README.md").read_text(), re.MULTILINE))
    vendored = {
        sha256(path.read_bytes()).hexdigest(): path.name for path in (WEB / "vendor").iterdir() if path.suffix != ".md"
    }
    assert vendored == stated
    files = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.suffix in (".js", ".css")}
    assert files == {*SCRIPTS, *STYLES}


def test_nothing_of_the_explorer_is_sent_to_wandb(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    import wandb

    from mmpkd.study.report import tracking

    written(study, "credentialed")
    sent: list[str] = []

    def send(values: dict[str, object]) -> None:
        sent.extend(values)

    experiment = SimpleNamespace(log=send, summary=SimpleNamespace(update=send))
    monkeypatch.setattr(tracking, "wandb_logger", lambda *args, **options: SimpleNamespace(experiment=experiment))
    monkeypatch.setattr(tracking, "finish_wandb", lambda status: None)
    monkeypatch.setattr(wandb, "Image", str)
    page = SimpleNamespace(
        plan=study[0], sections=(), sentence="s", conclusions=SimpleNamespace(contrast=None, primary=None)
    )
    out = study[1][0].folder.parents[1]
    tracking.track_summary(page, out, study[1])  # type: ignore[arg-type]
    assert sent == ["answer"]
