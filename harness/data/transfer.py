"""Fetching a file by HTTP so that it arrives whole or not at all, and goes on where it broke off.

Bytes go into ``<name>.part``; what was asked for and what the server said of it (ETag or date, size) lies in
``<name>.part.json``. A later attempt asks for the rest (RFC 9110, sections 13.1.5 and 14.2) and starts anew where the
server's file has changed or where the server gives whole files only. The file gets its name when its size and content
have been checked.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import harness
from harness.errors import DataError, StoreError
from harness.files.atomic import write_atomically
from harness.files.disk_errors import explained

#: Attempts that may fail one after the other without a single new byte, seconds before the second, which double.
ATTEMPTS, PAUSE = 4, 1.0

#: Seconds without an answer or a byte after which an attempt has failed.
TIMEOUT = 30.0

_BLOCK = 1 << 20

#: Bytes of a JSON document that are read at most.
_LONGEST_DOCUMENT = 1 << 24

#: Answers that may be different a little later: RFC 9110, section 15, RFC 6585, section 4.
_PASSING = {408, 425, 429, 500, 502, 503, 504}

_AGAIN = "run the same command again: it goes on from here"


class Progress(Protocol):
    """What is told while files are fetched and unpacked: bytes done of bytes in all, where that is known."""

    def began(self, name: str, done: int, total: int | None) -> None:
        """A file begins, or begins again."""

    def advanced(self, done: int) -> None:
        """So many bytes of it are there."""

    def ended(self) -> None:
        """The file is there, or was given up."""


class Silent:
    """Progress that is shown nowhere."""

    def began(self, name: str, done: int, total: int | None) -> None:
        """Say nothing."""

    def advanced(self, done: int) -> None:
        """Say nothing."""

    def ended(self) -> None:
        """Say nothing."""


class _BrokenOff(Exception):
    """An attempt failed in a way that the next one may not."""


def check_address(url: str) -> str:
    """The address without a final slash. Raises DataError where it is not of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError(f"'{url}' is not an http or https address")
    return url.rstrip("/")


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """A key must not follow to wherever a server points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Refuse: the answer that redirects becomes an error."""


def ask(url: str, headers: Mapping[str, str], refused: str) -> Any:
    """The JSON document at an address, asked for with headers of one's own, a key perhaps; redirections are not followed.

    ``refused``: what to do where the server refuses the key (401, 403). Passing troubles are tried again. Raises DataError
    where there is no network, no such document, or something else than JSON.
    """
    check_address(url)
    request = urllib.request.Request(url, headers={"User-Agent": _agent(), "Accept": "application/json", **headers})
    opener = urllib.request.build_opener(_NoRedirection)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return json.loads(response.read(_LONGEST_DOCUMENT))
        except urllib.error.HTTPError as error:
            error.close()
            what = f"the server answers {error.code} {error.reason}"
            if error.code not in _PASSING:
                hint = refused if error.code in (401, 403) else None
                raise DataError(what, where=url, hint=hint) from error
        except ValueError as error:
            raise DataError("the server sent something else than JSON", where=url) from error
        except (OSError, http.client.HTTPException) as error:
            what = _unreachable(error)
        if attempt < ATTEMPTS:
            time.sleep(PAUSE * 2 ** (attempt - 1))
    raise DataError(f"{what} ({ATTEMPTS} attempts)", where=url, hint="run the same command again later")


def fetch(url: str, target: Path, check: Callable[[Path], None], progress: Progress) -> None:
    """Fetch ``url`` into ``target``, going on from what an earlier attempt left beside it.

    ``check`` gets the whole file before it is renamed and raises DataError where it is not what it should be; the file
    is removed then. Raises DataError where there is no network, no such file, a file of another size than the server
    said, or another process fetching the same file; StoreError where the folder has no room or cannot be written.
    """
    check_address(url)
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part, stamp = _part(target), _stamp(target)
        try:
            with _alone(part) as file:
                try:
                    _until_whole(url, file, stamp, target.name, progress)
                    file.flush()
                    _checked(check, part, file)
                    part.replace(target)
                    stamp.unlink(missing_ok=True)
                finally:
                    if part.exists() and part.stat().st_size == 0:
                        part.unlink()
                        stamp.unlink(missing_ok=True)
        finally:
            progress.ended()


def _agent() -> str:
    return f"eo-interop-harness/{harness.__version__}"


