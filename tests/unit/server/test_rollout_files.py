"""The files of the rollout directory: what they may say, and that nothing else is followed."""

from pathlib import Path

import pytest

from mmm_server.http.mirror_target import BrokenMirror, Target, parse_target, read_target
from mmm_server.wanted import BrokenWanted, WantedVersion, parse_wanted, read_wanted

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://clip-1a2b3c4d.ns.svc", Target("clip-1a2b3c4d.ns.svc", 80)),
        ("http://clip.ns.svc:8080", Target("clip.ns.svc", 8080)),
        ("http://clip.ns.svc:65535", Target("clip.ns.svc", 65535)),
        ("http://7.0.svc:80", Target("7.0.svc", 80)),
    ],
)
def test_services_of_the_cluster_are_targets(url: str, target: Target) -> None:
    assert parse_target(f'{{"url": "{url}"}}'.encode()) == target


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://127.0.0.1"])
def test_this_machine_is_a_target_only_where_the_settings_say_so(url: str) -> None:
    content = f'{{"url": "{url}"}}'.encode()
    assert parse_target(content, loopback=True).host == "127.0.0.1"
    with pytest.raises(BrokenMirror):
        parse_target(content)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "clip.ns.svc",
        "https://clip.ns.svc",
        "ftp://clip.ns.svc",
        "http://clip.ns.svc/predict",
        "http://clip.ns.svc?x=1",
        "http://clip.ns.svc#x",
        "http://user:password@clip.ns.svc",
        "http://evil.example#.ns.svc",
        "http://evil.example/.svc",
        "http://evil.example\\\\.svc",
        "http://svc",
        "http://.svc",
        "http://clip..svc",
        "http://CLIP_1.ns.svc",
        "http://evil.example",
        "http://clip.ns.svc/",
        "http://clip.svc",
        "http://a.clip.ns.svc",
        "http://clip.ns.svc.",
        "http://clip.ns.svc.cluster.local",
        "http://clip.ns.svc.evil.example",
        "http://clip.ns.SVC",
        "http://-clip.ns.svc",
        "http://clip.ns-.svc",
        "http://localhost",
        "http://localhost:8080",
        "http://127.0.0.2:8080",
        "http://10.1.2.3:8080",
        "http://100.64.1.2:8080",
        "http://[fd00::7]:8080",
        "http://[::1]:8080",
        "http://8.8.8.8",
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://[::ffff:169.254.169.254]",
        "http://[::ffff:8.8.8.8]",
        "http://0.0.0.0:8080",
        "http://224.0.0.1",
        "http://2130706433",
        "http://clip.ns.svc:",
        "http://clip.ns.svc:0",
        "http://clip.ns.svc:080",
        "http://clip.ns.svc:\u0668\u0660",
        "http://clip.ns.svc:65536",
        "http://clip.ns.svc:99999",
        "http://clip.ns.svc:port",
        "http://clip.ns.svc\\r\\nx: y",
        "http://clip.ns.svc\\n",
        " http://clip.ns.svc",
    ],
)
def test_nothing_else_is_a_target(url: str) -> None:
    with pytest.raises(BrokenMirror, match=r"\.$") as broken:
        parse_target(f'{{"url": "{url}"}}'.encode(), loopback=True)
    assert "evil" not in str(broken.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"url": 1}', b"\xff", b"[" * 4000, b" " * 5000 + b"{}"])
def test_what_is_no_object_is_neither_file(content: bytes) -> None:
    with pytest.raises(BrokenMirror):
        parse_target(content)
    with pytest.raises(BrokenWanted):
        parse_wanted(content)


def test_files_that_are_not_there_say_nothing(tmp_path: Path) -> None:
    assert read_target(tmp_path) is None
    assert read_wanted(tmp_path) is None
    assert read_target(tmp_path / "nowhere") is None
    assert read_wanted(tmp_path / "nowhere") is None


def test_what_cannot_be_read_is_broken(tmp_path: Path) -> None:
    for name in ("mirror.json", "wanted.json"):
        (tmp_path / name).mkdir()
    with pytest.raises(BrokenMirror):
        read_target(tmp_path)
    with pytest.raises(BrokenWanted):
        read_wanted(tmp_path)


def test_a_wanted_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "wanted.json").write_text(f'{{"version": "2024-01.b+1", "digest": "{DIGEST}", "more": 1}}')
    assert read_wanted(tmp_path) == WantedVersion("2024-01.b+1", DIGEST)
