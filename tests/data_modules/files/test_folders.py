from pathlib import Path

import pytest

from data_modules.files.folders import MAX_FOLDERS, by_version, find_base, find_file, find_nearest, walk_folders


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_files_are_found_as_deep_as_mirrors_nest_them(tmp_path: Path) -> None:
    make(tmp_path, "mirror/physionet.org/files/set/1.0.0/tables/x_1.json", "a/b/c/d/e/f/g/too_deep.json")
    assert find_file(tmp_path, "x_*.json") == tmp_path / "mirror/physionet.org/files/set/1.0.0/tables/x_1.json"
    assert find_nearest(tmp_path, "too_deep.json") is None
    with pytest.raises(FileNotFoundError, match=r"'y\.json' or 'z\.json' in .* Do this\."):
        find_file(tmp_path, "y.json", "z.json", hint="Do this.")
    assert find_nearest(tmp_path / "nothing", "x") is None


def test_the_nearest_file_is_taken_and_of_several_the_newest(tmp_path: Path) -> None:
    make(tmp_path, "a/1.9.0/x.csv", "b/1.10.0/x.csv", "c/d/e/2.0.0/x.csv")
    assert find_nearest(tmp_path, "x.csv") == tmp_path / "b/1.10.0/x.csv"
    make(tmp_path, "x_v1.0.0.csv", "x_v1.10.0.csv", "x_v1.2.0.csv.gz")
    assert find_nearest(tmp_path, "x_v*.csv", "x_v*.csv.gz") == tmp_path / "x_v1.10.0.csv"


def test_the_name_decides_before_the_folder(tmp_path: Path) -> None:
    paths = ["b/0.1/x_v1.0.0.csv", "a/1.1.0/x_v1.1.0.csv", "z/x_v1.0.0.csv"]
    assert sorted(map(Path, paths), key=by_version)[-1] == Path(paths[1])


def test_trees_of_patients_and_images_are_not_walked(tmp_path: Path) -> None:
    for number in range(MAX_FOLDERS + 1):
        (tmp_path / "main" / str(number)).mkdir(parents=True)
    make(tmp_path, "main/1/x", "files/p10/y")
    assert find_nearest(tmp_path, "x") is None
    (tmp_path / "main" / "0").rmdir()
    assert find_nearest(tmp_path, "x") == tmp_path / "main/1/x"
    walked = [folder.name for level in walk_folders(tmp_path / "files", r"p\d\d|files") for folder in level]
    assert walked == ["files", "p10"]


def test_links_that_lead_up_end(tmp_path: Path) -> None:
    make(tmp_path, "a/x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert [[folder.name for folder in level] for level in walk_folders(tmp_path)][1:] == [["a"]]


def test_the_folder_of_a_tables_paths_is_the_one_that_holds_most_of_them(tmp_path: Path) -> None:
    make(tmp_path, "earlier/3.png", "deep/images/3.png", "deep/images/4.png")
    names = [f"{number}.png" for number in range(5)]
    assert find_base(tmp_path, names) == tmp_path / "deep/images"
    assert find_base(tmp_path, ["3.png"]) == tmp_path / "earlier"
    # of many files, few are looked for: not only the first, which may not have been downloaded
    make(tmp_path, *(f"late/{number}" for number in range(900, 1000)))
    assert find_base(tmp_path, [str(number) for number in range(1000)]) == tmp_path / "late"


def test_a_copy_farther_down_does_not_take_the_place_of_a_folder_where_an_image_is_missing(tmp_path: Path) -> None:
    names = [f"files/{number}.png" for number in range(5)]
    make(tmp_path, *names[1:], *(f"resized/{name}" for name in names))
    assert find_base(tmp_path, names) == tmp_path


def test_the_folder_of_a_tables_paths_is_the_one_that_holds_some_of_them(tmp_path: Path) -> None:
    make(tmp_path, "set/images/test/b.png", "other/a.png")
    assert find_base(tmp_path, ["test/a.png", "test/b.png"]) == tmp_path / "set/images"
    assert find_base(tmp_path, ["test/c.png"]) is None
    assert find_base(tmp_path, []) is None
