"""What single keys may hold: types, bounds, words, variables; and that all faults come at once."""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.model import (
    BreakerSettings,
    DialectOptions,
    Models,
    ProviderSettings,
    RetryBudget,
    Secret,
    Settings,
)
from ccproxy_trio.settings.source import Document
from ccproxy_trio.settings.validate import validate
from tests.settings.making import CANARY, check, faults, notes, provider, settings

EVERYTHING_WRONG = """{
  // A file with one fault of most kinds.
  "providers": [
    {"name": "one", "api_key": "${OPENAI_API_KY}", "base_url": "ftp://x",
     "timeout": -1, "models": {"big": []}, "apiKey": "x"},
    {"name": "ONE", "api_key": "", "base_url": "https://x.example/v1", "models": {"big": "m", "huge": ["m"]},
     "priority": "1", "enabled": 1, "max_retries": true, "custom_headers": {"A": 1}},
    "three",
    {}
  ],
  "fallback_strategy": "round-robin",
  "circuit_breaker": {"failure_threshold": 0, "recovery_timeout": 1e9},
  "fallback_strategy": "random",
  "default_teir": "big",
}"""


def test_all_faults_come_at_once_each_at_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        check(EVERYTHING_WRONG, {"OPENAI_API_KEY": CANARY})
    assert str(caught.value).splitlines() == [
        "providers.json:4:32: providers[0].api_key: The variable OPENAI_API_KY is not set. "
        "There is one called OPENAI_API_KEY.",
        "providers.json:4:64: providers[0].base_url: should be an address like https://api.example.com/v1, "
        "without spaces and without anything from a `?` or `#` on (Azure's api-version goes into "
        "`api_version`).",
        "providers.json:5:17: providers[0].timeout: should be more than 0 and at most 86400 seconds.",
        "providers.json:5:39: providers[0].models.big: "
        "names no model; leave the tier out if this provider does not serve it.",
        'providers.json:5:44: providers[0].apiKey: There is no such key. Did you mean "api_key"?',
        "providers.json:6:14: providers[1].name: is the name of providers[0] too; each needs its own "
        "(case does not count).",
        "providers.json:6:32: providers[1].api_key: "
        'is empty; a server that wants no key is happy with any text, such as "none".',
        "providers.json:6:90: providers[1].models.big: should be a list of strings, not a string. "
        "Put it in brackets: [...].",
        "providers.json:6:95: providers[1].models.huge: There is no such key.",
        "providers.json:7:18: providers[1].priority: should be a whole number, not a string. "
        "Write it without quotes.",
        "providers.json:7:34: providers[1].enabled: should be true or false, not a number.",
        "providers.json:7:52: providers[1].max_retries: should be a whole number, not true or false.",
        "providers.json:7:82: providers[1].custom_headers.A: should be a string, not a number.",
        "providers.json:8:5: providers[2]: should be an object, not a string.",
        "providers.json:9:5: providers[3]: lacks the key `name`.",
        "providers.json:9:5: providers[3]: lacks the key `api_key`.",
        "providers.json:9:5: providers[3]: lacks the key `base_url`.",
        "providers.json:9:5: providers[3]: lacks the key `models`.",
        'providers.json:11:24: fallback_strategy: should be one of "priority", "random" or "round_robin". '
        'Did you mean "round_robin"?',
        "providers.json:12:44: circuit_breaker.failure_threshold: should be at least 1 and at most 10000.",
        "providers.json:12:67: circuit_breaker.recovery_timeout: "
        "should be more than 0 and at most 86400 seconds. Times are in seconds, not milliseconds.",
        "providers.json:13:3: fallback_strategy: is written twice; the first is on line 11.",
        'providers.json:14:3: default_teir: There is no such key. Did you mean "default_tier"?',
    ]


