"""Upload of an exported folder to the Hugging Face hub."""

import logging
from pathlib import Path

logger = logging.getLogger("mmpkd")


def check_push(repository: str, data_license: str, agreement_allows_it: bool) -> None:
    """Check that an exported student may leave this machine.

    Args:
        repository: `user/name` on the hub.
        data_license: Strictest licence of the data of student and teacher: `credentialed`, `open` or `synthetic`.
        agreement_allows_it: Whether the user confirms that the agreement on credentialed data allows it.

    Raises:
        ValueError: If the name is not that of a repository, or if the data are credentialed and the user does not confirm.
    """
    parts = repository.split("/")
    if len(parts) != 2 or not all(parts):
        raise ValueError(f"Expected user/name of a repository for --push but got '{repository}'.")
    if data_license == "credentialed" and not agreement_allows_it:
        raise ValueError(
            "Expected open or synthetic training data for --push but those of the student or of its teacher are credentialed, "
            "or their licence is not recorded. Read the agreement on the data. If it allows sharing a model that was trained on "
            "them, give --agreement-allows-push."
        )


def push(folder: Path, repository: str) -> str:
    """Upload an exported folder, into a private repository if there is none yet.

    Args:
        folder: Folder that `export_student` wrote.
        repository: `user/name` on the hub.

    Returns:
        Address of the commit.

    Raises:
        ValueError: If the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(library_name="mmpkd")
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export a student with mmpkd")
    except (HfHubHTTPError, OfflineModeIsEnabled, ConnectionError) as error:
        # messages of the hub span several lines; ours are one
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Expected to upload '{folder}' to {repository} but: {reason}. Log in with `hf auth login`; the folder is complete "
            "and can be uploaded later."
        ) from error
    return str(commit.commit_url)
