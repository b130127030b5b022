"""Files and variables as the process finds them."""

import os
import stat
from pathlib import Path

import pytest

from ccproxy_trio.settings.load import (
    ConfigError,
    Listening,
    env_file,
    find_config,
    listening,
    load,
    resolve,
    user_config_file,
)
from ccproxy_trio.settings.model import Secret
from tests.settings.making import CANARY, provider, settings

KEYLESS = settings(provider(api_key="${K}"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and a working directory that holds every file a hostile repository could plant."""
    hostile = tmp_path / "repository"
    for name in ("providers.json", "config/providers.json", ".env", ".ccproxy-trio/providers.json"):
        file = hostile / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings(provider(name="hostile", base_url="https://evil.example")))
    monkeypatch.chdir(hostile)
    for name in ("XDG_CONFIG_HOME", "CCPROXY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_file_that_was_named_goes_before_the_variable_and_the_usual_one(home: Path) -> None:
    usual = write(user_config_file(), KEYLESS)
    assert usual == home / ".config/ccproxy-trio/providers.json"
    named = {"CCPROXY_CONFIG": "/etc/some.json"}
    assert find_config(Path("x.json"), named) == Path("x.json")
    assert find_config(None, named) == Path("/etc/some.json")
    assert find_config(None, {"CCPROXY_CONFIG": " "}) == usual
    assert find_config(None, {}) == usual


def test_a_tilde_in_the_variable_is_the_home_folder(home: Path) -> None:
    assert find_config(None, {"CCPROXY_CONFIG": "~/c.json"}) == home / "c.json"
    assert find_config(None, {"CCPROXY_CONFIG": "~nobody-of-that-name/c.json"}) == Path(
        "~nobody-of-that-name/c.json"
    )


@pytest.mark.usefixtures("home")
def test_the_working_directory_is_never_looked_into() -> None:
    assert find_config(None, {}) is None
    loaded = resolve(None, {"OPENAI_API_KEY": "k"})
    assert [entry.name for entry in loaded.settings.providers] == ["openai"]


@pytest.mark.usefixtures("home")
def test_without_anything_the_error_says_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(None, {"OPENAI_API_KEY": "  "})
    text = str(caught.value)
    for hint in (
        "ccproxy-trio demo",
        "OPENAI_API_KEY",
        str(user_config_file()),
        "--config",
        "CCPROXY_CONFIG",
    ):
        assert hint in text


def test_the_example_in_that_error_loads(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(None, {})
    text = str(caught.value)
    loaded = load(write(home / "c.json", text[text.index("{") :]), {"OPENAI_API_KEY": CANARY})
    assert loaded.settings.providers[0].api_key == Secret(CANARY)


def test_the_process_environment_is_the_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCPROXY_CONFIG", str(write(home / "c.json", KEYLESS)))
    monkeypatch.setenv("K", CANARY)
    monkeypatch.setenv("PORT", "99")
    assert resolve(None).settings.providers[0].api_key == Secret(CANARY)
    assert load(home / "c.json").path == home / "c.json"
    assert find_config(None) == home / "c.json"
    assert listening().port == 99


def test_a_loaded_file_says_where_it_is_from(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", KEYLESS)
    loaded = resolve(path, {"K": CANARY})
    assert (loaded.source, loaded.path, loaded.notes) == (str(path), path, ())
    assert CANARY not in repr(loaded)


def test_warnings_about_the_file_come_as_notes(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", settings(provider(api_key="${K}", api_version="2024-10-21")))
    (note,) = load(path, {"K": "k"}).notes
    assert note.startswith(f"{path}:18:22: providers[0].api_version: makes this an Azure provider")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path / "away"), "Not a directory|Too many|No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_fault(tmp_path: Path, make: object, reason: str) -> None:
    path = tmp_path / "c.json"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=rf"c.json: cannot be read: ({reason})"):
        load(path, {})


def test_a_dangling_link_in_the_usual_place_is_told_not_passed_over(home: Path) -> None:
    usual = user_config_file()
    usual.parent.mkdir(parents=True)
    usual.symlink_to(home / "gone.json")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        resolve(None, {"OPENAI_API_KEY": "k"})


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load(Path("/dev/zero"), {})


def test_a_file_may_come_through_a_pipe() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        pipe.write(settings())
    loaded = load(Path(f"/dev/fd/{reader}"), {})
    os.close(reader)
    assert loaded.notes == ()


LITERAL = "holds a key and others can read it: chmod 600, or refer to a variable as ${NAME}."
WRITABLE = "can be written by others, who then decide where your keys go: chmod go-w."


@pytest.mark.parametrize(
    ("text", "mode", "notes"),
    [
        (settings(provider(api_key=CANARY)), 0o644, [LITERAL]),
        (settings(provider(api_key=CANARY)), 0o640, [LITERAL]),
        (settings(provider(api_key=CANARY)), 0o600, []),
        (KEYLESS, 0o644, []),
        (KEYLESS, 0o664, [WRITABLE]),
        (KEYLESS, 0o602, [WRITABLE]),
        (settings(provider(api_key=CANARY, base_url="http://localhost:1/v1")), 0o644, []),
        (settings(provider(api_key="${K}", custom_headers={"X-Title": "x"})), 0o644, []),
        (settings(provider(api_key="${K}", custom_headers={"Authorization": "x"})), 0o644, [LITERAL]),
        (settings(provider(api_key="${K}"), client_api_keys=["c"]), 0o644, [LITERAL]),
    ],
)
def test_who_else_can_read_or_write_the_file(tmp_path: Path, text: str, mode: int, notes: list[str]) -> None:
    path = write(tmp_path / "c.json", text, mode)
    found = load(path, {"K": "k"}).notes
    assert list(found) == [f"{path} {note}" for note in notes]
    assert CANARY not in str(found)


def test_a_file_of_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "c.json", KEYLESS)
    as_it_is = path.stat()
    foreign = os.stat_result([*as_it_is[:4], 54321, *as_it_is[5:]])
    assert stat.S_ISREG(foreign.st_mode)
    monkeypatch.setattr(os, "fstat", lambda _: foreign)
    assert load(path, {"K": "k"}).notes == (
        f"{path} belongs to another user, who decides where your keys go.",
    )


class TestClientKey:
    def test_the_variable_adds_to_the_files_keys(self, tmp_path: Path) -> None:
        path = write(tmp_path / "c.json", settings(client_api_keys=["a", "b"]))
        loaded = load(path, {"ANTHROPIC_API_KEY": f" {CANARY}\n"})
        assert loaded.settings.client_api_keys == (Secret("a"), Secret("b"), Secret(CANARY))
        assert loaded.notes == ("ANTHROPIC_API_KEY is set: clients must send it as their key.",)
        assert len(load(path, {"ANTHROPIC_API_KEY": "b"}).settings.client_api_keys) == 2

    @pytest.mark.parametrize("value", ["", "  \n", '""'])
    def test_an_empty_variable_is_ignored(self, tmp_path: Path, value: str) -> None:
        path = write(tmp_path / "c.json", settings())
        assert load(path, {"ANTHROPIC_API_KEY": value}).settings.client_api_keys == ()

    def test_what_no_client_can_send_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "c.json", settings())
        with pytest.raises(ConfigError) as caught:
            load(path, {"ANTHROPIC_API_KEY": f"{CANARY} x"})
        assert str(caught.value) == (
            "environment: ANTHROPIC_API_KEY: has a space in it; is there a comment behind the key?"
        )

    @pytest.mark.usefixtures("home")
    def test_it_is_the_clients_key_with_the_legacy_variables_too(self) -> None:
        loaded = resolve(None, {"OPENAI_API_KEY": "up", "ANTHROPIC_API_KEY": CANARY})
        assert loaded.settings.client_api_keys == (Secret(CANARY),)
        assert loaded.settings.providers[0].api_key == Secret("up")


class TestLegacyVariables:
    @pytest.mark.usefixtures("home")
    def test_one_line_says_that_there_is_no_file(self) -> None:
        loaded = resolve(None, {"OPENAI_API_KEY": CANARY, "BIG_MODEL": "big"})
        assert loaded.path is None
        assert loaded.source == "environment variables (OPENAI_API_KEY, BIG_MODEL)"
        assert loaded.notes == (
            "No configuration file: one provider from the environment (OPENAI_API_KEY, BIG_MODEL). "
            "`ccproxy-trio migrate` prints the providers.json that replaces it.",
        )

    def test_a_file_goes_before_the_variables(self, home: Path) -> None:
        write(user_config_file(), KEYLESS)
        assert resolve(None, {"OPENAI_API_KEY": "x", "K": "k"}).settings.providers[0].name == "one"


class TestListening:
    def test_the_defaults_stay_on_this_machine(self) -> None:
        assert listening({}) == Listening(host="127.0.0.1", port=8082, log_level="INFO")
        assert listening({"HOST": "", "PORT": " ", "LOG_LEVEL": '""'}) == Listening()

    @pytest.mark.parametrize(
        ("value", "level"),
        [
            ("debug", "DEBUG"),
            ("WARNING # noisy otherwise", "WARNING"),
            ('"ERROR"  # quoted', "ERROR"),
            ("'info'", "INFO"),
            ("INFO DEBUG", "INFO"),
            ("Warn", "WARNING"),
            ("CRITICAL", "ERROR"),
        ],
    )
    def test_of_the_log_level_the_first_word_counts(self, value: str, level: str) -> None:
        assert listening({"LOG_LEVEL": value}).log_level == level

    def test_host_and_port_may_be_quoted_and_commented(self) -> None:
        found = listening({"HOST": '"0.0.0.0" # all', "PORT": "'9000'\r\n"})
        assert (found.host, found.port) == ("0.0.0.0", 9000)
        assert (listening({"PORT": "0"}).port, listening({"PORT": "65535"}).port) == (0, 65535)

    @pytest.mark.parametrize("port", ["-1", "65536", "80.5", "http", "999999", "8 082x", "٣"])
    def test_what_is_no_port_is_told(self, port: str) -> None:
        environ = {"PORT": port}
        if port == "8 082x":  # the first word is a port
            assert listening(environ).port == 8
            return
        with pytest.raises(
            ConfigError, match="environment: PORT: should be a port, a number from 0 to 65535"
        ):
            listening(environ)

    def test_all_faults_come_at_once_with_the_nearest_word(self) -> None:
        with pytest.raises(ConfigError) as caught:
            listening({"PORT": "x", "LOG_LEVEL": "DEBGU"})
        assert str(caught.value).splitlines() == [
            "environment: PORT: should be a port, a number from 0 to 65535 (0 takes a free one).",
            'environment: LOG_LEVEL: should be DEBUG, INFO, WARNING or ERROR. Did you mean "DEBUG"?',
        ]


class TestEnvFile:
    def test_it_is_read_as_shells_mean_it(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / ".env",
            '\ufeff# comment\nexport A=one # behind\nB="two # in" \nC=\'$A ${A}\'\nD=\nE\nF="a\\nb"\n',
        )
        assert env_file(path) == {"A": "one", "B": "two # in", "C": "$A ${A}", "D": "", "F": "a\nb"}

    @pytest.mark.parametrize("line", ["PREFERRED_PROVIDER=openai", "GEMINI_API_KEY="])
    def test_that_of_another_proxy_is_recognised(self, tmp_path: Path, line: str) -> None:
        path = write(tmp_path / ".env", f"OPENAI_API_KEY=k\n{line}\n")
        with pytest.raises(ConfigError, match="is a variable of 1rgs/claude-code-proxy"):
            env_file(path)

    def test_one_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            env_file(tmp_path / ".env")
