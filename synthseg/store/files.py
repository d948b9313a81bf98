"""Files under one root, local or on any pyarrow/fsspec store, written whole or not at all."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from synthseg.errors import DiskFull, RunFailure, UsageProblem
from synthseg.machine.paths import expanded
from synthseg.machine.whole_file import TEMPORARY, sweep, whole, write_whole
from synthseg.redaction import redacted
from synthseg.store.disk import full_disk_named
from synthseg.store.reach import reach

_BLOCK_BYTES = 1 << 22

OnBytes = Callable[[int], None]
"""Told of every so many bytes that moved."""


class Files:
    """Read and write small and middling files below `root` (a folder or a URI such as s3://bucket/prefix).

    A local write goes to a temporary name, is flushed to the disk and renamed; object stores publish an upload as a
    whole by themselves. Readers therefore never see half a file.
    """

    def __init__(self, root: str, field: str = "out") -> None:
        """`field` is the setting that names `root`, for messages. UsageProblem when no such store can be reached."""
        self.root = root
        self.field = field
        self._fs, self._base = _resolve(root, field)
        self._local = isinstance(self._fs, pafs.LocalFileSystem)

    @classmethod
    def connect(cls, root: str, field: str = "out") -> Files:
        """The files below `root`, whose store has answered. UsageProblem, soon, when it does not."""
        reach(root, field)
        return cls(root, field)

    @property
    def address(self) -> str:
        """The root as every process of this machine finds it: Ray Train's workers have a working directory of their own."""
        return self._base if self._local else self.root

    @property
    def local_root(self) -> Path | None:
        """The folder, where the root is one."""
        return Path(self._base) if self._local else None

    def path(self, name: str) -> str:
        """Where `name` is, for people: a path of this machine, or a URI of the root's own kind, its credentials hidden."""
        if self._local:
            return self._inside(name)
        root, mark, options = self.root.partition("?")
        return redacted(f"{root.rstrip('/')}/{name}{mark}{options}")

    def _inside(self, name: str) -> str:
        """`name` as the store's own library wants it."""
        return f"{self._base}/{name}"

    def prepare(self) -> None:
        """Make the root and prove that it can be written. UsageProblem says why not, DiskFull that only space is missing."""
        try:
            self.write(".writable", b"")
            self.delete(".writable")
        except DiskFull:
            raise
        except (RunFailure, OSError) as error:
            way_out = " with --out" if self.field == "out" else ""
            raise UsageProblem(
                f"{self.field}: '{self.root}' cannot be written ({error.__cause__ or error}); choose another folder{way_out}"
            ) from error

    def exists(self, name: str) -> bool:
        """Whether `name` is there."""
        return bool(self._fs.get_file_info(self._inside(name)).type != pafs.FileType.NotFound)

    def size(self, name: str) -> int:
        """Bytes of `name`; -1 when it is not there."""
        info = self._fs.get_file_info(self._inside(name))
        return int(info.size) if info.type == pafs.FileType.File else -1

    def read(self, name: str) -> bytes:
        """Content of `name`. FileNotFoundError when it is not there."""
        with self._fs.open_input_stream(self._inside(name), compression=None) as stream:
            return bytes(stream.read())

    def open(self, name: str) -> pa.NativeFile:
        """`name` for reading parts of it; a context manager. FileNotFoundError when it is not there."""
        return self._fs.open_input_file(self._inside(name))

    def write(self, name: str, content: bytes) -> None:
        """Write `name` whole or not at all. DiskFull when no space is left, RunFailure when the disk went away."""
        target = self._inside(name)
        with _failures_named(self.path(name), self.field):
            if self._local:
                write_whole(Path(target), content)
            else:
                with self._fs.open_output_stream(target, compression=None) as stream:
                    stream.write(content)

    def download(self, name: str, target: Path, on_bytes: OnBytes | None = None) -> str:
        """Copy `name`, of any size, to the local file `target`, whole or not at all; hex SHA-256 of what was copied.

        FileNotFoundError when it is not there; fails as `write` does.
        """
        with self._fs.open_input_stream(self._inside(name), compression=None) as stream, _failures_named(str(target), self.field):
            return _write_blocks(target, iter(lambda: bytes(stream.read(_BLOCK_BYTES)), b""), on_bytes)

    def upload(self, source: Path, name: str, on_bytes: OnBytes | None = None) -> None:
        """Copy the local file `source`, of any size, to `name`, whole or not at all. Fails as `write` does."""
        target = self._inside(name)
        with source.open("rb") as stream, _failures_named(self.path(name), self.field):
            blocks = iter(lambda: stream.read(_BLOCK_BYTES), b"")
            if self._local:
                _write_blocks(Path(target), blocks, on_bytes)
                return
            with self._fs.open_output_stream(target, compression=None) as out:
                for block in blocks:
                    out.write(block)
                    if on_bytes:
                        on_bytes(len(block))

    def append(self, name: str, line: str) -> None:
        """Add one line to `name`; on stores without append the file is written anew. Fails as `write` does."""
        if self._local:
            path = Path(self._inside(name))
            with _failures_named(str(path), self.field):
                path.parent.mkdir(parents=True, exist_ok=True)
                _append_local(path, line)
            return
        before = self.read(name) if self.exists(name) else b""
        self.write(name, before + line.encode() + b"\n")

    def delete(self, name: str) -> None:
        """Remove `name`."""
        self._fs.delete_file(self._inside(name))

    def total_bytes(self) -> int:
        """Bytes of all files below the root, unfinished ones included; 0 where there is no root. OSError when one goes meanwhile."""
        infos = self._fs.get_file_info(pafs.FileSelector(self._base, recursive=True, allow_not_found=True))
        return sum(info.size for info in infos if info.type == pafs.FileType.File)

    def delete_all(self) -> None:
        """Remove the root and all below it; nothing where there is no root."""
        if self._fs.get_file_info(self._base).type != pafs.FileType.NotFound:
            self._fs.delete_dir(self._base)

    def names(self, folder: str) -> list[str]:
        """Sorted names of the finished files in `folder`, none when it does not exist."""
        infos = self._fs.get_file_info(pafs.FileSelector(self._inside(folder), allow_not_found=True))
        return sorted(i.base_name for i in infos if i.type == pafs.FileType.File and not i.base_name.startswith(TEMPORARY))

    @contextmanager
    def local_copy(self, folder: str, pattern: str = "*") -> Iterator[Path]:
        """`folder` on this machine while the block lasts: itself where the root is local, else a copy of the files like `pattern`."""
        root = self.local_root
        if root is not None:
            yield root / folder
            return
        with tempfile.TemporaryDirectory(prefix="synthseg-") as copy:
            self.fetch(folder, Path(copy), pattern)
            yield Path(copy)

    def fetch(self, folder: str, target: Path, pattern: str = "*") -> dict[str, bytes]:
        """Copy the files of `folder` whose names are like `pattern` into the local folder `target`; the SHA-256 of each by name."""
        target.mkdir(parents=True, exist_ok=True)
        hashes = {}
        for name in fnmatch.filter(self.names(folder), pattern):
            content = self.read(f"{folder}/{name}")
            write_whole(target / name, content)
            hashes[name] = hashlib.sha256(content).digest()
        return hashes

    def sweep(self, folder: str) -> int:
        """Delete what killed writers left behind in a local `folder`; returns how many files."""
        root = self.local_root
        return 0 if root is None else sweep(root / folder)


def _resolve(root: str, field: str) -> tuple[pafs.FileSystem, str]:
    if "://" not in root:
        scheme, colon, rest = root.partition(":/")
        # One letter is a drive. A folder of such a name would be made here, and the run would look as if it lay in the bucket.
        if colon and len(scheme) > 1 and scheme.isalnum():
            raise UsageProblem(f"{field}: '{root}' lacks a slash; write {scheme}://{rest}")
        return pafs.LocalFileSystem(), str(expanded(root, field).resolve())
    try:
        fs, base = pafs.FileSystem.from_uri(root)
    except OSError as error:
        raise UsageProblem(f"{field}: '{root}' cannot be reached ({' '.join(str(error).split())})") from error
    except pa.ArrowInvalid:
        import fsspec

        try:
            # What other processes publish must be seen at once, so no listing may be kept.
            inner, base = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise UsageProblem(f"{field}: '{root}' names no store this machine can reach ({error})") from error
        fs = pafs.PyFileSystem(pafs.FSSpecHandler(inner))
    return fs, base.rstrip("/")


@contextmanager
def _failures_named(target: str, field: str) -> Iterator[None]:
    """DiskFull or RunFailure instead of an OSError while `target` is written."""
    try:
        with full_disk_named(target):
            yield
    except OSError as error:
        raise RunFailure(f"{field}: writing '{target}' failed ({error}); mend that and run the same command again") from error


def _append_local(path: Path, line: str) -> None:
    with path.open("ab+") as stream:
        # A line that a kill or a full disk cut short must not take the next one with it.
        torn = stream.tell() > 0 and stream.seek(-1, os.SEEK_END) >= 0 and stream.read(1) != b"\n"
        stream.write(b"\n" * torn + line.encode() + b"\n")


def _write_blocks(target: Path, blocks: Iterable[bytes], on_bytes: OnBytes | None = None) -> str:
    """Write `blocks` to `target`, whole or not at all; hex SHA-256 of all of them."""
    hasher = hashlib.sha256()
    with whole(target) as temporary, temporary.open("wb") as stream:
        for block in blocks:
            stream.write(block)
            hasher.update(block)
            if on_bytes:
                on_bytes(len(block))
    return hasher.hexdigest()
