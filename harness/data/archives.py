"""Unpacking an archive from elsewhere: only the files that are wanted, and only below the folder that is named.

A member that lies outside (an absolute path, ``..``), a link, a device or an absurd size refuses the whole archive:
whoever packed it did not pack data. Files appear under their names when the archive has been read to its end.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.data.transfer import Progress
from harness.errors import DataError, StoreError
from harness.files.disk_errors import explained

#: Members of an archive, bytes of one header, and bytes that are copied at once.
MOST_MEMBERS, _LARGEST_READ, _BLOCK = 1000, 1 << 22, 1 << 20

#: Bytes of an archive beside the content of its files: headers and padding.
_OVERHEAD = 1 << 24

_AGAIN = "fetch it again"


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: Path, folder: Path, wanted: Callable[[str], bool], largest: int, progress: Progress
) -> tuple[Path, ...]:
    """Unpack a .tar.gz or .zip archive; returns the new files, sorted.

    Folders inside the archive are dropped: a file lands in ``folder`` under its own last name, where ``wanted`` says yes
    to that name; other files are passed over. ``largest`` bounds the bytes of all files together. Raises DataError on
    a damaged or hostile archive; nothing is left behind then. Raises StoreError where the folder cannot be written.
    """
    parts: dict[str, Path] = {}
    total = 0
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for member in _members(archive, largest):
                name = PurePosixPath(member.name).name
                if not wanted(name):
                    continue
                if name in parts:
                    raise DataError(f"holds two files named {name}", where=str(archive))
                total += member.size
                if total > largest:
                    raise DataError(f"would unpack to more than {largest} bytes", where=str(archive))
                _refuse_without_room(folder, name, member.size)
                parts[name] = folder / f"{name}.part"
                progress.began(name, 0, member.size)
                _copy(member, parts[name], progress)
                progress.ended()
            for name, part in parts.items():
                part.replace(folder / name)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"a damaged archive ({error})", where=str(archive), hint=_AGAIN) from error
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
    return tuple(sorted(folder / name for name in parts))


def _refuse_without_room(folder: Path, name: str, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise StoreError(
            f"{name} needs {size / 1e6:.0f} MB, and the disk has {free / 1e6:.0f} MB",
            where=str(folder),
            hint="free some space, then run the same command again: it goes on from here",
        )


def _copy(member: _Member, part: Path, progress: Progress) -> None:
    source = member.open()
    if source is None:
        raise DataError(f"{member.name} holds nothing", where=str(part))
    done = 0
    with source, part.open("wb") as target:
        while block := source.read(_BLOCK):
            target.write(block)
            done += len(block)
            progress.advanced(done)
    if done != member.size:
        raise EOFError(f"{member.name} has {done} bytes, not {member.size}")


def _members(archive: Path, largest: int) -> Generator[_Member, None, None]:
    """The regular files of an archive, one after the other, each checked before it is given out."""
    with archive.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        members = _tar_members(archive, largest)
    elif magic == b"PK\x03\x04":
        members = _zip_members(archive)
    else:
        raise DataError(
            f"neither a .tar.gz nor a .zip archive (it begins with {magic!r})", where=str(archive), hint=_AGAIN
        )
    with contextlib.closing(members):
        for number, member in enumerate(members):
            if number >= MOST_MEMBERS:
                raise DataError(f"holds more than {MOST_MEMBERS} files", where=str(archive))
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
                raise DataError(f"member {member.name!r} would lie outside of the folder", where=str(archive))
            if member.size < 0:
                raise DataError(f"member {member.name!r} states a size of {member.size}", where=str(archive))
            yield member


class _Bounded:
    """A decompressed stream that refuses to grow past a limit or to hand out more at once than data blocks are."""

    def __init__(self, stream: gzip.GzipFile, limit: int, where: str) -> None:
        self._stream, self._limit, self._where = stream, limit, where

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise DataError(f"states a header of {size} bytes", where=self._where)
        self._within(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        self._within(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _within(self, position: int) -> None:
        if position > self._limit:
            raise DataError(f"would unpack to more than {self._limit} bytes", where=self._where)


def _tar_members(archive: Path, largest: int) -> Generator[_Member, None, None]:
    where = str(archive)
    with gzip.open(archive) as stream:
        bounded: Any = _Bounded(stream, largest + _OVERHEAD, where)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    kind = "a link" if member.issym() or member.islnk() else "not a plain file"
                    raise DataError(f"member {member.name!r} is {kind}", where=where)
                yield _Member(member.name, member.size, functools.partial(tar.extractfile, member))
        # To the very end: only there does gzip say whether all bytes were right.
        while bounded.read(_BLOCK):
            pass


def _zip_members(archive: Path) -> Generator[_Member, None, None]:
    where = str(archive)
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            if member.is_dir():
                continue
            mode = stat.S_IFMT(member.external_attr >> 16)
            if mode not in (0, stat.S_IFREG):
                raise DataError(f"member {member.filename!r} is a link or a device", where=where)
            if member.flag_bits & 1:
                raise DataError(f"member {member.filename!r} is encrypted", where=where)
            yield _Member(member.filename, member.file_size, functools.partial(zipped.open, member))
