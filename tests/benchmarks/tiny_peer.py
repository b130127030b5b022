"""A peer as small as can be: takes Anthropic Messages, asks in Chat Completions, translates words alone.

`--wrong` loses a word of each answer. `--born PATH` writes the ids of this process and of a child of its own
into a file.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, base_url: str, skipped: int, *args: Any) -> None:
        self.base_url = urlsplit(base_url)
        self.skipped = skipped
        super().__init__(*args)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        upstream = http.client.HTTPConnection(self.base_url.netloc)
        body = json.dumps({"model": asked["model"], "stream": asked.get("stream", False), "messages": []})
        upstream.request("POST", f"{self.base_url.path}/chat/completions", body)
        answer = upstream.getresponse()
        if asked.get("stream"):
            self.stream(answer)
        else:
            text = json.load(answer)["choices"][0]["message"]["content"]
            words = " ".join(text.split()[self.skipped :])
            told = {
                "type": "message",
                "content": [{"type": "text", "text": words}],
                "stop_reason": "end_turn",
            }
            self.begin("application/json", ("content-length", str(len(json.dumps(told)))))
            self.wfile.write(json.dumps(told).encode())
        upstream.close()

    def stream(self, answer: http.client.HTTPResponse) -> None:
        self.begin("text/event-stream", ("transfer-encoding", "chunked"))
        for text in texts(answer):
            self.event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}})
        self.event({"type": "message_stop"})
        self.wfile.write(b"0\r\n\r\n")

    def begin(self, kind: str, framing: tuple[str, str]) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header(*framing)
        self.end_headers()

    def event(self, data: dict[str, Any]) -> None:
        event = f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """One thread a connection; whoever hangs up is no news."""

    request_queue_size = 128

    def handle_error(self, *args: Any) -> None:
        """Say nothing."""


def texts(answer: http.client.HTTPResponse) -> Iterator[str]:
    for line in answer:
        data = line.removeprefix(b"data: ").strip()
        if data and data != b"[DONE]":
            for choice in json.loads(data)["choices"]:
                yield choice["delta"].get("content", "")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL", ""))
    parser.add_argument("--wrong", action="store_true")
    parser.add_argument("--born", type=Path)
    chosen = parser.parse_args()
    if chosen.born:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        chosen.born.write_text(f"{os.getpid()} {child.pid}")
    handler = partial(Handler, chosen.base_url, int(chosen.wrong))
    Server(("127.0.0.1", chosen.port), handler).serve_forever()


if __name__ == "__main__":
    main()