def _checked(check: Callable[[Path], None], part: Path, file: IO[bytes]) -> None:
    try:
        check(part)
    except DataError:
        # What is wrong once is not continued.
        file.truncate(0)
        raise


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _stamp(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """The partial file, opened for appending and locked, so that no second process writes it."""
    with part.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError("another process is fetching this file", where=str(part), hint="wait for it") from error
        yield file


def _until_whole(url: str, file: IO[bytes], stamp: Path, name: str, progress: Progress) -> None:
    failures, best = 0, file.seek(0, 2)
    while True:
        try:
            _attempt(url, file, stamp, name, progress)
            return
        except _BrokenOff as error:
            have = file.seek(0, 2)
            failures = 1 if have > best else failures + 1
            best = max(best, have)
            if failures >= ATTEMPTS:
                raise DataError(f"{error} ({ATTEMPTS} attempts)", where=url, hint=_AGAIN) from error
            time.sleep(PAUSE * 2 ** (failures - 1))


def _attempt(url: str, file: IO[bytes], stamp: Path, name: str, progress: Progress) -> None:
    """Ask once and take what comes. Raises _BrokenOff where the file is not whole afterwards."""
    have, record = file.seek(0, 2), _read_stamp(stamp, url)
    if not record:
        file.truncate(0)
        have = 0
    headers = {"User-Agent": _agent(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if record["validator"]:
            headers["If-Range"] = record["validator"]
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            if have and have == record["size"]:
                return
            file.truncate(0)
            raise _BrokenOff(f"the server has no byte {have}, and had announced {record.get('size')}") from error
        if error.code in _PASSING:
            raise _BrokenOff(f"the server answers {error.code} {error.reason}") from error
        hint = "the data may have moved: name another address with --base-url" if error.code in (404, 410) else None
        raise DataError(f"the server answers {error.code} {error.reason}", where=url, hint=hint) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(_unreachable(error)) from error
    with response:
        total = _whole_size(response, file, have, record)
        have = file.seek(0, 2)
        _write_stamp(stamp, url, response, total)
        _refuse_without_room(stamp.parent, name, have, total)
        progress.began(name, have, total)
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _BrokenOff(
                    f"the connection broke off after {have} bytes ({str(error) or type(error).__name__})"
                ) from error
            if not block:
                break
            file.write(block)
            have += len(block)
            progress.advanced(have)
    file.flush()
    if total is not None and have > total:
        file.truncate(0)
    if total is not None and have != total:
        raise _BrokenOff(f"the server sent {have} bytes and had announced {total}")


def _whole_size(response: Any, file: IO[bytes], have: int, record: dict[str, Any]) -> int | None:
    """Bytes of the whole file, from the headers, or None. Empties ``file`` where the answer does not continue it."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        file.truncate(0)
        return int(length) if length and length.isdigit() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != have or record.get("size") not in (None, int(found[2])):
        file.truncate(0)
        raise _BrokenOff("the server sent another piece than it was asked for")
    return int(found[2])


def _read_stamp(stamp: Path, url: str) -> dict[str, Any]:
    """What an earlier attempt noted, or nothing where it is unusable: then the file must start anew."""
    try:
        record = json.loads(stamp.read_text())
        usable = record["url"] == url and (record["validator"] or record["size"])
        return dict(record) if usable else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_stamp(stamp: Path, url: str, response: Any, total: int | None) -> None:
    tag = response.headers.get("ETag", "")
    # A weak tag names equal meaning, not equal bytes, and may not be used to go on (RFC 9110, section 13.1.5).
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    write_atomically(stamp, json.dumps({"url": url, "validator": validator, "size": total}))


def _refuse_without_room(folder: Path, name: str, have: int, total: int | None) -> None:
    free = shutil.disk_usage(folder).free
    if total is not None and total - have > free:
        raise StoreError(
            f"{name} needs {(total - have) / 1e6:.0f} MB more, and the disk has {free / 1e6:.0f} MB",
            where=str(folder),
            hint="free some space, then run the same command again: it goes on from here",
        )


def _unreachable(error: Exception) -> str:
    """Why there was no answer, in words."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        return "the server's name is not known here: is there a network?"
    if isinstance(reason, ConnectionRefusedError):
        return "the server refuses the connection"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({reason.verify_message})"
    if isinstance(reason, TimeoutError):
        return "the server does not answer"
    return f"no connection ({str(reason) or type(reason).__name__})"
