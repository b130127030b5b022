import json
from typing import Any

import pytest

from ccproxy_trio.translate.tools import offered
from ccproxy_trio.wire.faults import RequestRefused, Untranslatable
from tests.translate.asking import instruct, request, tool, translated, upstream, user


def sent(*tools: dict[str, Any], profile: str = "generic", **options: Any) -> Any:
    return upstream(request(tools=list(tools)), profile, **options).get("tools")


def search(**fields: Any) -> dict[str, Any]:
    return {"type": "web_search_20250305", "name": "web_search", **fields}


def test_tool_becomes_a_function_and_nothing_leaks_into_it() -> None:
    offered_tool = tool(
        "Grep",
        type="custom",
        cache_control={"type": "ephemeral"},
        defer_loading=True,
        allowed_callers=["direct"],
        eager_input_streaming=True,
        input_examples=[{}],
        strict=True,
    )
    parameters = {"type": "object", "properties": {}}
    assert sent(offered_tool) == [
        {"type": "function", "function": {"name": "Grep", "description": "Grep", "parameters": parameters}}
    ]


def test_strict_is_kept_where_it_is_supported_and_the_schema_allows_it() -> None:
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    assert sent(tool(strict=True, input_schema=closed), strict=True)[0]["function"]["strict"] is True
    assert "strict" not in sent(tool(input_schema=closed), strict=True)[0]["function"]
    assert "strict" not in sent(tool(strict=True), strict=True)[0]["function"]


def test_no_tools_means_no_tool_fields() -> None:
    body = upstream(request(tools=[], tool_choice={"type": "any", "disable_parallel_tool_use": True}))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


EDITOR = {"command", "path", "view_range", "file_text", "old_str", "new_str", "insert_line", "insert_text"}


@pytest.mark.parametrize(
    ("kind", "name", "properties"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", EDITOR),
        ("memory_20250818", "memory", EDITOR | {"old_path", "new_path"}),
    ],
)
@pytest.mark.parametrize("profile", ["generic", "openai", "gemini"])
def test_tools_that_claude_knows_get_a_schema(
    kind: str, name: str, properties: set[str], profile: str
) -> None:
    (made,) = sent({"type": kind, "name": name}, profile=profile)
    assert made["function"]["name"] == name
    assert set(made["function"]["parameters"]["properties"]) == properties


@pytest.mark.parametrize(
    "kind", ["computer_20250124", "computer_toolset_20260101", "browser_toolset_20260101"]
)
def test_tools_that_need_a_screen_are_refused(kind: str) -> None:
    with pytest.raises(RequestRefused, match=kind):
        sent(tool(), {"type": kind, "name": "computer"})


@pytest.mark.parametrize(
    "removed",
    [
        search(),
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"},
        {"type": "advisor_20260301", "name": "advisor"},
        {"type": "mcp_toolset", "mcp_server_name": "srv"},
    ],
)
def test_tools_that_anthropic_runs_are_left_out_with_a_note(removed: dict[str, Any]) -> None:
    asked = request(tools=[tool(), removed])
    assert [made["function"]["name"] for made in upstream(asked)["tools"]] == ["Bash"]
    assert translated(asked).notes == (
        f"tool {removed.get('name', 'mcp_toolset')} left out: it is run by Anthropic",
    )


def test_request_for_nothing_but_code_execution_is_refused() -> None:
    with pytest.raises(RequestRefused, match="code_execution_20250825 is run by Anthropic"):
        sent({"type": "code_execution_20250825", "name": "code_execution"})


def test_request_with_web_search_alone_goes_on_without_it() -> None:
    assert sent(search(), {"type": "web_fetch_20250910", "name": "web_fetch"}) is None


def test_unknown_tool_type_is_refused_unless_it_brings_a_schema() -> None:
    with pytest.raises(RequestRefused, match="unknown tool type 'teleport_20300101'"):
        sent({"type": "teleport_20300101", "name": "teleport"})
    assert sent(tool("teleport", type="teleport_20300101"))[0]["function"]["name"] == "teleport"