def test_a_file_without_faults_becomes_settings() -> None:
    text = settings(
        provider(
            api_key="${KEY}",
            base_url="https://${HOST}/v1/",
            custom_headers={"X-A": "Bearer ${KEY} ${KEY}"},
            timeout=5,
            profile="${PROFILE:-groq}",
            options={"output_cap": 5, "efforts": ["low"], "wire": "chat"},
            context_window={"b": 10},
        ),
        patience=0,
        client_api_keys=["c1"],
    )
    found = check(text, {"KEY": f" {CANARY}\n", "HOST": "h.example"}).settings
    (one,) = found.providers
    assert one.api_key == Secret(CANARY)
    assert one.base_url == "https://h.example/v1"
    assert one.custom_headers == {"X-A": Secret(f"Bearer {CANARY} {CANARY}")}
    assert (one.timeout, type(one.timeout)) == (5.0, float)
    assert (one.profile, one.options.output_cap, one.options.efforts) == ("groq", 5, ("low",))
    assert one.window("b") == 10
    assert found.client_api_keys == (Secret("c1"),)
    assert found.patience == 0
    assert CANARY not in repr(found)


NAME = "should be 1 to 64 characters, with no space at either end and no control characters."
VERSION = "should be a version such as 2024-10-21: letters, digits, dots and dashes."
SECONDS = "should be more than 0 and at most 86400 seconds."
QUOTES = " Write it without quotes."


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("timeout", "90", "should be a number of seconds, not a string." + QUOTES),
        (
            "timeout",
            "${TIMEOUT}",
            "should be a number of seconds, not a string. "
            "Variables are text; numbers and switches are written as they are.",
        ),
        ("timeout", "soon", "should be a number of seconds, not a string."),
        (
            "timeout",
            None,
            "should be a number of seconds, not null. Leave the key out if you mean the default.",
        ),
        ("timeout", True, "should be a number of seconds, not true or false."),
        ("timeout", [1], "should be a number of seconds, not a list."),
        ("timeout", 0, SECONDS),
        ("timeout", 90000, SECONDS + " Times are in seconds, not milliseconds."),
        ("total_timeout", "1", "should be a number of seconds, not a string." + QUOTES),
        ("total_timeout", -1, SECONDS),
        ("max_retries", 1.5, "should be a whole number, not a fraction."),
        ("max_retries", 10**30, "should be at least 0 and at most 1000000."),
        ("priority", -(10**7), "should be at least -1000000 and at most 1000000."),
        ("enabled", "true", "should be true or false, not a string." + QUOTES),
        (
            "enabled",
            "${ON}",
            "should be true or false, not a string. "
            "Variables are text; numbers and switches are written as they are.",
        ),
        ("models", {}, "names no tier; give at least one of big, middle and small its models."),
        ("models", ["m"], "should be an object, not a list."),
        ("models", "m", "should be an object, not a string."),
        ("custom_headers", [], "should be an object, not a list."),
        ("context_window", 1.5, "should be a whole number, not a fraction."),
        ("context_window", "1", "should be a whole number or an object, not a string." + QUOTES),
        ("context_window", 0, "should be at least 1 and at most 10000000."),
        ("profile", "open-ai", re.compile(r'should be one of .*"auto", .*\. Did you mean "openai"\?')),
        ("profile", CANARY, re.compile(r'should be one of .*"auto", .*"vllm".* or "\w+"\.')),
        ("api_version", "2024 01", VERSION),
        ("api_version", "2024\n", VERSION),
        ("name", "", NAME),
        ("name", " a", NAME),
        ("name", "a\x1b[31m", NAME),
        ("name", "a" * 65, NAME),
        ("api_key", f"{CANARY} x", "has a space in it; is there a comment behind the key?"),
        ("api_key", 5, "should be a string, not a number."),
        ("api_key", "$KEY", "Write ${NAME} with braces; `$$` is a dollar."),
    ],
)
def test_a_wrong_value_of_a_provider(key: str, value: object, message: str | re.Pattern[str]) -> None:
    text = json.dumps({"providers": [{**provider(), key: value}]})
    (found,) = faults(text)
    path, _, told = found.partition(": ")
    assert path == f"providers[0].{key}"
    assert message.fullmatch(told) if isinstance(message, re.Pattern) else told == message
    assert CANARY not in found


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"providers": []}, "providers: is empty; add at least one provider."),
        ({"providers": {}}, "providers: should be a list of objects, not an object."),
        (
            {"providers": None},
            "providers: should be a list of objects, not null. Leave the key out if you mean the default.",
        ),
        ({"patience": -1}, "patience: should be at least 0 and at most 86400 seconds."),
        ({"max_attempts": 0}, "max_attempts: should be at least 1 and at most 100."),
        ({"panic": "no"}, 'panic: should be one of "fail" or "least_bad".'),
        ({"allowed_hosts": [""]}, "allowed_hosts[0]: is empty."),
        ({"allowed_hosts": ["a" * 201]}, "allowed_hosts[0]: is longer than 200 characters."),
        (
            {"client_api_keys": ["b\n c"]},
            "client_api_keys[0]: has a line break or another control character in it.",
        ),
        ({"retry_budget": {"ratio": -0.1}}, "retry_budget.ratio: should be at least 0 and at most 10."),
        (
            {"failure_threshold": 5},
            "failure_threshold: There is no such key here; it belongs in `circuit_breaker`.",
        ),
        ({"ratio": 5}, "ratio: There is no such key here; it belongs in `retry_budget`."),
        ({"hedge_after": "p96"}, 'hedge_after: should be a number of seconds or "p95".'),
        ({"base_url": "x"}, "base_url: There is no such key here; it belongs in a provider."),
        ({"big": []}, "big: There is no such key here; it belongs in a provider's `models`."),
        ({"vision": True}, "vision: There is no such key here; it belongs in a provider's `options`."),
        ({"strategy": "random"}, 'strategy: There is no such key. Did you mean "fallback_strategy"?'),
        ({"_comment": ""}, "_comment: There is no such key; comments are written with //."),
        ({"zzz \n": ""}, '["zzz \\n"]: There is no such key.'),
    ],
)
def test_a_wrong_value_at_the_top(keys: dict[str, Any], fault: str) -> None:
    text = json.dumps({"providers": [provider()], **keys})
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        (
            {"options": {"wire": "smtp"}},
            "options.wire",
            'should be one of "anthropic", "chat" or "responses".',
        ),
        ({"options": {"eforts": []}}, "options.eforts", 'There is no such key. Did you mean "efforts"?'),
        (
            {"options": {"efforts": "low"}},
            "options.efforts",
            "should be a list of strings, not a string. Put it in brackets: [...].",
        ),
        (
            {"circuit_breaker": {}},
            "circuit_breaker",
            "There is no such key here; it belongs at the top level.",
        ),
        ({"url": "x"}, "url", 'There is no such key. Did you mean "base_url"?'),
        ({"models": {"sonnet": ["x"]}}, "models.sonnet", 'There is no such key. Did you mean "middle"?'),
        ({"models": {"big": [1]}}, "models.big[0]", "should be a string, not a number."),
    ],
)
def test_a_wrong_key_or_value_inside_a_provider(keys: dict[str, Any], path: str, message: str) -> None:
    assert faults(settings(provider(**keys))) == [f"providers[0].{path}: {message}"]


