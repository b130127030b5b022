"""`python mcp_server.py LOG`: a small MCP server on stdin and stdout, one JSON-RPC message a line.

Every call's arguments become a line of JSON in LOG, so a test can tell that a tool really ran.

Source: the Model Context Protocol's specification, stdio transport, `initialize` and `tools/*`.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

SERVER = "stand-in-of-the-tests"
# `mcp__SERVER__TOOL` has 88 characters, and the two are alike in all but the last of them.
LONG = "gives_an_answer_under_a_name_that_no_provider_would_take_as_"
LONG_TOOLS = (LONG[:-1] + "1", LONG[:-1] + "2")
PICTURE_TOOL = "picture"
PICTURE = base64.b64decode(  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


def full_name(tool: str) -> str:
    """What Claude Code calls a tool of this server."""
    return f"mcp__{SERVER}__{tool}"


def config(log: Path) -> str:
    """The value of Claude Code's `--mcp-config`."""
    server = {"type": "stdio", "command": sys.executable, "args": [str(Path(__file__)), str(log)]}
    return json.dumps({"mcpServers": {SERVER: server}})


def _result(method: str, asked: dict[str, Any], log: Path) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "protocolVersion": asked["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": SERVER, "version": "1"},
            }
        case "tools/list":
            names = (*LONG_TOOLS, PICTURE_TOOL)
            return {"tools": [{"name": name, "description": name, "inputSchema": _SCHEMA} for name in names]}
        case "tools/call":
            return {"content": _called(asked["name"], asked["arguments"], log)}
        case _:
            return {}


def _called(name: str, arguments: dict[str, Any], log: Path) -> list[dict[str, Any]]:
    with log.open("a") as lines:
        print(json.dumps([name, arguments]), file=lines)
    if name == PICTURE_TOOL:
        image = {"type": "image", "data": base64.b64encode(PICTURE).decode(), "mimeType": "image/png"}
        return [{"type": "text", "text": "Here it is:"}, image]
    return [{"type": "text", "text": f"{name} heard {arguments['word']}"}]


def main(log: Path) -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            result = _result(message["method"], message.get("params", {}), log)
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
