"""Where the files of a model lie on this machine. Nothing here downloads: `synthseg fetch` does, once a node."""

from __future__ import annotations

from pathlib import Path

from synthseg.errors import UsageProblem


def local_snapshot(model: str, field: str, revision: str = "") -> Path:
    """Folder or file of `model`: a local path as it is, else the snapshot of that hub id in the local cache.

    `field` is the setting that names the model. UsageProblem when it is neither on this machine.
    """
    path = Path(model).expanduser()
    if path.exists():
        return path
    if model.startswith(("/", ".", "~")):
        raise UsageProblem(f"{field}: {model} does not exist")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision or None, local_files_only=True))
    except HFValidationError as error:
        raise UsageProblem(f"{field}: '{model}' is neither a path nor a model id of the hub") from error
    except LocalEntryNotFoundError as error:
        raise UsageProblem(f"{field}: the weights of '{model}' are not on this machine; run: synthseg fetch PRESET") from error
