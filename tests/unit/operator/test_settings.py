"""The operator's configuration comes from its environment, and a mistake in it is a sentence."""

import pytest

from mmm_operator.__main__ import main
from mmm_operator.errors import SettingsError
from mmm_operator.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMM_OPERATOR_SERVER_IMAGE", "localhost/server:1")


def test_namespaces_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMM_OPERATOR_NAMESPACES", "one, two,")
    assert load_settings().namespaces == ("one", "two")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SERVER_IMAGE", "", "MMM_OPERATOR_SERVER_IMAGE: String should have at least 1 character"),
        ("WORKERS", "many", "MMM_OPERATOR_WORKERS: Input should be a valid integer"),
        ("GRACE_SECONDS", "10", None),
        ("DRAIN_DELAY_SECONDS", "301", "MMM_OPERATOR_DRAIN_DELAY_SECONDS: Input should be less than or equal to 300"),
    ],
)
def test_a_mistake_names_the_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str | None) -> None:
    monkeypatch.setenv(f"MMM_OPERATOR_{name}", value)
    if words is None:
        load_settings()
        return
    with pytest.raises(SettingsError, match=words):
        load_settings()


def test_the_help_explains_every_setting_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    assert [name for name in Settings.model_fields if f"MMM_OPERATOR_{name.upper()} (" not in text] == []
    assert "MMM_OPERATOR_SERVER_IMAGE (required)" in text
    assert "MMM_OPERATOR_NAMESPACES (default: empty)" in text
