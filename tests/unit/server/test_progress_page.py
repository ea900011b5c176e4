"""The page of a pod that fetches, asked over HTTP."""

import socket

import httpx
import pytest

from dev.localcluster.layout import free_ports
from mmm_operator.scrape.fetches import FetchPage
from mmm_repository import Phase, Progress
from mmm_server.progress_page import PATH, ProgressPage, served


def test_it_says_how_far_the_fetch_is_and_passes_it_on() -> None:
    heard: list[Progress] = []
    page = ProgressPage(heard.append)
    with served(page, free_port(), "127.0.0.1") as port:
        url = f"http://127.0.0.1:{port}{PATH}"
        assert httpx.get(url).json() == {"state": "FETCHING", "downloadedBytes": 0, "totalBytes": 0}
        page(Progress(Phase.DOWNLOAD, 5, 20))
        answer = httpx.get(url)
        assert answer.headers["content-type"] == "application/json"
        found = FetchPage.model_validate_json(answer.content)
        assert (found.downloaded_bytes, found.total_bytes) == (5, 20)
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        assert httpx.post(url).status_code == 501
    assert heard == [Progress(Phase.DOWNLOAD, 5, 20)]
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_whoever_connects_and_says_nothing_keeps_nobody_waiting() -> None:
    with served(ProgressPage(lambda _: None), free_port(), "127.0.0.1") as port:
        silent = socket.create_connection(("127.0.0.1", port))
        assert httpx.get(f"http://127.0.0.1:{port}{PATH}", timeout=2).is_success
    silent.close()


def test_a_taken_port_stops_no_fetch(caplog: pytest.LogCaptureFixture) -> None:
    page = ProgressPage(lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as taken, served(page, taken.getsockname()[1], "127.0.0.1") as port:
        assert port == 0
    assert "nobody can ask" in caplog.text


def test_without_a_port_there_is_no_page() -> None:
    with served(ProgressPage(lambda _: None), 0) as port:
        assert port == 0


def free_port() -> int:
    (port,) = free_ports(1)
    return port