@pytest.mark.parametrize(("text", "what"), [("[]", "a list"), ('"x"', "a string"), ("1", "a number")])
def test_a_file_that_is_no_object(text: str, what: str) -> None:
    assert faults(text) == [f": should be an object, not {what}."]


def test_a_bad_escape_is_one_fault_not_two() -> None:
    text = settings().replace('"k1"', r'"\q"')
    assert len(faults(text)) == 1


def test_variables_stay_out_of_keys() -> None:
    text = settings(provider(custom_headers={"X-${A}": "b"}))
    assert faults(text, {"A": "a"}) == [
        'providers[0].custom_headers["X-${A}"]: '
        "is not a header's name; those are letters, digits and dashes."
    ]


def test_the_variable_itself_is_validated_and_never_shown() -> None:
    entry = provider(base_url="${URL}", profile="${PROFILE}", name="${NAME}", api_key="${KEY}")
    entry["custom_headers"] = {"X-A": "${HEADER}"}
    environ = dict.fromkeys(("URL", "PROFILE", "NAME", "KEY", "HEADER"), f"{CANARY} \n…")
    found = faults(settings(entry), environ)
    assert [fault.partition(":")[0] for fault in found] == [
        "providers[0].name",
        "providers[0].api_key",
        "providers[0].base_url",
        "providers[0].profile",
        'providers[0].custom_headers["X-A"]',
    ]
    assert CANARY not in "\n".join(found)


DISABLED = {
    "name": "${N1}",
    "enabled": False,
    "api_key": "${N2}",
    "base_url": "${N3}",
    "api_version": "v${N4}!",
    "custom_headers": {"X": "${N5}"},
    "profile": "${N6}",
    "options": {"efforts": ["low", "${N7}"]},
    "models": {"big": ["${N8}"]},
}


