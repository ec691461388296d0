from pathlib import Path

from mmpkd.records.code_hash import code_hash, hash_of


def write(folder: Path, **contents: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def test_any_change_of_a_source_file_changes_the_hash(tmp_path: Path) -> None:
    first = write(tmp_path / "1" / "package", a="x = 1\n", b="")
    same = write(tmp_path / "2" / "package", a="x = 1\n", b="")
    (same / "a.pyc").write_text("compiled")
    edited = write(tmp_path / "3" / "package", a="x = 2\n", b="")
    moved = write(tmp_path / "4" / "package", a="", b="x = 1\n")
    assert hash_of([first]) == hash_of([same])
    assert len({hash_of([folder]) for folder in (first, edited, moved)}) == 3


def test_the_hash_of_a_run_is_of_both_packages() -> None:
    import data_modules
    import mmpkd

    folders = [Path(package.__path__[0]) for package in (mmpkd, data_modules)]
    assert code_hash() == hash_of(folders)
