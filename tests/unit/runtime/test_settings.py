"""Settings from every source, with errors that a person can act on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from tacit.runtime import settings as subject
from tacit.runtime.settings import HttpSettings, LogKind, LogSettings, Secret, Settings, SettingsError, load

Lines = Callable[[], list[dict[str, object]]]


class Demo(Settings):
    """A service's settings."""

    name: str = "trainer"
    tries: Annotated[int, Field(ge=1, le=5)] = 3
    token: Secret | None = None
    database: str = ""
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings(path=Path("log.sqlite"))


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No TACIT_ name of the caller's environment counts."""
    import os  # noqa: PLC0415  only here

    for name in list(os.environ):
        if name.upper().startswith("TACIT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "settings.yaml"
    path.write_text("name: from-file\ntries: 2\nhttp: {host: 10.0.0.1, port: 8000}\n")
    return path


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A mounted folder of secrets."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text("s3cr3t-token\n")
    (folder / "TACIT_LOG__SASL_PASSWORD").write_text("p4ss-of-kafka")
    (folder / "unrelated.txt").write_text("ignored")
    return folder


def test_sources_have_their_order(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults < file < environment < arguments, group by group."""
    assert load(Demo).tries == 3
    assert load(Demo, file).tries == 2
    monkeypatch.setenv("TACIT_TRIES", "4")
    monkeypatch.setenv("TACIT_HTTP__PORT", "9000")
    found = load(Demo, file)
    assert (found.tries, found.name) == (4, "from-file")
    assert found.http == HttpSettings(host="10.0.0.1", port=9000)
    assert load(Demo, file, tries=5, http={"port": 1}).http == HttpSettings(host="10.0.0.1", port=1)


def test_secret_files_fill_nested_names(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without prefix; the environment wins; other files are ignored."""
    found = load(Demo, secrets_dir=secrets)
    assert found.token is not None
    assert found.token.get_secret_value() == "s3cr3t-token"
    assert found.log.sasl_password is not None
    assert found.log.sasl_password.get_secret_value() == "p4ss-of-kafka"
    monkeypatch.setenv("TACIT_TOKEN", "from-environment")
    again = load(Demo, secrets_dir=secrets)
    assert again.token is not None
    assert again.token.get_secret_value() == "from-environment"


def test_direct_construction_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that builds settings needs no clean environment."""
    monkeypatch.setenv("TACIT_NAME", "world")
    assert Demo().name == "trainer"


def test_settings_are_frozen() -> None:
    """Nobody changes them on the way down."""
    found = load(Demo)
    with pytest.raises(ValidationError, match="frozen"):
        found.name = "other"
    with pytest.raises(ValidationError, match="frozen"):
        found.http.port = 1


def test_every_wrong_setting_is_listed_with_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run shows all of them."""
    monkeypatch.setenv("TACIT_TRIES", "9")
    monkeypatch.setenv("TACIT_HTTP__PORT", "70000")
    monkeypatch.setenv("TACIT_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError) as caught:
        load(Demo)
    text = str(caught.value)
    assert "3 wrong setting(s) for Demo" in text
    assert "tries: Input should be less than or equal to 5 (got '9')" in text
    assert "http.port: Input should be less than or equal to 65535 (got '70000')" in text
    assert "log_level: Input should be 'debug', 'info'" in text


def test_unknown_names_are_refused_without_their_value(file: Path) -> None:
    """A misspelt secret must not land in a log."""
    file.write_text("tokn: hunter2-value\nhttp: {prt: 5151}\n")
    with pytest.raises(SettingsError) as caught:
        load(Demo, file)
    assert "tokn: Extra inputs are not permitted" in str(caught.value)
    assert "http.prt: Extra inputs are not permitted" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "5151" not in str(caught.value)


def test_a_wrong_group_in_the_environment_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group given as text that is no JSON."""
    monkeypatch.setenv("TACIT_HTTP", "not json")
    with pytest.raises(SettingsError, match="http"):
        load(Demo)


@pytest.mark.parametrize("value", ["changeme", " Password ", ""])
def test_placeholder_secrets_are_refused(value: str) -> None:
    """A chart's example value must not start a service, nor be printed."""
    with pytest.raises(SettingsError, match=r"token: is empty or a placeholder: give the real secret$"):
        load(Demo, token=value)


def test_a_wrong_secret_is_not_shown() -> None:
    """A model-wide error or a wrong type shows no value where a secret may be."""
    with pytest.raises(SettingsError) as caught:
        load(Demo, token=9876543)
    assert "9876543" not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load(Demo, log={"kind": "kafka", "sasl_password": "p4ss"})
    assert "p4ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "names and values, not list"),
        ("1: x", "names and values"),
        ("\x00", "not YAML"),
    ],
)
def test_files_that_are_no_settings_are_refused(file: Path, text: str, message: str) -> None:
    """The message names the file."""
    file.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        load(Demo, file)
    assert str(file) in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    """A path that leads nowhere is an error, not a default."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(Demo, tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="does not exist or is no folder"):
        load(Demo, secrets_dir=tmp_path / "none")


def test_an_empty_file_sets_nothing(file: Path) -> None:
    """Only comments is fine."""
    file.write_text("# nothing yet\n")
    assert load(Demo, file) == load(Demo)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "embedded"}, "needs `path`"),
        ({"kind": "kafka"}, "needs `bootstrap_servers`"),
        ({"kind": "kafka", "bootstrap_servers": "a:1"}, "SASL_SSL needs `sasl_username` and `sasl_password`"),
        ({"kind": "kafka", "bootstrap_servers": "a:1", "sasl_username": "u"}, "needs `sasl_username`"),
        ({"kind": "files"}, "'embedded' or 'kafka'"),
        ({"path": "x", "topic_prefix": "Bad_Prefix"}, "should match pattern"),
        ({"path": "x", "replication_factor": 0}, "greater than or equal to 1"),
    ],
)
def test_log_settings_are_complete(values: dict[str, object], message: str) -> None:
    """Each kind says what it needs."""
    with pytest.raises(ValidationError, match=message):
        LogSettings.model_validate(values)


def test_kafka_without_passwords_is_possible() -> None:
    """Mutual TLS needs no user."""
    found = LogSettings(kind=LogKind.KAFKA, bootstrap_servers="a:1", security_protocol="SSL")
    assert found.sasl_password is None


def test_description_masks_secrets(secrets: Path) -> None:
    """Dotted names; secrets and URL passwords hidden; the rest as it is."""
    found = load(Demo, secrets_dir=secrets, database="postgresql://tacit:hunter2@db:5432/models")
    shown = subject.describe(found)
    assert {shown["token"], shown["log.sasl_password"]} == {"**********"}
    assert shown["database"] == "postgresql://tacit:**********@db:5432/models"
    assert (shown["http.port"], shown["log.kind"], shown["log.path"]) == (0, "embedded", "log.sqlite")
    assert "hunter2" not in repr(found.log)


def test_settings_are_logged_once_masked(secrets: Path, lines: Lines) -> None:
    """One line with every effective value."""
    subject.announce(load(Demo, secrets_dir=secrets))
    (line,) = lines()
    assert line["event"] == "settings_loaded"
    assert (line["tries"], line["token"], line["http__host"]) == (3, "**********", "127.0.0.1")


def test_description_takes_lists(tmp_path: Path) -> None:
    """Anything else is shown as text."""

    class Listed(Settings):
        modes: tuple[str, ...] = ("local",)

    assert subject.describe(load(Listed))["modes"] == "['local']"
    assert not dataclasses.is_dataclass(Listed)


def test_environment_names_may_have_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes writes upper case, people do not always."""
    monkeypatch.setenv("tacit_tries", "5")
    assert load(Demo).tries == 5


def test_a_group_of_the_environment_keeps_the_class_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name of a group does not reset the others."""
    monkeypatch.setenv("TACIT_LOG__TOPIC_PREFIX", "north")
    assert load(Demo).log == LogSettings(path=Path("log.sqlite"), topic_prefix="north")


def test_unknown_names_inside_a_group_are_seen_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error below a group stops the start."""
    monkeypatch.setenv("TACIT_HTTP__PROT", "8080")
    with pytest.raises(SettingsError, match=r"http\.prot: Extra inputs are not permitted$"):
        load(Demo)


@pytest.mark.parametrize("prefix", ["tacit", "north.tacit", "a-b.c-d", "x1"])
def test_topic_prefixes(prefix: str) -> None:
    """Words joined by dots and hyphens."""
    assert LogSettings(path=Path("x"), topic_prefix=prefix).topic_prefix == prefix


@pytest.mark.parametrize("prefix", ["", ".a", "a.", "a..b", "A", "a_b", "a" * 101])
def test_other_topic_prefixes_are_refused(prefix: str) -> None:
    """What Kafka or a topic's parts could not bear."""
    with pytest.raises(ValidationError, match="topic_prefix"):
        LogSettings(path=Path("x"), topic_prefix=prefix)
