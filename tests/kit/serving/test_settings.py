"""Settings: documentation, ranges and secrets."""

from __future__ import annotations

import re

import pytest
from pydantic.fields import FieldInfo

from docs.generate.hook import fill_page
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.network_addresses import is_loopback_host
from openenv_kit.serving.app import main
from openenv_kit.serving.settings import Settings, load_settings
from openenv_kit.variables import SALT_VARIABLE
from support.paths import ROOT


def range_of(field: FieldInfo) -> tuple[int | None, int | None]:
    """Lowest and highest value of a number; both None for anything else."""
    found = {n: getattr(e, n) for e in field.metadata for n in ("ge", "le") if hasattr(e, n)}
    return found.get("ge"), found.get("le")


FIELDS = Settings.model_fields
NUMBERS = {name: field for name, field in FIELDS.items() if range_of(field) != (None, None)}


def test_the_documentation_lists_every_setting() -> None:
    page = fill_page((ROOT / "docs" / "serving.md").read_text())
    shown = re.findall(r"^\| `([A-Z_]+)` \|.*\| \S.* \|$", page, re.M)
    assert shown == [field.validation_alias for field in FIELDS.values()]


def test_every_whole_number_has_a_range() -> None:
    assert set(NUMBERS) == {name for name, field in FIELDS.items() if field.annotation is int}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_taken_within_its_range_and_refused_outside(name: str) -> None:
    variable, (low, high) = str(NUMBERS[name].validation_alias), range_of(NUMBERS[name])
    assert low is not None
    assert high is not None
    for value in (low, high):
        assert getattr(load_settings({variable: str(value)}), name) == value
    allowed = f"{variable} is .*; allowed: an integer from {low} to {high}"
    for wrong in (str(low - 1), str(high + 1), "many", "1e3"):
        with pytest.raises(InvalidValueError, match=allowed):
            load_settings({variable: wrong})


def test_renamed_variable_is_an_error_with_the_new_name() -> None:
    renamed = [*(str(each.validation_alias) for each in FIELDS.values()), SALT_VARIABLE]
    renamed = [name for name in renamed if name.startswith("OPENENV_KIT_")]
    assert len(renamed) > 20
    for name in renamed:
        old = name.replace("OPENENV_KIT_", "METRIC_TRACKER_")
        with pytest.raises(ConfigurationError, match=f"{old} is called {name} now") as refused:
            load_settings({old: "hunter2hunter2hunter2"})
        assert "hunter2" not in str(refused.value)
        assert load_settings({old: ""}) == Settings()
    assert load_settings({"METRIC_TRACKER_FULL": "1"}) == Settings()  # one of the tests' own


def test_a_constructor_reads_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9")
    assert (Settings().port, load_settings().port) == (8000, 9)


def test_a_token_that_is_too_short_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidValueError) as refused:
        load_settings({"OPENENV_KIT_TOKEN": "hunter2"})
    assert "hunter2" not in str(refused.value)
    assert "hunter2hunter2hunter2" not in repr(
        load_settings({"OPENENV_KIT_TOKEN": "hunter2hunter2hunter2"})
    )


def test_the_tokens_of_both_roles_are_read_and_shown_by_neither_repr_nor_error() -> None:
    trainer, player = "t" * 16, "p" * 16
    read = load_settings({"OPENENV_KIT_TOKEN": trainer, "OPENENV_KIT_PLAYER_TOKEN": player})
    assert (read.token, read.player_token) == (trainer, player)
    assert trainer not in repr(read)
    assert player not in repr(read)
    for wrong in ({}, {"OPENENV_KIT_TOKEN": player}):
        with pytest.raises(InvalidValueError, match="OPENENV_KIT_PLAYER_TOKEN") as refused:
            load_settings({**wrong, "OPENENV_KIT_PLAYER_TOKEN": player})
        assert player not in str(refused.value)


def test_origins_are_read_as_browsers_send_them_and_anything_else_is_refused() -> None:
    given = "https://Trainer.example/, http://10.0.0.1:3000,http://[fd00::1]:80 ,*,extension://abc"
    read = load_settings({"OPENENV_KIT_ALLOWED_ORIGINS": given}).allowed_origins
    assert read == (
        "https://trainer.example",
        "http://10.0.0.1:3000",
        "http://[fd00::1]:80",
        "*",
        "extension://abc",
    )
    for wrong in ("trainer.example", "https://", "https://[", "https://a/page", "https://a b"):
        with pytest.raises(InvalidValueError, match="OPENENV_KIT_ALLOWED_ORIGINS"):
            load_settings({"OPENENV_KIT_ALLOWED_ORIGINS": f"https://fine.example,{wrong}"})


def test_show_settings_prints_effective_values_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {
        "OPENENV_KIT_TOKEN": "hunter2-hunter2-hunter2",
        "OPENENV_KIT_PLAYER_TOKEN": "hunter3-hunter3-hunter3",
        SALT_VARIABLE: "hunter4 hunter4 hunter4 hunter4",
        "OPENENV_KIT_EPISODE_STORE": "redis://me:hunter5@redis.example:1/0?password=hunter6&db=2",
    }
    for name, value in {**secrets, "OPENENV_KIT_MAX_STEPS": "77", "HOST": "::1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("PORT", "WORKERS", "ALSO_SERVE", "ENVIRONMENT"):  # which the command sets
        monkeypatch.setenv(name, "")
    main(["--show-settings", "--port", "81"])
    shown = capsys.readouterr().out
    lines = dict(line.split("=", 1) for line in shown.splitlines())
    assert {field.validation_alias for field in FIELDS.values()} < set(lines)
    assert "hunter" not in shown
    assert lines["OPENENV_KIT_TOKEN"] == lines[SALT_VARIABLE] == "(set, not shown)"
    assert (
        lines["OPENENV_KIT_EPISODE_STORE"] == "redis://me:***@redis.example:1/0?password=***&db=2"
    )
    assert (lines["PORT"], lines["OPENENV_KIT_MAX_STEPS"], lines["HOST"]) == ("81", "77", "::1")
    assert lines["OPENENV_KIT_KEEP_ALIVE_S"] == "75  # default"
    assert lines["ENVIRONMENT"] == "metric_tracker_rl"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("page.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("notlocalhost", False),
    ],
)
def test_only_this_machine_s_own_addresses_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback_host(host) is expected


def test_default_server_listens_on_loopback() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.debug is False


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "70000"), ("WORKERS", "0"), ("OPENENV_KIT_DEBUG", "maybe")],
)
def test_a_setting_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is '{value}'; allowed: "):
        load_settings({name: value})
