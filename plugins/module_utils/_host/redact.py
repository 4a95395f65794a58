# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes text from a host safe to show: removes secrets, escapes markup, bounds the size.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Whatever a service writes to its log is hostile text: an attacker who can make
a service log a line chooses what an operator's terminal, a template or a web
page receives. ``sanitize`` is the one call for such text. Its order matters:
terminal sequences go first (they can split a secret's name), then secrets
(before a cut could leave half of one unrecognised), then markup, then the cut.

Every pattern here is bounded or fails at its first character, so the time
taken grows with the length of the text and no faster. Nothing here raises. They are
compiled at first use, because most runs of a module redact nothing.
"""

from __future__ import annotations

import re
import typing as t

REDACTED = "[redacted]"
ELLIPSIS = "\u2026"
_MAX_DEPTH = 32
# Of a longer text the end is not shown, so that it need not be looked through.
_MOST = 65536

# A whole control sequence (colour, cursor), or a whole operating system command (window title, hyperlink).
_ANSI = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Za-z]"
# Printable to Python, yet invisible: fillers and variation selectors.
_INVISIBLE = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
_TEMPLATE_OPEN = r"\{(?=[{%#])"
_TEMPLATE_CLOSE = r"([}%#])(?=\})"
_TAG_OPEN = r"<(?=[A-Za-z/!?@#%])"

_SECRET_WORD = (
    r"(?:token|secret|passw(?:or)?d|passphrase|pwd|api[ _-]?key|access[ _-]?key|private[ _-]?key|auth[ _-]?key"
    r"|cred(?:ential)?s?[_-]?contents|client[_-]?key[_-]?data)"
)
# What follows the word and makes it the name of something that is no secret itself.
_NOT_SECRET = r"(?![_-]?(?:file|path|dir|name|id|type|count|len|expir|ttl|env|ref|manager|store|policy)(?![a-z]))"
_VALUE = r"""(?:\\?"(?:[^"\\]|\\.)*"?|\\?'(?:[^'\\]|\\.)*'?|\S+)"""

# A sentence about a secret, where its value would stand: words of which at least one builds sentences. A single word
# is a value, whatever it is ("password: hunter"), and so is what holds a digit or capitals in its middle.
_PROSE = (
    r"(?:no|not|is|are|was|were|be|has|have|had|does|do|did|cannot|can|could|can't|couldn't|doesn't|isn't|must|may"
    r"|should|will|failed|failure|error|err|invalid|missing|unable|open|opening|read|reading|write|permission"
    r"|unexpected|expected|unknown|unauthorized|access|denied|connection|timeout|timed|required|requires|empty"
    r"|malformed|wrong|incorrect|expired|illegal|bad|parse|parsing|decode|decoding|while|when|the|a|an|of|for|from|in"
    r"|on|at|to|with|by|than|too|this|that|it|its|your|you|please|provided|given|found|exist|exists|stat|lookup|dial"
    r"|authentication|signature|mismatch|rejected|refused|none|neither|nor|or|and)"
)
_WORD = r"(?-i:[A-Za-z](?:[a-z]{0,24}|[A-Z]{0,24})(?:'[a-z]{1,2})?)(?![\w=-])"
_PATH = r"/(?:etc|run|var|home|opt|srv|usr|root|tmp|data|mnt|proc|dev|sys)/[\w./@+-]{1,300}"
_SENTENCE = (
    rf"(?!{_PROSE}[,:;]?[ \t]+[\w\"'(/]|{_WORD}[,:;]?(?:[ \t]+{_WORD}[,:;]?){{1,4}}[ \t]+{_PROSE}(?![\w=-])"
    rf"|[\"']?{_PATH}[\"']?(?:[\s:,;.]|$))"
)

