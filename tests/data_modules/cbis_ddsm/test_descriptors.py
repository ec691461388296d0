from pathlib import Path

import numpy as np
import pytest

from data_modules.cbis_ddsm.descriptors import ATOMS, Preset, encode, preset_columns
from data_modules.cbis_ddsm.tables import Abnormality, read_tables
from data_modules.split import Table
from tests.data.cbis_ddsm.data import Lesion, write_tables


def _encode(root: Path, lesions: list[Lesion], preset: Preset, abnormality: Abnormality) -> Table:
    write_tables(root, lesions)
    return encode(read_tables(root, abnormality), preset_columns(preset, abnormality))


def _named(table: Table, row: int) -> set[str]:
    return {name for name, value in zip(table.categorical_names, table.categorical[row], strict=True) if value}


def test_joined_values_are_sets(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_1", kind="calc", first="PLEOMORPHIC-PLEOMORPHIC", second="CLUSTERED-LINEAR"),
        Lesion("P_2", kind="calc", first="PLEOMORPHIC-AMORPHOUS", second="REGIONAL-REGIONAL"),
        Lesion("P_3", kind="calc", first="AMORPHOUS-PLEOMORPHIC", second="N/A"),
    ]
    table = _encode(tmp_path, lesions, "descriptors", "calc")
    assert _named(table, 0) == {"calc_type=PLEOMORPHIC", "distribution=CLUSTERED", "distribution=LINEAR"}
    assert _named(table, 2) == {"calc_type=PLEOMORPHIC", "calc_type=AMORPHOUS"}
    np.testing.assert_array_equal(table.categorical[1, :13], table.categorical[2, :13])
    assert set(np.unique(table.categorical)) == {0.0, 1.0}
    assert table.categorical.dtype == table.numeric.dtype == np.float32


def test_two_spellings_of_lucent_center(tmp_path: Path) -> None:
    lesions = [Lesion("P_1", kind="calc", first="LUCENT_CENTER"), Lesion("P_2", kind="calc", first="LUCENT_CENTERED")]
    table = _encode(tmp_path, lesions, "descriptors", "calc")
    np.testing.assert_array_equal(table.categorical[0], table.categorical[1])


def test_unknown_atom_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'OVAL-STARRY' holds 'STARRY'"):
        _encode(tmp_path, [Lesion("P_1", first="OVAL-STARRY")], "descriptors", "mass")


@pytest.mark.parametrize(
    ("preset", "abnormality", "num_atoms", "numeric"),
    [
        ("descriptors", "mass", 8 + 5, ()),
        ("descriptors", "calc", 13 + 5, ()),
        ("descriptors", "both", 31, ()),
        ("descriptors_density", "mass", 13, ("density",)),
        ("all_no_birads", "mass", 17, ("density", "subtlety")),
        ("all_with_birads", "mass", 22, ("density", "subtlety")),
        ("nuisance", "both", 4, ("density", "abnormality_id")),
    ],
)
def test_presets(
    tmp_path: Path, preset: Preset, abnormality: Abnormality, num_atoms: int, numeric: tuple[str, ...]
) -> None:
    lesions = [Lesion("P_1"), Lesion("P_2", kind="calc", first="N/A", second="N/A", density="0")]
    table = _encode(tmp_path, lesions, preset, abnormality)
    assert table.numeric_names == numeric
    assert len(table.categorical_names) == num_atoms
    with_verdict = any("assessment" in name for name in table.categorical_names)
    assert with_verdict == (preset == "all_with_birads")
    assert not any("pathology" in name for name in table.categorical_names)


def test_an_incomplete_assessment_is_no_verdict(tmp_path: Path) -> None:
    lesions = [Lesion("P_1", assessment="4"), Lesion("P_2", assessment="0")]
    table = _encode(tmp_path, lesions, "all_with_birads", "mass")
    columns = [i for i, name in enumerate(table.categorical_names) if name.startswith("assessment=")]
    assert table.categorical[:, columns].tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]


def test_no_column_tells_that_a_value_is_missing(tmp_path: Path) -> None:
    lesions = [Lesion("P_1", kind="calc", first="N/A", second="N/A", density="0")]
    table = _encode(tmp_path, lesions, "descriptors_density", "calc")
    assert not table.categorical.any()
    assert np.isnan(table.numeric).all()


def test_vocabulary_does_not_depend_on_the_rows(tmp_path: Path) -> None:
    names = [
        _encode(tmp_path, [Lesion("P_1", first=a)], "descriptors", "mass").categorical_names for a in ATOMS["shape"]
    ]
    assert len(set(names)) == 1


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of.*nuisance.*but got 'everything'"):
        preset_columns("everything", "mass")  # type: ignore[arg-type]


def test_a_missing_value_has_a_column_only_if_asked_for(tmp_path: Path) -> None:
    write_tables(tmp_path, [Lesion("P_1", kind="calc", second="N/A"), Lesion("P_2", kind="calc")])
    frame = read_tables(tmp_path, "calc")
    columns = preset_columns("descriptors", "calc")
    table = encode(frame, columns, missing_indicator=True)
    assert table.categorical_names[-2:] == ("calc_type=missing", "distribution=missing")
    np.testing.assert_array_equal(table.categorical[:, -2:], [[0, 1], [0, 0]])
    assert not any("missing" in name for name in encode(frame, columns).categorical_names)
