"""Save the W&B workspace of mmpkd as a view of the project.

Run: make dashboard [ARGS="--project mmpkd --entity TEAM"]

If the user is not logged in, it says what to do at once, before PyTorch and wandb are imported. Needs `mmpkd[dashboard]`, which
`make` installs.
"""

import argparse
import sys

from mmpkd.tracking.account import is_logged_in


def main() -> None:
    """Save the workspace, or tell the user how to log in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", default="mmpkd", help="W&B project (default: mmpkd)")
    parser.add_argument("--entity", help="user or team (default: the user's own default)")
    options = parser.parse_args()
    if not is_logged_in():
        sys.stdout.write(
            "Not logged in to W&B, so nothing was sent. To get the dashboard: `wandb login`, train with --run.wandb online "
            "(or upload offline runs with `wandb sync FOLDER`), then `make dashboard` again.\n"
            "Without an account: `make review` shows runs on this machine.\n"
        )
        return
    import wandb

    from mmpkd.tracking.workspace import build

    entity = options.entity or wandb.Api().default_entity
    workspace = build(entity, options.project).save()
    sys.stdout.write(f"{workspace.url}\n")


if __name__ == "__main__":
    main()