def test_the_variables_of_a_disabled_provider_need_not_be_set() -> None:
    valid = check(settings(provider(), DISABLED))
    off = valid.settings.providers[1]
    assert (off.name, off.models_of("big")) == ("${N1}", ("${N8}",))
    assert off.base_url == "https://variable-not-set.invalid"
    assert (off.api_key, off.api_version) == (Secret("variable-not-set"), "variable-not-set")
    assert (off.profile, off.options.efforts) == ("auto", ("low",))
    assert valid.notes == ()


def test_the_same_provider_enabled_has_a_fault_a_variable() -> None:
    found = faults(settings({**DISABLED, "enabled": True}))
    assert [re.findall(r"N\d", fault)[0] for fault in found] == [f"N{n}" for n in range(1, 9)]


def test_other_faults_of_a_disabled_provider_are_faults() -> None:
    off = {**DISABLED, "timeout": "x", "name": "${", "extra": 1}
    found = faults(settings(provider(), off))
    assert [fault.partition(":")[0] for fault in found] == [
        "providers[1].name",
        "providers[1].timeout",
        "providers[1].extra",
    ]


def test_secrets_that_stand_in_the_file_are_known() -> None:
    entry = provider(api_key="${K:-x}", custom_headers={"A": "x", "B": "${K:-x}"})
    off = provider(name="off", enabled=False)
    valid = check(settings(entry, off, client_api_keys=["c"]))
    assert valid.literals == (
        ("providers", 0, "custom_headers", "A"),
        ("providers", 1, "api_key"),
        ("client_api_keys", 0),
    )


def test_times_of_hours_are_warned_of() -> None:
    assert notes(settings(provider(timeout=60000))) == [
        "providers[0].timeout: is 16.7 hours; times are in seconds, not milliseconds."
    ]


def test_a_longer_first_wait_raises_the_longest_one_that_was_not_given() -> None:
    breaker = check(settings(circuit_breaker={"recovery_timeout": 900, "cooldown_default": 4000})).settings
    assert breaker.circuit_breaker.max_recovery_timeout == 900
    assert breaker.circuit_breaker.cooldown_max == 4000


def test_a_document_without_text_has_faults_without_places() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Document(file="environment", data={}), {})
    assert str(caught.value) == "environment: lacks the key `providers`."


ODD_VALUES = [
    None,
    True,
    0,
    1,
    -1,
    1.5,
    1e9,
    10**30,
    "",
    "x",
    "auto",
    "https://a",
    [],
    ["x"],
    [1],
    {},
    {"a": 1},
]
PLACES: list[tuple[type[msgspec.Struct], Callable[[dict[str, Any]], dict[str, Any]]]] = [
    (Settings, lambda keys: {"providers": [provider()], **keys}),
    (ProviderSettings, lambda keys: {"providers": [{**provider(), **keys}]}),
    (Models, lambda keys: {"providers": [provider(models=keys)]}),
    (DialectOptions, lambda keys: {"providers": [provider(options=keys)]}),
    (BreakerSettings, lambda keys: {"providers": [provider()], "circuit_breaker": keys}),
    (RetryBudget, lambda keys: {"providers": [provider()], "retry_budget": keys}),
]


@pytest.mark.parametrize(("owner", "file"), PLACES)
def test_every_key_is_held_to_what_the_structs_say(
    owner: type[msgspec.Struct], file: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Whatever msgspec refuses is refused here, as a fault and never as msgspec's own error."""
    for field in msgspec.structs.fields(owner):
        for value in ODD_VALUES:
            document = Document(file="made", data=file({field.encode_name: value}))
            try:
                msgspec.convert(document.data, Settings, dec_hook=lambda kind, given: kind(given))
            except (msgspec.ValidationError, OverflowError):
                with pytest.raises(ConfigError):
                    validate(document, {})
            else:
                with contextlib.suppress(ConfigError):  # a rule between keys may still refuse it
                    validate(document, {})


@pytest.mark.parametrize("wish", [True, False, 150_000])
def test_scaling_is_a_switch_or_a_window(wish: bool | int) -> None:
    assert check(settings(scale_usage_to_window=wish)).settings.scale_usage_to_window == wish
    (fault,) = faults(settings(scale_usage_to_window="yes"))
    assert "should be true or false or a whole number" in fault
