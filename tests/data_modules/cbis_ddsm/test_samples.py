from pathlib import Path

import numpy as np

from data_modules.cbis_ddsm.descriptors import preset_columns
from data_modules.cbis_ddsm.samples import Samples, Unit, group_samples, pool_label, pool_strata, pool_table
from data_modules.cbis_ddsm.tables import read_tables
from tests.data.cbis_ddsm.data import Lesion, write_tables


def _group(root: Path, lesions: list[Lesion], unit: Unit = "image") -> Samples:
    write_tables(root, lesions)
    return group_samples(read_tables(root, "both"), unit)


def test_label_is_the_maximum_over_abnormalities(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_1", "BENIGN"),
        Lesion("P_1", "MALIGNANT", number=2),
        Lesion("P_1", "BENIGN_WITHOUT_CALLBACK", view="MLO"),
    ]
    samples = _group(tmp_path, lesions)
    assert samples.sample_id.tolist() == ["P_1_LEFT_CC", "P_1_LEFT_MLO"]
    np.testing.assert_array_equal(pool_label(samples), np.array([[1], [0]], np.float32))


def test_one_sample_per_abnormality(tmp_path: Path) -> None:
    lesions = [Lesion("P_1", "BENIGN"), Lesion("P_1", "MALIGNANT", number=2), Lesion("P_1", kind="calc")]
    samples = _group(tmp_path, lesions, "abnormality")
    assert samples.sample_id.tolist() == ["P_1_LEFT_CC_mass_1", "P_1_LEFT_CC_mass_2", "P_1_LEFT_CC_calc_1"]
    assert pool_label(samples)[:, 0].tolist() == [0, 1, 0]


def test_descriptors_are_the_union_and_numbers_the_largest_known(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_1", first="OVAL", second="N/A", subtlety="2", density="3"),
        Lesion("P_1", first="OVAL-ROUND", second="SPICULATED", subtlety="0", density="3", number=2),
        Lesion("P_1", kind="calc", subtlety="4", density="3", number=2),
        Lesion("P_2", subtlety="0", density="0"),
    ]
    samples = _group(tmp_path, lesions)
    table = pool_table(samples, preset_columns("all_no_birads", "both"))
    names = np.array(table.categorical_names)
    assert set(names[table.categorical[0] > 0]) == {
        "shape=OVAL",
        "shape=ROUND",
        "margins=SPICULATED",
        "calc_type=PLEOMORPHIC",
        "distribution=CLUSTERED",
        "side=LEFT",
        "view=CC",
    }
    np.testing.assert_array_equal(table.numeric, np.array([[3, 4], [np.nan, np.nan]], np.float32))
    assert table.categorical.max() == 1


def test_mass_and_calcification_rows_of_an_image_meet(tmp_path: Path) -> None:
    samples = _group(tmp_path, [Lesion("P_1"), Lesion("P_2"), Lesion("P_1", "MALIGNANT", kind="calc")])
    assert samples.sample_id.tolist() == ["P_1_LEFT_CC", "P_2_LEFT_CC"]
    assert pool_label(samples)[:, 0].tolist() == [1, 0]


def test_take_renumbers(tmp_path: Path) -> None:
    samples = _group(tmp_path, [Lesion("P_1"), Lesion("P_2"), Lesion("P_2", "MALIGNANT", number=2), Lesion("P_3")])
    kept = samples.take(np.array([False, True, True]))
    assert kept.sample_id.tolist() == ["P_2_LEFT_CC", "P_3_LEFT_CC"]
    assert kept.group.tolist() == [0, 0, 1]
    assert pool_label(kept)[:, 0].tolist() == [1, 0]


def test_not_called_back_is_a_class_of_images_that_have_nothing_worse(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_1", "BENIGN_WITHOUT_CALLBACK"),
        Lesion("P_1", "BENIGN_WITHOUT_CALLBACK", number=2),
        Lesion("P_2", "BENIGN_WITHOUT_CALLBACK"),
        Lesion("P_2", "BENIGN", number=2),
        Lesion("P_3", "BENIGN_WITHOUT_CALLBACK"),
        Lesion("P_3", "MALIGNANT", number=2),
    ]
    label = pool_label(_group(tmp_path, lesions), without_callback=True)
    np.testing.assert_array_equal(label, np.array([[0, 1], [0, 0], [1, 0]], np.float32))


def test_strata_of_an_image(tmp_path: Path) -> None:
    lesions = [
        Lesion("P_1", subtlety="2", density="3"),
        Lesion("P_1", kind="calc", subtlety="4", density="3", number=2),
        Lesion("P_2", subtlety="0", density="0", side="RIGHT", view="MLO"),
    ]
    strata = {name: values.tolist() for name, values in pool_strata(_group(tmp_path, lesions)).items()}
    assert strata == {
        "side": ["LEFT", "RIGHT"],
        "view": ["CC", "MLO"],
        "density": ["3", ""],
        "subtlety": ["4", ""],
        "kind": ["calc+mass", "mass"],
    }