_PEM = r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:.*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|.*)"
_HEADER = (
    rf"""(?i)(\b(?:proxy-)?authorization\\?["']?\s{{0,8}}(?:=\s{{0,8}}|:\s{{0,8}}{_SENTENCE}))"""
    r"""(?:\\?"[^"\r\n]*"?|\\?'[^'\r\n]*'?|digest [^\r\n]*|(?:[a-z]{2,16} {1,8})?\S+)"""
)
_REST_OF_LINE = r"""(?i)(\b(?:set-)?cookie\s{0,8}:|\bmnemonic["']?\s{0,8}[:=])[^\r\n]*"""
_BEARER = r"(?i)\b(bearer|basic)( +)(?=[A-Za-z+/._~=-]{0,64}[0-9]|\S{20})[A-Za-z0-9+/._~=-]{6,}"
_OPTION = (
    rf"(?is)(?<![\w-])(--?[\w-]{{0,40}}?{_SECRET_WORD}{_NOT_SECRET}[\w-]{{0,24}}\s{{1,8}})"
    rf"(?![-=:]){_SENTENCE}{_VALUE}"
)
_ASSIGNMENT = (
    rf"""(?is)({_SECRET_WORD}{_NOT_SECRET}[\w.-]{{0,24}}\\?["']?\s{{0,8}}"""
    rf"(?::?={{1,3}}>?\s{{0,8}}|:\s{{0,8}}{_SENTENCE})){_VALUE}"
)
_HEX_KEY = (
    r"""(?i)(?<!public)(?<!public[ _-])(key["']?(?:\s{0,4}[:=]\s{0,4}|\s{1,4})["']?)(?:0x)?[0-9a-f]{64}(?![0-9a-f])"""
)
_USERINFO = r"""(?i)(?<![a-z0-9])(?!(?:enode|enr|ssh)://)([a-z][a-z0-9+.-]{1,20}://)[^\s/"'<>]{1,512}@"""
_WELL_KNOWN = (
    r"(?<![A-Za-z0-9_])(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,255}|xox[abprs]-[\w-]{10,255}"
    r"|AKIA[0-9A-Z]{16})|(?<=hooks\.slack\.com/services/)\S+"
)
# One pass over each run of base64 characters; what the run hides is looked for inside it.
_RUN = r"[A-Za-z0-9+/_=.-]{20,}"
_ENCODED_JSON = r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9]"
_BASE64_LINE = r"(?m)^[ \t]*(?![ \t/]|(?:0x)?[0-9A-Fa-f]*[ \t]*$)[A-Za-z0-9+/]{60,}={0,2}[ \t]*$"

_SECRET_NAME = rf"(?i)(?:{_SECRET_WORD}{_NOT_SECRET}|^(?:proxy-)?authorization$|^(?:set-)?cookie$)"
_OPTION_NAME = rf"(?i)^--?[\w-]{{0,40}}?{_SECRET_WORD}{_NOT_SECRET}[\w-]{{0,24}}$"


def strip_ansi(text: str) -> str:
    """A line of a log without terminal colours, which would hide the level that they show."""
    return re.sub(_ANSI, "", text) if "\x1b" in text else text


def escape_control(text: str, limit: int = 500) -> str:
    """Return ``text`` as one line that no terminal, template or web page acts on.

    * Terminal sequences are removed; every other control, format (bidirectional
      override, zero width), surrogate or invisible character becomes a visible
      escape such as ``\\n`` or ``\\u202e``; a tab or a special space becomes a space.
    * Jinja markup is parted (``{{`` becomes ``{ {``), because a result may be templated again.
    * ``<`` before what would open a tag or a chat mention gets a space after it.
      A page must still escape what it shows inside an attribute.
    * More than ``limit`` characters are cut, the last one kept being an ellipsis.
    """
    text = re.sub(_ANSI, "", str(text))
    if not text.isprintable():
        text = "".join([char if char.isprintable() else _visible(char) for char in text])
    text = re.sub(_INVISIBLE, lambda match: _visible(match.group()), text)
    text = re.sub(_TEMPLATE_OPEN, "{ ", text)
    text = re.sub(_TEMPLATE_CLOSE, r"\1 ", text)
    text = re.sub(_TAG_OPEN, "< ", text)
    text = text.replace("#jinja2:", "# jinja2:")  # which changes the markup that a template engine looks for
    return text if len(text) <= limit else text[: max(limit, 1) - 1] + ELLIPSIS


