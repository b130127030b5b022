"""JSON with comments and trailing commas, read into data that knows where each key and value stands.

json-five does the grammar, on a skeleton of the text: same places, but comments blanked and strings filled
with dots. The scan that makes it refuses what a configuration is better without (NaN, hexadecimal, bare
words, single quotes), and shields json-five, to which an unclosed comment costs time exponential in the lines
behind it (30 lines: minutes), whose errors for illegal characters name no place, and which leaves surrogate
pairs apart, takes the `\\u0041` behind an escaped backslash for a letter and refuses U+2028 in strings.
Strings are decoded by the standard library.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import TypeAlias, cast

from json5.loader import ModelLoader, loads
from json5.model import (
    BooleanLiteral,
    Float,
    Integer,
    JSONArray,
    JSONObject,
    JSONText,
    Node,
    String,
    UnaryOp,
)
from json5.utils import JSON5DecodeError
from msgspec import Struct

from ccproxy_trio.settings.fault import ConfigError, ConfigFault, Path, dotted, listed

MAX_BYTES = 64 * 1024  # some 180 providers; json-five takes about a second for this much
MAX_DEPTH = 32

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_LEXEME = re.compile(
    r"""(?P<blank>[ \t\n]+|//[^\n]*|/\*.*?\*/)
      |(?P<string>"(?:[^"\\\n]|\\[^\n])*")
      |(?P<mark>[{}\[\]:,])
      |(?P<word>[^\s{}\[\]:,"/']+)
      |(?P<stray>.)""",
    re.DOTALL | re.VERBOSE,
)
_NOT_LINE_BREAK = re.compile(r"[^\n]")
_WORD = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_MAX_NUMBER = 40  # digits; longer ones are refused before anything converts them
_FOREIGN_WORDS = {
    "True": "true",
    "False": "false",
    "None": "null",
    "undefined": "null",
    "yes": "true",
    "no": "false",
}
_NUMBER_LIKE = re.compile(r"[-+]?(?:\.?[0-9]|NaN$|Infinity$)")
_EXPECTING = re.compile(r"Was expecting ([A-Za-z ]+?)(?= in or near|\n|$)")
_EXPECTED = {
    "COMMA": "a comma",
    "COLON": "a colon",
    "RBRACE": "`}`",
    "RBRACKET": "`]`",
    "key": "a key in double quotes",
    "value": "a value",
}


class Spot(Struct, frozen=True):
    """A place in the text; both count from 1, the column in characters."""

    line: int
    column: int


class Document(Struct, frozen=True, kw_only=True):
    """What was read. `keys` and `values` give the place of every key and value by path; both are empty for
    a document that was made rather than read. `faults` are those that did not stop the reading.
    """

    file: str
    data: Json
    keys: Mapping[Path, Spot] = {}
    values: Mapping[Path, Spot] = {}
    faults: tuple[ConfigFault, ...] = ()

    def at_value(self, path: Path, message: str) -> ConfigFault:
        """A fault that points at the value."""
        return self._at(self.values.get(path), path, message)

    def at_key(self, path: Path, message: str) -> ConfigFault:
        """A fault that points at the key."""
        return self._at(self.keys.get(path), path, message)

    def _at(self, spot: Spot | None, path: Path, message: str) -> ConfigFault:
        return _fault(self.file, spot, message, path)


def read(raw: bytes, *, file: str) -> Document:
    """Decode and parse a configuration file; a UTF-8 byte order mark is ignored.

    Raises:
        ConfigError: with one fault, at the first place where the text is not JSON with comments.
    """
    text = _decoded(raw, file)
    try:
        model = loads(_skeleton(text, file), loader=ModelLoader())
    except JSON5DecodeError as error:
        raise ConfigError([_syntax_fault(error, text, file)]) from None
    return _Builder(text, file).document(model)


def _fault(file: str, spot: Spot | None, message: str, path: Path = ()) -> ConfigFault:
    where = dotted(path)
    if spot is None:
        return ConfigFault(file=file, path=where, message=message)
    return ConfigFault(file=file, path=where, message=message, line=spot.line, column=spot.column)


def _decoded(raw: bytes, file: str) -> str:
    if len(raw) > MAX_BYTES:
        message = f"The file is larger than {MAX_BYTES // 1024} KiB, more than a configuration may be."
        raise ConfigError([_fault(file, None, message)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        message = "The file is not UTF-8 from here on; save it as UTF-8."
        raise ConfigError([_fault(file, _spot_at(before, len(before)), message)]) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _spot_at(text: str, index: int) -> Spot:
    return Spot(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _skeleton(text: str, file: str) -> str:
    """The text without what its strings and comments say; strange lexemes and deep nesting are refused."""
    depth = 0
    pieces: list[str] = []
    for match in _LEXEME.finditer(text):
        lexeme, problem = match.group(), None
        match match.lastgroup:
            case "blank":
                lexeme = _NOT_LINE_BREAK.sub(" ", lexeme)
            case "string":
                lexeme = '"' + "." * (len(lexeme) - 2) + '"'
            case "word":
                problem = _word_problem(lexeme)
            case "mark":
                depth += (lexeme in "{[") - (lexeme in "}]")
                problem = f"Nested more than {MAX_DEPTH} deep." if depth > MAX_DEPTH else None
            case _:
                problem = _stray_problem(text, match.start())
        if problem:
            raise ConfigError([_fault(file, _spot_at(text, match.start()), problem)])
        pieces.append(lexeme)
    return "".join(pieces)


def _word_problem(word: str) -> str | None:
    if word in _FOREIGN_WORDS:
        return f"Write {_FOREIGN_WORDS[word]} here."
    if _NUMBER_LIKE.match(word):
        fits = _WORD.fullmatch(word) and len(word) <= _MAX_NUMBER and math.isfinite(float(word))
        return None if fits else "Not a number as JSON writes them, such as 90, -1 or 0.5."
    return None if _WORD.fullmatch(word) else "Text needs double quotes around it, keys too."


def _stray_problem(text: str, index: int) -> str:
    match text[index]:
        case '"':
            return "This string has no closing quote on its line."
        case "'":
            return "Strings take double quotes, not single ones."
        case "/" if text.startswith("/*", index):
            return "This comment is never closed; `*/` is missing."
        case "/":
            return "A comment starts with two slashes."
        case other:
            return f"The character U+{ord(other):04X} may stand in strings and comments only."


def _syntax_fault(error: JSON5DecodeError, text: str, file: str) -> ConfigFault:
    token = error.token
    if token is None:
        empty = all(match.lastgroup == "blank" for match in _LEXEME.finditer(text))
        early = "The file ends too early; a closing `}` or `]` is missing."
        message = "The file is empty; a configuration is an object: { ... }." if empty else early
        return _fault(file, _spot_at(text, len(text)), message)
    expecting = _EXPECTING.search(str(error))
    if expecting:
        wanted = expecting.group(1).split(" or ")
        message = f"Here should be {listed([_EXPECTED[word] for word in wanted])}."
        if "COMMA" in wanted and token.value not in "{}[]:,":
            message += " Is a comma missing before this?"
    elif "multiple" in str(error):
        message = "Two commas follow each other."
    else:
        message = "Nothing may follow the end of the configuration."
    return _fault(file, Spot(token.lineno, token.colno + 1), message)


class _Builder:
    """json-five's tree of the skeleton turned into data, places and faults."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = text.split("\n")
        self._file = file
        self._keys: dict[Path, Spot] = {}
        self._values: dict[Path, Spot] = {}
        self._faults: list[ConfigFault] = []

    def document(self, model: JSONText) -> Document:
        data = self._value(model.value, ())
        return Document(
            file=self._file, data=data, keys=self._keys, values=self._values, faults=tuple(self._faults)
        )

    def _value(self, node: Node, path: Path) -> Json:
        self._values[path] = _spot_of(node)
        match node:
            case JSONObject():
                return self._object(node, path)
            case JSONArray():
                return [self._value(item, (*path, index)) for index, item in enumerate(node.values)]
            case String():
                return self._text(node, path)
            case Integer() | Float() | BooleanLiteral():
                return node.value
            case UnaryOp(value=Integer() | Float() as number):
                return -number.value
            case _:  # the scan leaves null only
                return None

    def _object(self, node: JSONObject, path: Path) -> dict[str, Json]:
        data: dict[str, Json] = {}
        for pair in node.key_value_pairs:
            key = self._text(cast("String", pair.key), path)  # the scan leaves no bare words
            place = (*path, key)
            if key in data:
                message = f"is written twice; the first is on line {self._keys[place].line}."
                self._faults.append(_fault(self._file, _spot_of(pair.key), message, place))
            else:
                self._keys[place] = _spot_of(pair.key)
                data[key] = self._value(pair.value, place)
        return data

    def _text(self, node: String, path: Path) -> str:
        spot = _spot_of(node)
        begin = spot.column - 1
        written = self._lines[spot.line - 1][begin : begin + len(node.raw_value)]
        try:
            text: str = json.loads(written)
            text.encode()
        except json.JSONDecodeError:
            message = "This string has an escape or a control character that JSON does not allow."
        except UnicodeEncodeError:
            message = "This string has half a surrogate pair; write the character itself."
        else:
            return text
        self._faults.append(_fault(self._file, spot, message, path))
        return ""


def _spot_of(node: Node) -> Spot:
    return Spot(node.lineno or 1, (node.col_offset or 0) + 1)
