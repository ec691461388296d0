"""Configuration of the documentation site: `make docs` builds it into docs/_build."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).parent
LITERAL = re.compile(r"(`+[^`]+`+)|([*|])")  # code, or a character that has a meaning in reStructuredText
sys.path.insert(0, str(HERE))
os.environ["WANDB_MODE"] = "disabled"  # tutorials leave no files of W&B
os.environ["COLUMNS"] = "100"  # the width of tables that commands print

import mmpkd  # noqa: E402

project = "mmpkd"
author = "The mmpkd developers"
copyright = author
release = mmpkd.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery", "directives"]
exclude_patterns = ["_build", "directives", "tutorials"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "code"  # docstrings put code between single backticks

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 4
suppress_warnings = [
    "config.cache",  # functions in the gallery's settings cannot be stored
    "myst.header",  # a page that is included from the root starts at its own level
]

# API: types stand with the parameters, and what a package exports is what is shown of it
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = False

html_theme = "furo"
html_title = "mmpkd"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"footer_icons": []}


def clear_runs(settings: dict[str, Any], script: str) -> None:
    """Let a tutorial begin without the runs of an earlier build.

    Args:
        settings: Settings of the gallery.
        script: File name of the tutorial.
    """
    del settings
    shutil.rmtree(HERE / "tutorials" / "runs" / Path(script).stem, ignore_errors=True)


def escape_text(app: Sphinx, what: str, name: str, owner: object, options: object, lines: list[str]) -> None:
    """Escape what docstrings mean literally: asterisks and bars outside of code."""
    del app, what, name, owner, options
    for index, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[index] = LITERAL.sub(lambda match: match[1] or f"\\{match[2]}", line)


def escape_types(app: Sphinx, what: str, name: str, owner: object, options: object, lines: list[str]) -> None:
    """Name `numpy.str_`, which reads as a reference, by its own name."""
    del app, what, name, owner, options
    lines[:] = [line.replace("numpy.str_", "str") for line in lines]


def setup(app: Sphinx) -> None:
    """Read docstrings before and after napoleon, which adds markup and types to them."""
    app.connect("autodoc-process-docstring", escape_text, priority=100)
    app.connect("autodoc-process-docstring", escape_types, priority=900)


class InOrder:
    """Sorts the tutorials in the order in which one reads them."""

    ORDER = (
        "first_study.py",
        "maps_of_any_vit.py",
        "own_table.py",
        "own_loss_and_teacher.py",
        "read_a_report.py",
        "distil.py",
    )

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, script: str) -> int:
        """Return the place of a tutorial."""
        return self.ORDER.index(Path(script).name)


sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": InOrder,
    "reset_modules": ("matplotlib", clear_runs),
    "abort_on_example_error": True,
    "capture_repr": (),  # what a last line returns is not shown, unless it is printed
    "remove_config_comments": True,
    "show_memory": False,
    "default_thumb_file": str(HERE / "images" / "chest_phantom.png"),  # of tutorials that draw nothing
    # its pages of times would load scripts from the network
    "write_computation_times": False,
    "download_all_examples": False,
    "copyfile_regex": r".*\.rst",
}
