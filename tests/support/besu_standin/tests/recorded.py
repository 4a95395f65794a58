# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recordings, and what of them must be the same in the stand-in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).resolve().parents[3] / "recordings" / "besu"

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+\d\d:?\d\d \| ")
# The recording host had no native libraries, and JDK 25 warns of some time zones.
_LABORATORY = re.compile(
    r"three-letter time zone|nativelib|maybeEnableNative|Native alt bn128 not available|^ANTLR|Log4jEventBuilder|"
    r"EthProtocolManager\.stop|NetworkRunner\.stop\(|Using the Java|NodeRecordManager"
)


@cache
def recording(name: str) -> dict[str, Any]:
    """A scenario."""
    document: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def recorded_lines(name: str, host: str, since: float = 0.0) -> list[str]:
    """What Besu itself wrote, without escape codes, from the last start of the unit after ``since`` on."""
    events = [e for e in recording(name)["journal"][host] if e["t"] >= since and e["SYSLOG_IDENTIFIER"] != "systemd"]
    return [_ESCAPE.sub("", str(e["message"])) for e in events]


def recorded_exit(name: str, host: str) -> int:
    """The exit code that systemd saw at the end of the scenario's only run."""
    codes = [e["EXIT_STATUS"] for e in recording(name)["journal"][host] if "EXIT_STATUS" in e]
    return int(codes[-1])


def folded(name: str, host: str, until: float) -> dict[str, Any]:
    """All answers of a host as they were at the time ``until``."""
    answers: dict[str, Any] = {}
    for sample in recording(name)["samples"]:
        if sample["host"] == host and sample["t"] <= until:
            for gone in sample.get("gone") or ():
                answers.pop(gone, None)
            answers.update(sample["change"])
    return answers


def normal(line: str, replace: Iterable[tuple[str, str]] = ()) -> str:
    """A log line without what differs from run to run: time, numbers, hashes, addresses; log level and texts stay."""
    for found, meant in replace:
        line = line.replace(found, meant)
    line = re.sub(r"^(#.*?) +#$", r"\1 #", _STAMP.sub("", line))
    line = re.sub(r"enr:\S+", "ENR", line)
    line = re.sub(r"0x[0-9a-f]{40,}", "HEX", line)
    line = re.sub(r"[0-9a-f]{128}", "ID", line)
    line = re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", "IP", line)
    line = re.sub(r"(Services|Workers|Timer|thread|Executors?|eventLoopGroup|http)(-\d+)+( \(\w+\))?", r"\1-N", line)
    return re.sub(r"\d[\d,]*(\.\d+)?", "N", line)


def comparable(lines: Iterable[str], replace: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Normal lines, without those that only the recording host caused, and empty ones."""
    pairs = list(replace)
    kept = [line for line in lines if line.strip() and not _LABORATORY.search(line)]
    return [normal(line.rstrip(), pairs).rstrip() for line in kept]


def events(lines: Iterable[str], *loggers: str) -> list[str]:
    """Log events of those loggers (all without any), without the thread."""
    parts = (line.split(" | ", 3) for line in lines if line.count(" | ") >= 3)
    return [
        f"{level.strip()} {logger}: {text}" for _t, level, logger, text in parts if not loggers or logger in loggers
    ]


@cache
def all_recorded() -> frozenset[str]:
    """Every line of every recording, normal."""
    lines: set[str] = set()
    for path in RECORDINGS.glob("*.json"):
        for events in json.loads(path.read_text(encoding="utf-8")).get("journal", {}).values():
            lines.update(normal(_ESCAPE.sub("", str(event["message"])).rstrip()).rstrip() for event in events)
    return frozenset(lines)


def shape(value: object) -> object:
    """JSON without its values: keys in their order, types, and the kind of string. Lists by their first entry."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        if re.fullmatch(r"0x[0-9a-f]+", value):
            return (
                "hash"
                if len(value) == 66
                else "address"
                if len(value) == 42
                else "long hex"
                if len(value) > 66
                else "hex"
            )
        return re.sub(r"\d+", "N", normal(value))
    return type(value).__name__


def keys_in_order(value: object) -> object:
    """The keys of all objects, in order; two JSON texts with the same shape may still order them differently."""
    if isinstance(value, dict):
        return [[key, keys_in_order(entry)] for key, entry in value.items()]
    return [keys_in_order(value[0])] if isinstance(value, list) and value else []