def test_tool_without_a_schema_takes_no_arguments() -> None:
    assert sent({"name": "now"})[0]["function"]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize("schema", ["x", 5, None, [], True])
def test_schema_that_is_no_object_is_refused_by_path(schema: Any) -> None:
    with pytest.raises(RequestRefused, match=r"tools\.Bash\.input_schema: must be a JSON object"):
        sent(tool(input_schema=schema))


def test_unnamed_and_duplicate_tools_are_refused() -> None:
    with pytest.raises(RequestRefused, match=r"tools\.1\.name: field required"):
        sent(tool(), {"description": "x"})
    with pytest.raises(RequestRefused, match=r"tools\.1\.name: tool names must be unique"):
        sent(tool(), tool())


def test_two_mcp_toolsets_are_not_duplicates() -> None:
    assert len(sent(tool(), {"type": "mcp_toolset"}, {"type": "mcp_toolset"})) == 1


def test_more_tools_than_the_provider_takes_are_refused_with_numbers() -> None:
    many = [tool(f"T{n}") for n in range(129)]
    with pytest.raises(Untranslatable, match="129 tools, but this provider takes at most 128"):
        sent(*many, profile="openai")
    assert len(sent(*many)) == 129
    assert len(sent(*many[1:], profile="openai")) == 128


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "Bash"}, {"type": "function", "function": {"name": "Bash"}}),
    ],
)
def test_tool_choice_in_openais_words(asked: dict[str, Any], expected: Any) -> None:
    body = upstream(request(tools=[tool()], tool_choice=asked))
    assert body["tool_choice"] == expected
    assert "parallel_tool_calls" not in body


def test_choice_of_a_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(RequestRefused, match="the tool 'Grep' is not available"):
        upstream(request(tools=[tool()], tool_choice={"type": "tool", "name": "Grep"}))


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "Bash"}])
def test_choice_is_lowered_where_it_cannot_be_forced(choice: dict[str, Any]) -> None:
    asked = request(tools=[tool()], tool_choice=choice)
    assert upstream(asked, tool_choice=False)["tool_choice"] == "auto"
    assert "lowered to auto" in translated(asked, tool_choice=False).notes[0]


def test_parallel_calls_are_forbidden_where_that_can_be_said() -> None:
    asked = request(tools=[tool()], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert upstream(asked)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in upstream(asked, parallel=False)


def names(*messages: dict[str, Any], tools: list[dict[str, Any]]) -> list[str]:
    return [each.name for each in offered(request(user("a"), *messages, tools=tools))]


def added(**change: Any) -> dict[str, Any]:
    return {"type": "tool_addition", "tool": change}


def removed(name: str) -> dict[str, Any]:
    return {"type": "tool_removal", "tool": {"type": "tool_reference", "name": name}}


def test_system_messages_add_and_remove_tools_in_order() -> None:
    old = [tool("A"), tool("B")]
    defined = added(type="tool_definition", definition=tool("C"))
    assert names(instruct(defined, removed("A")), tools=old) == ["B", "C"]
    assert names(instruct(removed("A")), instruct(added(type="tool_reference", name="A")), tools=old) == [
        "B",
        "A",
    ]
    assert names(instruct(defined), instruct(removed("C")), tools=old) == ["A", "B"]
    assert names(instruct(added(**tool("D"))), tools=old) == ["A", "B", "D"]
    assert names(instruct(added(type="mcp_toolset_reference", name="srv"), removed("none")), tools=old) == [
        "A",
        "B",
    ]
    assert names(instruct("text only"), tools=old) == ["A", "B"]


def test_definition_of_a_tool_that_exists_replaces_it() -> None:
    (only,) = offered(
        request(user("a"), instruct(added(definition=tool("A", description="new"))), tools=[tool("A")])
    )
    assert only.description == "new"


def test_five_thousand_tools_and_a_megabyte_of_schema_are_bounded() -> None:
    huge = tool(
        "Huge",
        input_schema={"type": "object", "properties": {f"p{n}": {"pattern": "(a+)+$"} for n in range(9000)}},
    )
    made = sent(*(tool(f"T{n}") for n in range(5000)), huge)
    assert len(json.dumps(made[-1])) > 200_000
