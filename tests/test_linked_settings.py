"""Settings that a run takes from its data or from another setting are refused, however they are given."""

from pathlib import Path

import pytest
import yaml

from mmpkd.cli.checks.linked import check_linked
from mmpkd.commands.main import main
from tests.runs import config, student


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--data.seed=5", "Expected no data.seed but got 5. A run has one seed. Set --seed_everything."),
        ("--data.init_args.seed=5", "Expected no data.seed"),
        ("--model.num_classes=3", "Expected no model.num_classes but got 3. A run takes it from the data."),
        ("--model.student.image_size=64", "Expected no model.student.image_size but got 64"),
        ("--model.init_args.student.init_args.in_chans=3", "Expected no model.student.in_chans"),
        ("--model.student.mean=0", "Expected no model.student.mean"),
        ("--model.student.std 1", "Expected no model.student.std but got 1"),
        ('--model.student={"num_classes":3}', "Expected no model.student.num_classes but got 3"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(flag: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^Expected no ") as error:
        check_linked(["fit", "--data=Table", *flag.split()])
    assert words in str(error.value)


def test_a_flag_that_is_no_mapping_is_left_to_the_parser() -> None:
    check_linked(["fit", "--data={a: ["])


def test_a_file_that_would_be_ignored_is_refused_however_it_is_included(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"class_path": "Table", "init_args": {"seed": 3}}))
    (tmp_path / "base.yaml").write_text("data: data.yaml\n")
    (tmp_path / "top.yaml").write_text("base: base.yaml\nseed_everything: 1\n")
    for name in ("base.yaml", "top.yaml"):
        with pytest.raises(ValueError, match=r"Expected no data\.seed but got 3"):
            check_linked(["fit", "--config", str(tmp_path / name)])
    with pytest.raises(ValueError, match=r"Expected no data\.seed but got 3"):
        check_linked(["fit", f"--data={tmp_path / 'data.yaml'}"])


def test_the_command_says_so_in_one_line_and_trains_nothing(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in (["--data.seed=5"], ["--seed_everything=true"]):
        assert main(["fit", *config(tmp_path, "run", tiny_root, student()), *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("mmpkd fit: Expected ")
        assert "seed_everything" in line
    assert not (tmp_path / "run").exists()
