"""The hub, asked through huggingface_hub's own client. Whatever it answers badly becomes one line with the way out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from synthseg.errors import CorruptData, RunFailure, SynthSegError, UsageProblem
from synthseg.machine.hub.ids import HubId
from synthseg.machine.hub.manifest import FileRecord
from synthseg.machine.hub.mirror import VARIABLE
from synthseg.machine.network import client_from
from synthseg.store.disk import full_disk_named
from synthseg.store.files import OnBytes

_MIRROR_HINT = f"or set {VARIABLE} to a mirror"
_LIST_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the hub says of one file: its size, and its SHA-256 (large files) or git's own hash of it (small ones)."""

    num_bytes: int
    sha256: str
    git_sha1: str


@dataclass(frozen=True, slots=True)
class RemoteRepo:
    """A repository at one commit."""

    hub_id: HubId
    commit: str
    files: Mapping[str, RemoteFile]
    licence: str


def list_repo(hub_id: HubId, revision: str, field: str) -> RemoteRepo:
    """Commit, files and licence of `hub_id` at `revision`. UsageProblem or RunFailure, naming `field`, when the hub will not say."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # as in hub_errors_named

    client_from(httpx.Client).close()
    with hub_errors_named(hub_id, field):
        info = HfApi().model_info(hub_id.repo, revision=revision, files_metadata=True, timeout=_LIST_TIMEOUT_S)
    files = {
        sibling.rfilename: RemoteFile(
            sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else "", "" if sibling.lfs else sibling.blob_id or ""
        )
        for sibling in info.siblings or ()
    }
    card: Any = info.card_data
    licence = str((card.get("license_name") or card.get("license")) or "") if card else ""
    return RemoteRepo(hub_id, info.sha or revision, files, licence)


def read_json(repo: RemoteRepo, name: str, field: str) -> Mapping[str, Any]:
    """A small JSON file of `repo`, through the cache."""
    download(repo, name, field, None)
    return dict(json.loads(_pointer(repo, name).read_text(encoding="utf-8")))


def download(repo: RemoteRepo, name: str, field: str, on_bytes: OnBytes | None) -> FileRecord:
    """Bring `name` into the cache, whole, and check it against the hub's hash.

    CorruptData when it is another (the file is deleted again), else as `list_repo`.
    """
    from huggingface_hub import hf_hub_download

    expected = repo.files[name]
    with hub_errors_named(repo.hub_id, field), full_disk_named(str(_pointer(repo, name))):
        path = Path(hf_hub_download(repo.hub_id.repo, name, revision=repo.commit, tqdm_class=_counter(on_bytes)))
    sha256, git_sha1 = _hashes(path)
    matches = sha256 == expected.sha256 if expected.sha256 else git_sha1 == expected.git_sha1 or not expected.git_sha1
    if not matches:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise CorruptData(
            f"{field}: checksum of '{name}' of {repo.hub_id} differs from the hub's; it was deleted, run the same command again"
        )
    return FileRecord(path.stat().st_size, sha256)


def _pointer(repo: RemoteRepo, name: str) -> Path:
    from synthseg.machine.hub.cache import RepoCache

    return RepoCache(repo.hub_id.repo).snapshot(repo.commit) / name


def _hashes(path: Path) -> tuple[str, str]:
    """Hex SHA-256 of the content, and the SHA-1 git knows the file by."""
    sha256 = hashlib.sha256()
    sha1 = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            sha256.update(block)
            sha1.update(block)
    return sha256.hexdigest(), sha1.hexdigest()


@contextmanager
def hub_errors_named(hub_id: HubId, field: str) -> Iterator[None]:
    """One line for whatever the hub's client raises in the block."""
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # what the client speaks through: httpx in 1.x, httpx2 in 2.x

    try:
        yield
    except SynthSegError:
        raise
    except errors.GatedRepoError as error:
        raise UsageProblem(
            f"{field}: {hub_id} is gated; accept its licence at {constants.ENDPOINT}/{hub_id.repo}, then set HF_TOKEN or run: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageProblem(
            f"{field}: {hub_id.repo} has no revision '{hub_id.revision}'; name a branch, tag or commit that it has"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UsageProblem(
            f"{field}: the hub has no model {hub_id}, or it is private; correct the name, or set HF_TOKEN if it is yours"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        # The client asked for a file in vain and looked for an older one here: what it met is the cause.
        cause = error.__cause__
        if isinstance(cause, errors.HfHubHTTPError):
            raise _http_problem(hub_id, field, cause.response.status_code) from error
        raise _unreachable(hub_id, field, cause or error) from error
    except errors.EntryNotFoundError as error:
        raise RunFailure(f"{field}: a file of {hub_id} is not on the hub any more; run the same command again") from error
    except errors.OfflineModeIsEnabled as error:
        raise UsageProblem(f"{field}: {hub_id} is not on this machine and HF_HUB_OFFLINE is set; unset it, {_MIRROR_HINT}") from error
    except errors.HfHubHTTPError as error:
        raise _http_problem(hub_id, field, error.response.status_code) from error
    except (httpx.HTTPError, ConnectionError, TimeoutError, errors.FileMetadataError) as error:
        raise _unreachable(hub_id, field, error) from error
    except OSError as error:
        # A download that went wrong between the bytes; what it left behind does not count.
        if "Consistency check failed" not in str(error):
            raise
        raise RunFailure(f"{field}: a download of {hub_id} ended early; run the same command again, {_MIRROR_HINT}") from error


def _unreachable(hub_id: HubId, field: str, error: BaseException) -> SynthSegError:
    from huggingface_hub import constants

    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return RunFailure(
        f"{field}: {hub_id} cannot be had from {constants.ENDPOINT} ({reason}); "
        f"check the network and run the same command again, {_MIRROR_HINT}"
    )


def _http_problem(hub_id: HubId, field: str, status: int) -> SynthSegError:
    if status == 401:
        return UsageProblem(f"{field}: the hub refuses the token for {hub_id} (401); set a valid HF_TOKEN, or unset it")
    if status == 403:
        return UsageProblem(f"{field}: the token may not read {hub_id} (403); ask for access on its page, or use another HF_TOKEN")
    if status == 429:
        return RunFailure(
            f"{field}: the hub asks to wait (429) at {hub_id}; run again in some minutes, set HF_TOKEN for a higher limit, {_MIRROR_HINT}"
        )
    return RunFailure(f"{field}: the hub failed at {hub_id} ({status}); run the same command again later, {_MIRROR_HINT}")


def _counter(on_bytes: OnBytes | None) -> Any:
    """A progress bar, as far as the hub's client knows, that tells `on_bytes` what arrives."""

    class Counter:
        def __init__(self, *_: Any, **options: Any) -> None:
            self.n = options.get("initial", 0)
            if on_bytes and self.n:
                on_bytes(self.n)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if on_bytes:
                on_bytes(int(n or 0))

        def update_transfer(self, n: float | None = 1) -> None:
            """Xet counts what is sent and what is written apart."""

        def set_postfix_str(self, *_: Any, **__: Any) -> None:
            pass

        def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None:
            pass

        def close(self) -> None:
            pass

    return Counter
