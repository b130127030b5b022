import pytest

from ccproxy_trio.settings.fault import ConfigError, ConfigFault, did_you_mean, dotted, listed, nearest


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"file": "f", "message": "m", "path": "p", "line": 2, "column": 3}, "f:2:3: p: m"),
        ({"file": "f", "message": "m", "line": 2, "column": 3}, "f:2:3: m"),
        ({"file": "environment", "message": "m", "path": "PORT"}, "environment: PORT: m"),
        ({"file": "f", "message": "m"}, "f: m"),
    ],
)
def test_a_fault_prints_its_place_its_path_and_its_message(keys: dict[str, object], text: str) -> None:
    assert str(ConfigFault(**keys)) == text  # type: ignore[arg-type]


def test_an_error_lists_its_faults_in_the_order_of_the_file() -> None:
    places = [(3, 1), (1, 9), (1, 2), (None, None)]
    error = ConfigError(
        ConfigFault(file="f", message="m", line=line, column=column) for line, column in places
    )
    assert str(error) == "f: m\nf:1:2: m\nf:1:9: m\nf:3:1: m"
    assert [fault.line for fault in error.faults] == [None, 1, 1, 3]


def test_paths_are_written_as_people_write_them() -> None:
    assert dotted(("providers", 0, "custom_headers", "X-A")) == 'providers[0].custom_headers["X-A"]'
    assert dotted(("$schema",)) == "$schema"
    assert dotted(()) == ""
    assert dotted(("a\x1b[2J",)) == '["a\\u001b[2J"]'
    assert len(dotted(("-" * 5000,))) < 100


def test_the_nearest_word_ignores_case_and_dashes() -> None:
    words = ["priority", "round_robin", "random"]
    assert nearest("Round-Robin", words) == "round_robin"
    assert nearest("priorty", words) == "priority"
    assert nearest("cheapest", words) is None
    assert did_you_mean("rondom", words) == ' Did you mean "random"?'
    assert did_you_mean("x", words) == ""


def test_lists_read_as_sentences() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a or b"
    assert listed(["a", "b", "c"], "and") == "a, b and c"
