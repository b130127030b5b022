"""Tools that ask for more than text: long names, pictures, documents, a search that nobody can do."""

import json
from pathlib import Path

import pytest

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support import mcp_server
from tests.support.agent import agent, files, images, tool_results, turns_taken
from tests.support.chunks import Call, calls, says
from tests.support.scripted import Reply, Request

pytestmark = pytest.mark.claude


def with_server(log: Path) -> tuple[str, ...]:
    """The arguments that give Claude Code our MCP server and no other."""
    return ("--mcp-config", mcp_server.config(log), "--strict-mcp-config")


async def test_tools_of_88_characters_run_by_names_that_fit(
    providers: Providers, start_proxy: StartProxy, claude: Claude, tmp_path: Path
) -> None:
    """Both names are alike far beyond the 64 characters that a provider takes; none is mistaken."""
    provider, log = providers.start("alpha"), tmp_path / "mcp.log"

    def both(request: Request) -> Reply:
        """Call each tool by the name that goes with its description, as a model does."""
        offered = {tool["function"].get("description"): tool["function"] for tool in request.body["tools"]}
        chosen = [Call(offered[tool]["name"], {"word": tool[-1]}) for tool in mcp_server.LONG_TOOLS]
        return calls(*chosen) if turns_taken(request) == 0 else says("Done.")

    provider.behaves(both)
    code = claude(await start_proxy(provider))
    done = await code.ask("Ask both.", *with_server(log))
    assert (done.failed, done.text) == (False, "Done.")
    assert [len(mcp_server.full_name(tool)) for tool in mcp_server.LONG_TOOLS] == [88, 88]
    assert max(len(name) for name in provider.requests[0].tool_names) == 64
    ran = sorted(json.loads(line) for line in log.read_text().splitlines())
    assert ran == [[tool, {"word": tool[-1]}] for tool in mcp_server.LONG_TOOLS]
    last = provider.requests[-1]
    assert tool_results(last) == [f"{tool} heard {tool[-1]}" for tool in mcp_server.LONG_TOOLS]
    assert last.tool_names == provider.requests[0].tool_names


async def test_a_tool_that_has_to_be_looked_up_is_named_as_it_is_offered(
    providers: Providers, start_proxy: StartProxy, claude: Claude, tmp_path: Path
) -> None:
    """With tool search, Claude Code offers most tools only after the model has asked for them."""
    provider = providers.start("alpha")
    tool = mcp_server.LONG_TOOLS[0]
    look_up = Call("ToolSearch", {"query": f"select:{mcp_server.full_name(tool)}", "max_results": 3})

    def script(request: Request) -> Reply:
        match turns_taken(request):
            case 0:
                return calls(look_up)
            case 1:
                told = tool_results(request)[0].removeprefix("[tool now available: ").removesuffix("]")
                return calls(Call(told, {"word": "found"}))
            case _:
                return says("Done.")

    provider.behaves(script)
    code = claude(await start_proxy(provider))
    done = await code.ask("Find it.", *with_server(tmp_path / "mcp.log"), env={"ENABLE_TOOL_SEARCH": "true"})
    assert (done.failed, done.text) == (False, "Done.")
    first, *_, last = provider.requests
    (called,) = set(last.tool_names) - set(first.tool_names)
    assert tool_results(last) == [f"[tool now available: {called}]", f"{tool} heard found"]


async def test_a_picture_from_an_mcp_tool_is_seen(
    providers: Providers, start_proxy: StartProxy, claude: Claude, tmp_path: Path
) -> None:
    provider = providers.start("alpha")
    picture = Call(mcp_server.full_name(mcp_server.PICTURE_TOOL), {"word": "dot"})
    provider.behaves(agent(calls(picture), says("I see a dot.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Look.", *with_server(tmp_path / "mcp.log"))
    assert (done.failed, done.text) == (False, "I see a dot.")
    assert tool_results(provider.requests[-1]) == ["Here it is:"]
    assert images(provider.requests[-1]) == [mcp_server.PICTURE]


@pytest.mark.parametrize("profile", ["openai", "deepseek"])
async def test_a_document_reaches_who_can_read_it_and_stops_nobody_else(
    profile: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha", also_allowed=("thinking", "reasoning_content"))
    code = claude(await start_proxy(provider.entry(profile=profile)))
    paper = code.workplace / "paper.pdf"
    paper.write_bytes(pdf("a canary on paper"))
    provider.behaves(agent(calls(Call("Read", {"file_path": str(paper)})), says("I read it.")))
    done = await code.ask("Read the paper.")
    assert (done.failed, done.text) == (False, "I read it.")
    last = provider.requests[-1]
    assert "paper.pdf" in tool_results(last)[0]
    assert files(last) == ([paper.read_bytes()] if profile == "openai" else [])
    assert images(last) == []


def pdf(text: str) -> bytes:
    """One page with one line of text."""
    content = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    written, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(written)
    return written + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


@pytest.mark.parametrize("model", ["opus", "some-model"])
async def test_a_search_that_nobody_can_do_is_refused_and_not_invented(
    model: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Claude Code forces the search tool with models that it knows, and leaves it to the others to use it."""
    provider = providers.start("alpha")
    search = Call("WebSearch", {"query": "canary of the day"})
    provider.behaves(agent(calls(search), says("I cannot search.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Which canary is it?", "--model", model)
    assert (done.failed, done.text) == (False, "I cannot search.")
    assert [turns_taken(request) for request in provider.requests] == [0, 1]
    assert "unavailable" in tool_results(provider.requests[-1])[0]
    assert not any("Perform a web search" in request.text_of("user") for request in provider.requests)
