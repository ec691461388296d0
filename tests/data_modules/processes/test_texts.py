"""Texts and paths in arrays read as what they were made of, and looking at them copies no memory."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.processes.texts import Paths, Texts
from data_modules.split import Split
from tests.data_modules.shared_process import look_at_all
from tests.tiny import write_tiny

# all characters, also the lone surrogates by which Python writes names of files that are not UTF-8
CHARACTERS = st.characters(codec=None, exclude_categories=())


@given(st.lists(st.text(CHARACTERS, max_size=5), max_size=8), st.slices(8))
def test_texts_are_what_they_were_made_of(texts: list[str], part: slice) -> None:
    kept: Texts = pickle.loads(pickle.dumps(Texts(iter(texts))))
    assert kept == texts
    assert len(kept) == len(texts)
    assert kept[part] == texts[part]
    assert [kept[-1 - i] for i in range(len(texts))] == texts[::-1]
    assert kept != [*texts, "one more"]
    with pytest.raises(IndexError):
        kept[len(texts)]


def test_paths_are_what_they_were_made_of() -> None:
    paths = [Path("/a/b.png"), Path("ä b/c"), Path(), Path("/a/b.png"), Path("not utf-8: \udcff")]
    kept = Paths(paths)
    assert kept == paths
    assert kept[3:] == paths[3:]
    assert kept[4] == paths[4]
    assert kept != paths[1:]


def test_a_text_that_many_images_share_is_kept_once() -> None:
    once, often = Texts(["report " * 100, ""]), Texts(["report " * 100, ""] * 100)
    assert len(pickle.dumps(often)) - len(pickle.dumps(once)) < 8 * 200 + 100


def test_every_split_keeps_paths_and_reports_in_arrays(tmp_path: Path) -> None:
    split = write_tiny(tmp_path, {"train": 6})["train"]
    for samples in (split, split.take(split.has_privileged.nonzero()[0][::-1])):
        assert isinstance(samples.image, Paths)
        assert isinstance(samples.report, Texts)
    assert samples.image == [split.image[i] for i in (4, 3, 2, 1, 0)]
    assert split.report is not None
    assert samples.report == [split.report[i] for i in (4, 3, 2, 1, 0)]


def large_split(number: int) -> Split:
    """Paths and reports of about 1.2 KB a sample."""
    names = np.array([f"{i:08d}" for i in range(number)])
    paths = [Path("/data") / ("x" * 100) / name for name in names.tolist()]
    reports = [name * 120 for name in names.tolist()]
    return Split(names, names, paths, np.zeros((number, 1), np.float32), np.ones(number, np.bool_), reports)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="only Linux tells how memory is shared")
def test_a_forked_process_that_looks_at_all_paths_and_reports_copies_no_memory(tmp_path: Path) -> None:
    split = large_split(20_000)
    assert split.report is not None
    child = multiprocessing.get_context("fork").Process(
        target=look_at_all, args=((split.image, split.report), tmp_path / "found")
    )
    child.start()
    child.join()
    seen, growth = (tmp_path / "found").read_text().split()
    assert int(seen) == 20_000 * (len(str(split.image[0])) + 8 * 120)
    # one copy of all paths and reports has 21 MB
    assert float(growth) < 10
