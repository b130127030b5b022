"""The generated parts of the documentation: `python -m tests.support.docs` writes them anew.

A page in `docs/` holds marks, `<!-- generated: NAME -->` and `<!-- end -->`; what stands between them is a
table made from the data that the code itself runs on, so it cannot say anything else.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from click.testing import CliRunner

from ccproxy_trio.cli.main import main as ccproxy_trio
from ccproxy_trio.health.lessons import chosen
from ccproxy_trio.health.verdict import TABLE, Next, Rest
from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.simulation.outage import KINDS
from ccproxy_trio.translate.adjust import PARTS as ON_CHAT
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.native.headers import ANSWERED, ANSWERED_PREFIXES, ASKED, ASKED_PREFIXES
from ccproxy_trio.translate.native.profiles import ITSELF, NATIVE, NATIVE_MODELS, SHAPED_LIKE_IT
from ccproxy_trio.translate.native.refusals import WORDS
from ccproxy_trio.translate.profiles import HOSTS, MODEL_NAMES, MODELS, PORTS, PROFILES, SERVERS
from ccproxy_trio.translate.profiles import ON_RESPONSES as BESIDE_PROFILES
from ccproxy_trio.translate.responses.adjust import PARTS as ON_RESPONSES
from ccproxy_trio.translate.stops import ENDINGS, REASONS, Ending
from ccproxy_trio.translate.vocabularies import VOCABULARIES
from ccproxy_trio.translate.windows import WINDOWS
from ccproxy_trio.translate.wordings import WORDINGS
from ccproxy_trio.wire.faults import FaultKind

FOLDER = Path(__file__).parents[2] / "docs"
_REGION = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. Bars inside cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def code(text: object) -> str:
    """As code; nothing for nothing."""
    return f"`{text}`" if text not in ("", None) else ""


def _switches(options: DialectOptions) -> str:
    return ", ".join(code(f"{name}: {json.dumps(value)}") for name, value in chosen(options).items())


def _profiles() -> str:
    dialects = {name: _resolved(row) for name, row in PROFILES.items()}
    plain = msgspec.structs.asdict(Dialect())
    rows = [
        (code(switch), code(json.dumps(usual)), _exceptions(switch, usual, dialects))
        for switch, usual in plain.items()
        if switch != "profile"
    ]
    return table(("switch", "unknown server", "profiles that differ"), rows)


def _resolved(row: DialectOptions) -> Mapping[str, object]:
    return msgspec.structs.asdict(msgspec.structs.replace(Dialect(), **chosen(row)))


def _exceptions(switch: str, usual: object, dialects: Mapping[str, Mapping[str, object]]) -> str:
    found: dict[str, list[str]] = {}
    for name, dialect in dialects.items():
        if dialect[switch] != usual:
            found.setdefault(json.dumps(dialect[switch]), []).append(name)
    return "; ".join(f"{code(value)}: {', '.join(names)}" for value, names in found.items())


def _choosing() -> str:
    rows = [
        *((f"host {code(host)} or below it", profile) for host, profile in HOSTS),
        *((f"port {code(port)}", profile) for port, profile in PORTS.items()),
        *((f"model {code(pattern)}", profile) for pattern, profile in MODEL_NAMES),
    ]
    return table(("where it says", "profile"), rows)


def _models() -> str:
    rows = [
        (
            ", ".join(sorted(rule.profiles)) if rule.profiles else "all",
            code(rule.pattern),
            _switches(rule.switches),
        )
        for rule in MODELS
    ]
    rows += [("all", f"host {code(host)}", _switches(switches)) for host, switches in SERVERS]
    return table(("profiles", "pattern", "switches"), rows)


def _on_responses() -> str:
    rows = [(profile, _switches(switches)) for profile, switches in BESIDE_PROFILES.items()]
    return table(("profile", "switches"), rows)


def _headers() -> str:
    def named(names: Iterable[str], prefixes: Iterable[str]) -> str:
        return ", ".join(map(code, sorted((*names, *(f"{prefix}*" for prefix in prefixes)))))

    rows = [
        ("to the provider", named(ASKED, ASKED_PREFIXES)),
        ("to the client", named(ANSWERED, ANSWERED_PREFIXES)),
    ]
    return table(("", "headers"), rows)


def _native() -> str:
    coats = {profile: chosen(switches) for profile, switches in NATIVE.items()}
    itself, usual = chosen(ITSELF), chosen(SHAPED_LIKE_IT)
    names = dict.fromkeys(name for coat in (itself, usual, *coats.values()) for name in coat)
    rows = [
        (code(name), _value(itself, name), _value(usual, name), _differing(name, usual, coats))
        for name in names
    ]
    return table(("switch", "Anthropic and any other", ", ".join(NATIVE), "of these differ"), rows)


def _value(coat: Mapping[str, object], name: str) -> str:
    return code(json.dumps(coat[name])) if name in coat else ""


def _differing(name: str, usual: Mapping[str, object], coats: Mapping[str, Mapping[str, object]]) -> str:
    found: dict[str, list[str]] = {}
    for profile, coat in coats.items():
        if coat.get(name) != usual.get(name):
            found.setdefault(_value(coat, name), []).append(profile)
    return "; ".join(f"{value}: {', '.join(names)}" for value, names in found.items())


def _native_models() -> str:
    rows = [
        (
            ", ".join(sorted(rule.profiles)) if rule.profiles else "all",
            code(rule.pattern),
            _switches(rule.switches),
        )
        for rule in NATIVE_MODELS
    ]
    return table(("profiles", "pattern", "switches"), rows)


def _native_words() -> str:
    said: dict[str, list[str]] = {}
    for words in WORDS:
        said.setdefault(words.about.value, []).append(words.source)
    rows = [(about, "; ".join(dict.fromkeys(sources))) for about, sources in said.items()]
    return table(("what is refused", "whose words are known"), rows)


def _lessons() -> str:
    parts = ON_CHAT | ON_RESPONSES
    names = sorted(part for part in parts if re.fullmatch(r"\w+", part))
    others = sorted(parts.difference(names))
    told = ", ".join(map(code, names))
    return f"{told}; and what has no name of its own: {', '.join(others)}.\n"


def _stops() -> str:
    words: dict[Ending, list[str]] = {ending: [] for ending in Ending}
    for word, ending in ENDINGS.items():
        words[ending].append(word)
    rows = [
        (
            ", ".join(map(code, words[ending])) + (" and any other" if ending is Ending.DONE else ""),
            *(map(code, REASONS[ending]) if ending in REASONS else ("an error", "an error")),
        )
        for ending in Ending
    ]
    return table(("finish reason, in any case", "without calls", "with calls"), rows)


def _windows() -> str:
    rows = [
        (
            ", ".join(sorted(rule.sellers)),
            code(rule.pattern),
            f"{rule.tokens:,}" if rule.tokens else "not known",
        )
        for rule in WINDOWS
    ]
    return table(("bought from", "pattern", "tokens"), rows)


def _vocabularies() -> str:
    rows = [(code(rule.pattern), code(rule.vocabulary) or "estimated") for rule in VOCABULARIES]
    return table(("pattern", "vocabulary"), rows)


def _wordings() -> str:
    rows = [
        (wording.source, "the answer" if wording.of_output else "the prompt", _numbers(wording.pattern))
        for wording in WORDINGS
    ]
    return table(("who", "too long is", "numbers it tells"), rows)


def _numbers(pattern: str) -> str:
    names = {"P": "prompt", "L": "limit", "C": "`max_tokens`", "T": "both together"}
    return ", ".join(word for letter, word in names.items() if "{" + letter + "}" in pattern)


_NEXT = {
    Next.RETRY_SAME: "the same provider once more, then the next",
    Next.RETRY_IF_ALONE: "the next provider; the same once more where there is no other",
    Next.NEXT_MODEL: "the provider's next model, then the next provider",
    Next.TRY_ANOTHER: "the next provider",
    Next.TRY_LARGER: "a model with a larger window, else compaction by the client",
    Next.STOP: "the client is told",
}
_REST = {Rest.NEVER: "", Rest.IF_ASKED: "rests if it asked to", Rest.ALWAYS: "rests"}


def _faults() -> str:
    rows = []
    for kind in FaultKind:
        row = TABLE[kind]
        flag = f"marked {code(row.flag)}" if row.flag else ""
        excluded = "model left out for a while" if row.excludes else ""
        health = "; ".join(
            filter(None, (str(row.verdict).replace("_", " "), flag, _REST[row.rest], excluded))
        )
        rows.append((code(kind), _NEXT[row.next], health))
    return table(("failure", "next", "the provider's health"), rows)


# What docs/simulate.md shows; from the root of the repository.
REHEARSAL = ("simulate", "--config", "config/high-availability.json", "--outage", "openai-primary=30s@10s")


def _rehearsal() -> str:
    """The command and what it prints where no key is set."""
    unset = {name: None for name in os.environ if name.endswith(("_KEY", "_URL")) or name == "FORCE_COLOR"}
    with contextlib.chdir(FOLDER.parent):
        ended = CliRunner().invoke(ccproxy_trio, REHEARSAL, env=unset)
    return f"```console\n$ ccproxy-trio {' '.join(REHEARSAL)}\n{ended.stdout}```\n"


def _outages() -> str:
    return table(("KIND", "what happens"), ((code(kind), words) for kind, words in KINDS.items()))


GENERATORS: Mapping[str, Callable[[], str]] = {
    "rehearsal": _rehearsal,
    "outages": _outages,
    "profiles": _profiles,
    "choosing": _choosing,
    "models": _models,
    "on_responses": _on_responses,
    "headers": _headers,
    "native": _native,
    "native_models": _native_models,
    "native_words": _native_words,
    "lessons": _lessons,
    "stops": _stops,
    "windows": _windows,
    "vocabularies": _vocabularies,
    "wordings": _wordings,
    "faults": _faults,
}


def renewed(page: str) -> str:
    """The page with all of its generated parts as they should be.

    Raises:
        KeyError: a mark names no generator.
    """
    return _REGION.sub(lambda found: f"{found[1]}\n{GENERATORS[found['name']]()}\n{found[3]}", page)


def pages() -> Iterator[Path]:
    """The pages."""
    return iter(sorted(FOLDER.glob("*.md")))


if __name__ == "__main__":
    for path in pages():
        path.write_text(renewed(path.read_text()))
