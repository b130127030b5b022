"""The variables of fuergaosi233/claude-code-proxy, and the file that replaces them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.legacy import from_environment, migrate, speaks_legacy, tidy, variables
from ccproxy_trio.settings.model import ProviderSettings, Secret
from ccproxy_trio.settings.source import read
from ccproxy_trio.settings.validate import validate
from ccproxy_trio.translate.dialect import resolve
from tests.settings.making import CANARY

KEY = {"OPENAI_API_KEY": CANARY}


def only(environ: dict[str, str]) -> ProviderSettings:
    (one,) = from_environment(environ).settings.providers
    return one


def told(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        migrate(environ)
    return str(caught.value)


def test_the_key_alone_makes_openai_with_the_old_models() -> None:
    one = only(KEY)
    assert (one.name, one.base_url, one.api_key) == ("openai", "https://api.openai.com/v1", Secret(CANARY))
    assert [one.models_of(tier) for tier in ("big", "middle", "small")] == [
        ("gpt-4o",),
        ("gpt-4o",),
        ("gpt-4o-mini",),
    ]
    assert (one.timeout, one.max_retries, one.profile) == (90, 3, "auto")
    assert one.options.output_cap != 4096  # the old default cut every long answer


def test_the_middle_model_is_the_big_one_unless_set() -> None:
    assert only({**KEY, "BIG_MODEL": "b"}).models_of("middle") == ("b",)
    assert only({**KEY, "BIG_MODEL": "b", "MIDDLE_MODEL": "m"}).models_of("middle") == ("m",)


def test_every_variable_has_its_place() -> None:
    one = only(
        {
            **KEY,
            "OPENAI_BASE_URL": '"https://x.example/v1" ',
            "BIG_MODEL": "'b'",
            "MIDDLE_MODEL": "m # sonnet",
            "SMALL_MODEL": " s ",
            "REQUEST_TIMEOUT": "120",
            "MAX_RETRIES": "2",
            "MAX_TOKENS_LIMIT": "8192 # cap",
            "MIN_TOKENS_LIMIT": "100",
            "CUSTOM_HEADER_X_API_KEY": f" {CANARY} ",
            "CUSTOM_HEADER_EMPTY": "",
            "CUSTOM_HEADER_": "x",
        }
    )
    assert one.base_url == "https://x.example/v1"
    assert [one.models_of(tier) for tier in ("big", "middle", "small")] == [("b",), ("m",), ("s",)]
    assert (one.timeout, one.max_retries, one.options.output_cap) == (120, 2, 8192)
    assert one.custom_headers == {"X-API-KEY": Secret(CANARY)}


@pytest.mark.parametrize(
    ("base_url", "wire"),
    [
        ("https://x.example/v1/messages/", "anthropic"),
        ("https://x.example/anthropic", "anthropic"),
        ("https://x.example/v1", "chat"),
    ],
)
def test_an_address_of_anthropics_own_api_is_spoken_to_as_such(base_url: str, wire: str) -> None:
    environ = {**KEY, "OPENAI_BASE_URL": base_url}
    assert resolve(only(environ), "m").wire == wire
    assert ('"profile": "anthropic"' in migrate(environ)) == base_url.endswith("/messages/")


def test_an_azure_version_makes_azure() -> None:
    url = "https://x.openai.azure.com"
    one = only({**KEY, "OPENAI_BASE_URL": url, "AZURE_API_VERSION": "2024-10-21"})
    assert (one.name, one.base_url, one.api_version, one.profile) == ("azure", url, "2024-10-21", "azure")


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        (
            {"AZURE_API_VERSION": "2024-10-21"},
            "OPENAI_BASE_URL: is not set; with AZURE_API_VERSION it is the Azure resource's address.",
        ),
        (
            {"OPENAI_BASE_URL": "https://x.example/v1/chat/completions"},
            "OPENAI_BASE_URL: goes too far: end it before `/chat/completions`, "
            "as https://api.example.com/v1; the rest is added.",
        ),
        (
            {"OPENAI_BASE_URL": f"https://me:{CANARY}@x.example"},
            "OPENAI_BASE_URL: has a user name or password in it; put credentials into `custom_headers`.",
        ),
        ({"REQUEST_TIMEOUT": "soon"}, "REQUEST_TIMEOUT: should be a number."),
        ({"REQUEST_TIMEOUT": "0"}, "REQUEST_TIMEOUT: should be more than 0 and at most 86400 seconds."),
        ({"MAX_RETRIES": "1.5"}, "MAX_RETRIES: should be a whole number, not a fraction."),
        ({"MAX_TOKENS_LIMIT": "0"}, "MAX_TOKENS_LIMIT: should be at least 1 and at most 10000000."),
        ({"BIG_MODEL": "caf\udce9"}, "BIG_MODEL: is not UTF-8."),
        ({"BIG_MODEL": "b" * 300}, "BIG_MODEL: is longer than 200 characters."),
        (
            {"OPENAI_API_KEY": f'"{CANARY}" # mine'},
            "OPENAI_API_KEY: has a space in it; is there a comment behind the key?",
        ),
        (
            {"CUSTOM_HEADER_HOST": "x"},
            "CUSTOM_HEADER_HOST: is a header that the connection itself sets; remove it.",
        ),
        (
            {"CUSTOM_HEADER_X-A": "x"},
            "CUSTOM_HEADER_...: should have letters, digits and underscores only behind it.",
        ),
    ],
)
def test_a_fault_names_the_variable(environ: dict[str, str], fault: str) -> None:
    text = told({**KEY, **environ})
    assert text == f"environment: {fault}"
    assert CANARY not in text


def test_all_faults_of_one_kind_come_at_once() -> None:
    assert len(told({**KEY, "REQUEST_TIMEOUT": "x", "MAX_RETRIES": "y"}).splitlines()) == 2


@pytest.mark.parametrize("made_from", [migrate, from_environment])
def test_the_variables_of_1rgs_are_recognised(made_from: object) -> None:
    with pytest.raises(ConfigError, match="PREFERRED_PROVIDER: is a variable of 1rgs/claude-code-proxy"):
        made_from({**KEY, "PREFERRED_PROVIDER": "google"})  # type: ignore[operator]


def test_a_gemini_key_for_other_programs_is_no_sign_of_1rgs() -> None:
    assert only({**KEY, "GEMINI_API_KEY": "g"}).name == "openai"


def test_there_is_nothing_to_migrate_without_a_key() -> None:
    assert not speaks_legacy({})
    assert not speaks_legacy({"OPENAI_API_KEY": " "})
    assert told({}).startswith("environment: OPENAI_API_KEY: is not set, so there is nothing to migrate")


MIGRATED = """\
// providers.json for ccproxy-trio, made from: OPENAI_API_KEY, REQUEST_TIMEOUT, MAX_RETRIES, \
MAX_TOKENS_LIMIT, CUSTOM_HEADER_X_FOO, BIG_MODEL, SMALL_MODEL.
// Save it as providers.json in your configuration folder, or name it with --config.
// The file has no keys in it: those stay environment variables. .env files are not read.
{
  "providers": [
    {
      "name": "openai",
      "api_key": "${OPENAI_API_KEY}",
      "base_url": "https://api.openai.com/v1",
      // seconds to the first content; an answer that flows may take longer
      "timeout": 120,
      // the old proxy ignored MAX_RETRIES
      "max_retries": 2,
      // max_tokens of a request is cut to this; leave it out unless your provider needs it
      "options": {
        "output_cap": 8192
      },
      "custom_headers": {
        "X-FOO": "${CUSTOM_HEADER_X_FOO}"
      },
      // opus (and names unknown), sonnet, haiku; each list may have further models to fall back to
      "models": {
        "big": ["gpt-4o"],
        "middle": ["gpt-4o"],
        "small": ["gpt-4o-mini"]
      }
    }
  ]
}
// ANTHROPIC_API_KEY: the key that clients must send; it stays a variable (or goes into client_api_keys).
// HOST: stays a variable, or --host; without it the proxy listens on 127.0.0.1 only.
// PORT: stays a variable, or --port.
// LOG_LEVEL: stays a variable, or --log-level.
// MIN_TOKENS_LIMIT: has no equivalent: max_tokens is never raised.
"""


def test_what_migrate_prints() -> None:
    environ = {
        **KEY,
        "BIG_MODEL": "gpt-4o",
        "SMALL_MODEL": "gpt-4o-mini",
        "REQUEST_TIMEOUT": "120",
        "MAX_RETRIES": "2",
        "MAX_TOKENS_LIMIT": "8192",
        "MIN_TOKENS_LIMIT": "100",
        "CUSTOM_HEADER_X_FOO": CANARY,
        "ANTHROPIC_API_KEY": CANARY,
        "HOST": "0.0.0.0",
        "PORT": "8082",
        "LOG_LEVEL": "INFO",
    }
    assert migrate(environ) == MIGRATED


NAMES = (
    "OPENAI_BASE_URL",
    "AZURE_API_VERSION",
    "BIG_MODEL",
    "MIDDLE_MODEL",
    "SMALL_MODEL",
    "REQUEST_TIMEOUT",
    "MAX_RETRIES",
    "MAX_TOKENS_LIMIT",
    "CUSTOM_HEADER_X_FOO",
    "CUSTOM_HEADER_AUTHORIZATION",
    "HOST",
)
VALUES = st.sampled_from(
    [
        "",
        "5",
        "0.5",
        " 7 # seven",
        '"8"',
        "gpt-4o",
        "a$b",
        "${OPENAI_API_KEY}",
        "$$",
        'x"y\\',
        "é",
        "a\nb",
        "/*",
        "//",
    ]
) | st.text(max_size=8)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.booleans())
def test_the_migrated_file_loads_to_equal_settings(values: dict[str, str], azure: bool) -> None:
    base = {"OPENAI_BASE_URL": "https://x.openai.azure.com"} if azure else {}
    environ = {**KEY, **values, **base}
    try:
        directly = from_environment(environ)
    except ConfigError:
        with pytest.raises(ConfigError):
            migrate(environ)
        return
    text = migrate(environ)
    assert CANARY not in text
    assert validate(read(text.encode(), file="f"), environ).settings == directly.settings


def test_variables_are_told_in_the_order_of_the_file() -> None:
    environ = {"SMALL_MODEL": "s", "OPENAI_BASE_URL": "https://x", **KEY, "MAX_RETRIES": ""}
    assert variables(environ) == ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SMALL_MODEL")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("gpt-4o", "gpt-4o"),
        ('"gpt-4o"  ', "gpt-4o"),
        ("'gpt-4o' # the big one", "gpt-4o"),
        ("gpt-4o # the big one", "gpt-4o"),
        ("gpt-4o\t#x", "gpt-4o"),
        ("a#b", "a#b"),
        ("# nothing", ""),
        ('"a # b"', "a # b"),
        ('"open', '"open'),
        ("\ufeffx\r\n", "x"),
    ],
)
def test_a_variable_is_taken_as_people_meant_it(value: str, meant: str) -> None:
    assert tidy(value) == meant
