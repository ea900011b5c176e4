"""Through which proxy the API server is reached."""

import pytest

from mmm_operator.kube.connection import proxy_for


@pytest.mark.parametrize(
    ("server", "proxy"),
    [
        ("https://api.example:6443", "http://proxy:3128"),
        ("https://10.0.0.1", "http://proxy:3128"),
        ("https://api.internal.example:6443", None),
        ("https://127.0.0.1:6443", None),
    ],
)
def test_the_environment_names_the_proxy(server: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example,127.0.0.1")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert proxy_for(server) == proxy


def test_without_an_environment_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("https://api.example") is None
