"""Flags of the Lightning command line, as written in a study file or after `--`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mmpkd.study.plan.errors import StudyError

Audience = Literal["teachers", "students", "distilled students", "all"]
# flags that name the teacher of a student
TEACHER = "model.teacher"
# another value would take a run out of its folder, its seed or its lineage
_SET_BY_THE_STUDY = (
    "run.dir",
    "run.group",
    "run.job_type",
    "run.reference",
    "seed_everything",
    "ckpt_path",
    TEACHER,
    f"{TEACHER}.path",
)


@dataclass(frozen=True)
class Flag:
    """A flag and its value.

    Attributes:
        name: Name without dashes and without `init_args`, for example `data.batch_size`.
        value: The value, or None if there is none.
        words: The arguments as written: `--data.batch_size=4` is one, `--data.batch_size 4` are two.
    """

    name: str
    value: str | None
    words: tuple[str, ...]

    @property
    def config(self) -> Path | None:
        """The configuration file that `--config` names, or None for another flag."""
        return Path(self.value) if self.name in ("config", "c") and self.value is not None else None

    @property
    def data(self) -> Path | None:
        """The configuration file that `--data` names, or None; `--data` can also name a class."""
        is_file = self.name == "data" and self.value is not None and self.value.endswith((".yaml", ".yml"))
        return Path(str(self.value)) if is_file else None

    @property
    def audience(self) -> Audience:
        """The arms that have such an option."""
        if self._is_below("model.encoder"):
            return "teachers"
        if self._is_below(TEACHER, "model.objective.loss", "model.objective.extra_losses"):
            return "distilled students"
        return "students" if self._is_below("model.student", "model.objective") else "all"

    def _is_below(self, *names: str) -> bool:
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)

    @property
    def is_of_data(self) -> bool:
        """Whether it is an option of the data module."""
        return self.name.startswith("data.")


def parse_flags(words: Sequence[str]) -> tuple[Flag, ...]:
    """Parse flags from the arguments of a command line.

    Args:
        words: Arguments such as `--data.batch_size=4`, or `--data.batch_size` and `4`.

    Raises:
        StudyError: If an argument belongs to no flag.
    """
    flags: list[Flag] = []
    for word in words:
        # -1 can be a value, --x cannot
        if flags and flags[-1].value is None and not word.startswith("--"):
            flags[-1] = replace(flags[-1], value=word, words=(*flags[-1].words, word))
        elif word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            # both spellings name one option, and checks compare names
            flags.append(Flag(name.replace(".init_args.", "."), value if equals else None, (word,)))
        else:
            raise StudyError(
                f"Expected flags such as --trainer.max_epochs=2 but got {word!r}, which belongs to no flag."
            )
    return tuple(flags)


def check_overrides(words: Sequence[str]) -> tuple[Flag, ...]:
    """Parse flags, and check that none is one that the study sets itself.

    Args:
        words: Arguments of the command line, see `parse_flags`.

    Raises:
        StudyError: If an argument belongs to no flag, or if the study sets a flag itself.
    """
    flags = parse_flags(words)
    for flag in flags:
        if flag.name in _SET_BY_THE_STUDY:
            raise StudyError(
                f"Expected overrides without {' '.join(flag.words)}: the study sets --{flag.name} itself. Remove it."
            )
    return flags
