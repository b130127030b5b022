"""Claude Code at work through the proxy: its tools run, its files are there, its turns add up."""

import json
import struct
import zlib
from pathlib import Path

import pytest

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support.agent import agent, by_prompt, images, tool_results, turns_taken
from tests.support.chunks import Call, calls, says
from tests.support.scripted import Reply, Request

pytestmark = pytest.mark.claude


def bash(command: str) -> Call:
    return Call("Bash", {"command": command, "description": "a step"})


async def test_a_plain_answer_is_read(providers: Providers, start_proxy: StartProxy, claude: Claude) -> None:
    provider = providers.start("alpha")
    provider.behaves(agent(says("Hel", "lo from alpha.")))
    done = await claude(await start_proxy(provider)).ask("Say hello.")
    assert (done.exit_code, done.failed, done.text) == (0, False, "Hello from alpha.")
    assert len(provider.requests) == 1
    request = provider.requests[0]
    assert "Say hello." in request.text_of("user")
    assert "x-anthropic-billing-header" not in request.content.decode()


@pytest.mark.parametrize("dialect", ["azure", "generic", "ollama"])
async def test_other_dialects_work_too(
    dialect: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    version = "2024-02-15-preview" if dialect == "azure" else None
    provider = providers.start("alpha", api_version=version)
    provider.behaves(agent(calls(bash("echo from-tool")), says("Done.")))
    done = await claude(await start_proxy(provider.entry(profile=dialect))).ask("Go.")
    assert done.text == "Done."
    assert "from-tool" in tool_results(provider.requests[-1])[0]


async def test_bash_runs_and_its_output_reaches_the_model(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.behaves(agent(calls(bash("echo made-by-bash > made.txt; cat made.txt")), says("Done.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Make the file.")
    assert done.text == "Done."
    assert (code.workplace / "made.txt").read_text() == "made-by-bash\n"
    assert "made-by-bash" in tool_results(provider.requests[-1])[0]


async def test_a_file_is_written_and_read_back(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    code = claude(await start_proxy(provider))
    path = code.workplace / "note.txt"
    content = 'Grüße, "quoted"\n\ttabbed 日本 😀\n'
    provider.behaves(
        agent(
            calls(Call("Write", {"file_path": str(path), "content": content})),
            calls(Call("Read", {"file_path": str(path)})),
            says("Read it."),
        )
    )
    done = await code.ask("Write a note and read it.")
    assert done.text == "Read it."
    assert path.read_text() == content
    assert "tabbed 日本 😀" in tool_results(provider.requests[-1])[1]


async def test_parallel_calls_each_get_their_result(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    wanted = [bash(f"echo result-{letter} > {letter}.txt; cat {letter}.txt") for letter in "abc"]
    provider.behaves(agent(calls(*wanted, text="Three at once."), says("Done.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Do three things.")
    assert done.text == "Done."
    results = tool_results(provider.requests[-1])
    assert [f"result-{letter}" in result for letter, result in zip("abc", results, strict=True)] == [True] * 3
    assert sorted(path.name for path in code.workplace.iterdir()) == ["a.txt", "b.txt", "c.txt"]


async def test_ten_turns_run_every_step_once(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    steps = [calls(bash(f"echo step-{number} >> log.txt; tail -1 log.txt")) for number in range(10)]
    provider.behaves(agent(*steps, says("All ten.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Take ten steps.")
    assert (done.failed, done.text) == (False, "All ten.")
    logged = (code.workplace / "log.txt").read_text().split()
    assert logged == [f"step-{number}" for number in range(10)]
    last = provider.requests[-1]
    assert [f"step-{number}" in result for number, result in enumerate(tool_results(last))] == [True] * 10
    assert turns_taken(last) == 10


async def test_a_picture_is_seen_by_the_model(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    code = claude(await start_proxy(provider))
    picture = code.workplace / "red.png"
    picture.write_bytes(png(width=16, height=16, colour=(255, 0, 0)))
    provider.behaves(agent(calls(Call("Read", {"file_path": str(picture)})), says("It is red.")))
    done = await code.ask("Look at red.png.")
    assert done.text == "It is red."
    assert images(provider.requests[-1]) == [picture.read_bytes()]


def png(*, width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A picture of one colour, 8 bits a channel."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


async def test_subagents_work_side_by_side(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    workers = {
        f"errand-{name}": agent(calls(bash(f"echo {name} > {name}.txt")), says(f"{name} is done"))
        for name in ("north", "south")
    }

    def delegate(request: Request) -> Reply:
        name = next(tool for tool in request.tool_names if tool in ("Agent", "Task"))
        errands = [
            Call(name, {"description": "errand", "prompt": errand, "subagent_type": "general-purpose"})
            for errand in workers
        ]
        return calls(*errands) if turns_taken(request) == 0 else says("Both back.")

    provider.behaves(by_prompt(workers, otherwise=delegate))
    code = claude(await start_proxy(provider))
    done = await code.ask("Send two agents.")
    assert (done.failed, done.text) == (False, "Both back.")
    assert sorted(path.name for path in code.workplace.iterdir()) == ["north.txt", "south.txt"]
    closing = "\n".join(tool_results(_last_of_main(provider.requests)))
    assert "north is done" in closing
    assert "south is done" in closing


def _last_of_main(requests: list[Request]) -> Request:
    return [request for request in requests if "Send two agents." in json.dumps(request.messages)][-1]


async def test_a_session_goes_on_in_a_second_run(
    providers: Providers, start_proxy: StartProxy, claude: Claude, tmp_path: Path
) -> None:
    provider = providers.start("alpha")
    provider.behaves(agent(calls(bash("echo remembered")), says("First done."), says("Second done.")))
    code = claude(await start_proxy(provider))
    assert (await code.ask("First.")).text == "First done."
    assert (await code.ask("Second.", "--continue")).text == "Second done."
    assert "remembered" in tool_results(provider.requests[-1])[0]


async def test_the_context_is_counted_without_asking_a_model(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Where counting fails, Claude Code sends as many requests to be billed."""
    provider = providers.start("alpha")
    provider.behaves(agent(says("Hello.")))
    code = claude(await start_proxy(provider))
    await code.ask("Hello.")
    done = await code.ask("/context", "--continue")
    assert not done.failed
    assert "System tools" in done.text
    assert len(provider.requests) == 1