def redact(text: str) -> str:
    """Replace what looks like a secret with ``[redacted]``; terminal sequences are removed on the way.

    It prefers losing a harmless word to keeping a secret: ``token: x`` loses
    ``x`` whatever it is. A sentence behind the colon is no value (``token: no
    such file``). Names of files (``--token-file /etc/x``), peer addresses
    (``enode://id@host``) and public keys stay readable.
    """
    text = re.sub(_ANSI, "", str(text))
    text = re.sub(_PEM, REDACTED, text)
    text = re.sub(_RUN, _redact_run, text)
    text = re.sub(_BASE64_LINE, REDACTED, text)
    text = re.sub(_WELL_KNOWN, REDACTED, text)
    text = re.sub(_USERINFO, rf"\1{REDACTED}@", text)
    text = re.sub(_REST_OF_LINE, rf"\1 {REDACTED}", text)
    text = re.sub(_HEADER, rf"\1{REDACTED}", text)
    text = re.sub(_BEARER, rf"\1\2{REDACTED}", text)
    text = re.sub(_OPTION, rf"\1{REDACTED}", text)
    text = re.sub(_ASSIGNMENT, rf"\1{REDACTED}", text)
    return re.sub(_HEX_KEY, rf"\1{REDACTED}", text)


def sanitize(text: str, limit: int = 500) -> str:
    """Return ``text`` redacted, escaped and cut, so that it is safe in a result, a log or a message."""
    return escape_control(redact(text[:_MOST]), limit)


def escape_all(value: t.Any, limit: int = 100_000, _depth: int = 0) -> t.Any:
    """``value`` (JSON-like) with ``escape_control`` for every string in it, and for every key.

    Most strings are plain words, for which no pattern is compiled.
    """
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and not any(mark in value for mark in "{}<#")
        return value if plain and len(value) <= limit else escape_control(value, limit)
    if _depth > _MAX_DEPTH:
        return "[nested too deep]"
    if isinstance(value, t.Mapping):
        return {escape_all(key, limit, _depth + 1): escape_all(item, limit, _depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [escape_all(item, limit, _depth + 1) for item in value]
    return value


def redact_data(value: t.Any, _depth: int = 0) -> t.Any:
    """Return ``value`` (JSON-like) with secrets replaced, at any depth.

    A value goes whole where its key names a secret (``TunnelSecret``), and so
    does the list item after an option such as ``--token``.
    """
    if _depth > _MAX_DEPTH:
        return "[nested too deep]"
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, (bytes, bytearray)):
        return redact(bytes(value).decode("utf-8", "replace"))
    if isinstance(value, t.Mapping):
        return {
            redact(key) if isinstance(key, str) else key: (
                REDACTED if _named_secret(key, item) else redact_data(item, _depth + 1)
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        items: list[t.Any] = []
        after_option = False
        for item in value:
            hide = after_option and isinstance(item, str) and not item.startswith("-")
            items.append(REDACTED if hide else redact_data(item, _depth + 1))
            after_option = isinstance(item, str) and bool(re.match(_OPTION_NAME, item))
        return items
    return value


def _named_secret(key: t.Any, value: t.Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (str, bytes, int)) or not value:
        return False
    return isinstance(key, str) and bool(re.search(_SECRET_NAME, key))


def _redact_run(match: t.Match[str]) -> str:
    run = match.group()
    found = re.search(_ENCODED_JSON, run)
    if found is None or len(run) - found.start() < 20:
        return run
    return run[: found.start()] + REDACTED


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": " "}


def _visible(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isspace() and char not in "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        return " "
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def secret_options(spec: t.Mapping[str, t.Mapping[str, t.Any]]) -> frozenset[str]:
    """The names of the options of an argument_spec that are marked with no_log, however deep they are nested."""
    found = {name for name, option in spec.items() if option.get("no_log")}
    return frozenset(found.union(*(secret_options(option.get("options") or {}) for option in spec.values())))
