from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from radar_files import REFLECTIVITY, frame_path, write_frame
from typer.testing import CliRunner

from harness.cli.app import app
from harness.data import knmi_published, transfer
from harness.data.dataset import Wanted
from harness.data.files import get
from harness.data.sources import source
from harness.errors import DataError

KEY = "a-key-of-the-user"
PLACE = "/datasets/radar_reflectivity_composites/versions/2.0/files"
PERIOD = Wanted(first="2024-07-09T12:00", last="2024-07-09T13:55")


class Platform:
    """A server that lists files, page by page, and gives each an address that wants no key."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked, self.url = files, [], ""
        self.page, self.statuses, self.answers, self.spoiled = 10, [], {}, {}

    def answer(self, path: str, query: dict[str, list[str]]) -> object:
        if path == PLACE:
            after = query["startAfterFilename"][0]
            rest = [name for name in sorted(self.files) if name > after]
            page = rest[: min(self.page, int(query["maxKeys"][0]))]
            listed = [{"filename": name, "size": len(self.files[name])} for name in page]
            return {"files": listed, "isTruncated": len(page) < len(rest)}
        return {"temporaryDownloadUrl": f"{self.url}/download/{path.split('/')[-2]}?signed=1"}


@contextmanager
def serving(platform: Platform):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            platform.asked.append((parts.path, self.headers.get("Authorization")))
            name = parts.path.rpartition("/")[2]
            if platform.statuses:
                status = platform.statuses.pop(0)
                self.send_response(status)
                self.send_header("Location", f"{platform.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if parts.path.startswith("/download/"):
                body = platform.spoiled.get(name, platform.files[name])
            elif self.headers.get("Authorization") != KEY:
                self.send_error(403)
                return
            else:
                answer = platform.answers.get(parts.path, platform.answer(parts.path, parse_qs(parts.query)))
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("published")
    random = np.random.default_rng(0)
    for index in range(30):
        write_frame(folder, index, random.integers(0, 255, (8, 7)).astype(np.uint8), REFLECTIVITY)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def platform(published, monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(Platform(dict(published))) as served:
        monkeypatch.setenv("HARNESS_KNMI_URL", served.url)
        monkeypatch.setenv("KNMI_API_KEY", KEY)
        yield served


def test_a_period_is_fetched_and_can_be_read(platform, published, tmp_path):
    files = get("knmi-radar", tmp_path, 0, PERIOD)
    assert [path.name for path in files] == sorted(published)[:24]
    assert all(path.read_bytes() == published[path.name] for path in files)
    found = source("knmi-radar")
    options = {"root": str(tmp_path), "size": None, "history": 1, "horizon": 2, "separation": 0}
    assert found.read(found.options(**options), tmp_path, 0).info.bands[0].unit == "dBZ"


def test_the_key_goes_to_the_interface_alone(platform, tmp_path):
    get("knmi-radar", tmp_path, 0, PERIOD)
    keys = {path.startswith("/download/"): set() for path, _ in platform.asked}
    for path, key in platform.asked:
        keys[path.startswith("/download/")].add(key)
    assert keys == {True: {None}, False: {KEY}}
    assert [path for path, _ in platform.asked].count(PLACE) == 3


def test_what_is_there_is_not_fetched_again(platform, tmp_path):
    files = get("knmi-radar", tmp_path, 0, PERIOD)
    platform.asked.clear()
    assert get("knmi-radar", tmp_path, 0, PERIOD) == files
    assert not platform.asked
    files[3].write_bytes(b"half")
    get("knmi-radar", tmp_path, 0, PERIOD)
    assert [path for path, _ in platform.asked if "download" in path] == [f"/download/{files[3].name}"]


def test_a_frame_that_is_not_published_is_named_before_anything_is_fetched(platform, tmp_path):
    for index in (4, 9):
        del platform.files[frame_path(tmp_path, index, REFLECTIVITY).name]
    with pytest.raises(DataError, match=r"lists no RAD_NL25_PCP_NA_202407091220\.h5 and 1 more of 24; choose a period"):
        get("knmi-radar", tmp_path, 0, PERIOD)
    assert not list(tmp_path.iterdir())


def test_without_a_key_it_says_where_one_is_had(platform, tmp_path, monkeypatch):
    monkeypatch.delenv("KNMI_API_KEY")
    with pytest.raises(DataError, match=r"key .* is not known; get one at https://developer.* KNMI_API_KEY"):
        get("knmi-radar", tmp_path, 0, PERIOD)


def test_a_refused_key_is_said_and_not_shown(platform, tmp_path, monkeypatch):
    monkeypatch.setenv("KNMI_API_KEY", "a-wrong-one")
    with pytest.raises(DataError, match="403 Forbidden; the key in KNMI_API_KEY is refused") as caught:
        get("knmi-radar", tmp_path, 0, PERIOD)
    assert "a-wrong-one" not in caught.value.line()


def test_a_key_does_not_follow_a_redirection(platform, tmp_path):
    platform.statuses = [302]
    with pytest.raises(DataError, match="the server answers 302"):
        get("knmi-radar", tmp_path, 0, PERIOD)
    assert [path for path, _ in platform.asked] == [PLACE]


def test_passing_troubles_pass(platform, tmp_path):
    platform.statuses = [503, 429, 500]
    assert len(get("knmi-radar", tmp_path, 0, PERIOD)) == 24
    platform.statuses = [503] * 4
    with pytest.raises(DataError, match=r"503 Service Unavailable \(4 attempts\)"):
        get("knmi-radar", tmp_path / "other", 0, PERIOD)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>", "something else than JSON"),
        ({"error": "no"}, "the answer is not a list of files"),
        ([], "the answer is not a list of files"),
        ({"files": [{"filename": "a"}]}, "the answer is not a list of files"),
        ({"files": [{"filename": "A.h5", "size": 3}], "isTruncated": True}, "the list of files does not go on"),
    ],
)
def test_answers_that_are_no_list_are_refused(platform, tmp_path, answer, message):
    platform.answers[PLACE] = answer
    with pytest.raises(DataError, match=message):
        get("knmi-radar", tmp_path, 0, PERIOD)


def test_files_that_are_not_what_was_listed_are_not_kept(platform, published, tmp_path):
    name = sorted(published)[2]
    platform.spoiled[name] = published[name] + b"more"
    with pytest.raises(DataError, match=r"bytes, not the \d+ that were listed"):
        get("knmi-radar", tmp_path, 0, PERIOD)
    platform.spoiled[name] = b"<html>sign in</html>"
    with pytest.raises(DataError, match="not an HDF5 file"):
        get("knmi-radar", tmp_path, 0, PERIOD)
    assert not (tmp_path / name).exists()
    platform.spoiled.clear()
    assert len(get("knmi-radar", tmp_path, 0, PERIOD)) == 24


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(), "--from: no time is named"),
        (Wanted(first="2024-07-09T12:00"), "--to: no time is named"),
        (Wanted(first="today", last="2024-07-09T12:00"), "--from: 'today' is not a time; write it as"),
        (Wanted(first="2024-07-09T12:03", last="2024-07-09T12:10"), "is not a multiple of five minutes"),
        (Wanted(first="2024-07-09T12:10", last="2024-07-09T12:05"), "--to: ends before it begins"),
        (Wanted(first="2024-07-09", last="2025-07-09"), "105121 frames are too many at once"),
        (Wanted(product="RAD_NL25_PCP"), "did you mean 'RAD_NL25_PCP_NA'"),
        (Wanted(product="rain"), r"choose one of RAD_NL25_PCP_NA \(reflectivity in dBZ\), RAD_NL25_RAC_RT"),
        (Wanted(regions=("frh01",)), "has no regions, levels or outlines"),
    ],
)
def test_what_cannot_be_wanted_is_refused(platform, tmp_path, wanted, message):
    with pytest.raises(DataError, match=message):
        get("knmi-radar", tmp_path, 0, wanted)
    assert not platform.asked


def test_times_with_a_zone_are_brought_to_utc():
    wanted = Wanted(first="2024-07-09T14:00+02:00", last="2024-07-09T14:05+02:00")
    assert [f"{time:%H:%M}" for time in knmi_published._times(wanted)] == ["12:00", "12:05"]


def test_breizhcrops_has_no_periods(tmp_path):
    with pytest.raises(DataError, match="has no products or periods"):
        get("breizhcrops", tmp_path, 0, PERIOD)


def test_the_command_line_fetches_a_period(platform, tmp_path):
    asked = ["data", "get", "knmi-radar", "--from", "2024-07-09T12:00", "--to", "2024-07-09T12:10"]
    result = CliRunner().invoke(app, [*asked, "--folder", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.output)["files"]) == 3
    assert (tmp_path / "knmi-radar" / "RAD_NL25_PCP_NA_202407091200.h5").is_file()
