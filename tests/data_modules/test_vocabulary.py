from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.chest_sets.nih_chestxray14 import VOCABULARY as NIH
from data_modules.chest_sets.padchest_names import VOCABULARY as PADCHEST
from data_modules.chest_sets.vindr_cxr import VOCABULARY as VINDR
from data_modules.mimic_cxr.imagenome import VOCABULARY as IMAGENOME
from data_modules.mimic_cxr.labels import FINDINGS
from data_modules.mimic_cxr.reflacx import VOCABULARY as REFLACX
from data_modules.vocabulary import Vocabulary

SETS = {"nih": NIH, "padchest": PADCHEST, "vindr": VINDR, "imagenome": IMAGENOME, "reflacx": REFLACX}
SMALL = Vocabulary(
    stated={"Lesion": ("mass", "nodule"), "Effusion": ("effusion", "both"), "Air": ("both",)},
    unresolved={"Lesion": ("shadow",), "Effusion": ("shadow", "angle"), "Edema": ("angle",)},
    others=("scoliosis",),
)


def test_a_name_states_a_label_leaves_it_open_or_says_nothing() -> None:
    found: list[set[str]] = [{"mass", "nodule"}, {"both", "angle"}, {"shadow"}, {"scoliosis"}, set(), {"angle", "mass"}]
    nan = np.nan
    np.testing.assert_array_equal(
        SMALL.read(found), [[1, 0, 0], [0, 1, 1], [nan, nan, 0], [0, 0, 0], [0, 0, 0], [1, nan, 0]]
    )
    # a label that no name states is not annotated, whatever may mean it
    assert SMALL.labels == ("Lesion", "Effusion", "Air")
    assert SMALL.labels_of("both") == ("Effusion", "Air")
    assert SMALL.labels_of("scoliosis") == SMALL.labels_of("never heard of") == ()


def by_hand(
    names: set[str], stated: Mapping[str, Sequence[str]], unresolved: Mapping[str, Sequence[str]]
) -> list[float]:
    values = []
    for label in stated:
        open_ = bool(names & set(unresolved.get(label, ())))
        values.append(1.0 if names & set(stated[label]) else np.nan if open_ else 0.0)
    return values


@given(st.lists(st.sets(st.sampled_from(sorted(PADCHEST.names)), max_size=6), min_size=1, max_size=5))
def test_labels_depend_on_the_names_of_the_image_alone(found: list[set[str]]) -> None:
    values = PADCHEST.read(found)
    for names, row in zip(found, values, strict=True):
        np.testing.assert_array_equal(row, by_hand(names, PADCHEST.stated, PADCHEST.unresolved))


@pytest.mark.parametrize("name", SETS)
def test_every_vocabulary_speaks_of_the_labels_of_chexpert_and_does_not_contradict_itself(name: str) -> None:
    vocabulary = SETS[name]
    assert set(vocabulary.stated) | set(vocabulary.unresolved) <= set(FINDINGS)
    for label, names in vocabulary.stated.items():
        assert len(set(names)) == len(names)
        assert not set(names) & set(vocabulary.unresolved.get(label, ()))
    used = {name for group in (*vocabulary.stated.values(), *vocabulary.unresolved.values()) for name in group}
    assert not used & set(vocabulary.others)
