# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of probes: what they become, and errors that name the option."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import TlsSettings
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.parse import (
    PROBE_OPTIONS,
    CommandCheck,
    HttpCheck,
    Probe,
    ProbeOptionError,
    TcpCheck,
    follow_json_path,
    parse_json_path,
    parse_probes,
)

URL = "http://127.0.0.1:8545/readiness"


def http_probe(**options):
    return parse_probes([{"kind": "http", "url": URL, **options}])[0]


class TestOptions:
    def test_all_of_http(self):
        probe = http_probe(
            name="ready",
            method="POST",
            headers={"X-B": "2", "X-A": 1},
            body="{}",
            status=[200, "204"],
            body_regex="UP",
            json_path="result[0].a",
            json_value=False,
            validate_certs="no",
            ca_path="/etc/ca.pem",
            client_cert="/c",
            client_key="/k",
            fingerprint_sha256="aB:" * 31 + "cd",
            server_hostname="node",
            timeout="2.5",
            interval=0.5,
            failure_threshold="4",
            success_threshold=2,
            start_grace=0,
        )
        check = probe.check
        assert isinstance(check, HttpCheck) and probe.kind == "http"
        assert (check.method, check.body, check.status) == ("POST", b"{}", (200, 204))
        assert check.headers == (("X-A", "1"), ("X-B", "2"))
        assert (check.json_path, check.json_value) == (("result", 0, "a"), False)
        assert check.tls == TlsSettings(False, "/etc/ca.pem", "/c", "/k", "aB:" * 31 + "cd", "node")
        assert (probe.name, probe.timeout, probe.interval) == ("ready", 2.5, 0.5)
        assert (probe.failure_threshold, probe.success_threshold, probe.start_grace) == (4, 2, 0)

    def test_defaults_and_names(self):
        probes = parse_probes(
            [
                {"kind": "http", "url": URL},
                {"kind": "tcp", "port": "30303", "host": None},
                {"kind": "command", "argv": ["true"]},
            ]
        )
        assert [probe.name for probe in probes] == ["http[0]", "tcp[1]", "command[2]"]
        assert probes[0].check == HttpCheck(URL, tls=TlsSettings())
        assert probes[1].check == TcpCheck(30303)
        assert probes[2].check == CommandCheck(("true",))
        assert probes[1] == Probe("tcp[1]", TcpCheck(30303))
        assert parse_probes(None) == parse_probes([]) == ()

    def test_defaults_of_the_specification_are_those_of_the_class(self):
        probe = Probe("x", TcpCheck(1))
        for option, spec in PROBE_OPTIONS["options"].items():
            if "default" in spec:
                assert getattr(probe, option) == spec["default"]

    @pytest.mark.parametrize(
        ("options", "option"),
        [
            ({}, "kind"),
            ({"kind": "icmp"}, "kind"),
            ({"kind": "http"}, "url"),
            ({"kind": "tcp"}, "port"),
            ({"kind": "command"}, "argv"),
            ({"kind": "command", "argv": []}, "argv"),
            ({"kind": "command", "argv": ["a\0b"]}, "argv"),
            ({"kind": "command", "argv": {"a": 1}}, "argv"),
            ({"kind": "command", "argv": ["a"], "output_regex": "("}, "output_regex"),
            ({"kind": "command", "argv": ["a"], "rc": "x"}, "rc"),
            ({"kind": "tcp", "port": 0}, "port"),
            ({"kind": "tcp", "port": 65536}, "port"),
            ({"kind": "tcp", "port": True}, "port"),
            ({"kind": "tcp", "port": 80.5}, "port"),
            ({"kind": "tcp", "port": 80, "host": "a b"}, "host"),
            ({"kind": "tcp", "port": 80, "status": [200]}, "status"),
            ({"kind": "http", "url": URL, "typo": 1}, "typo"),
            ({"kind": "http", "url": "127.0.0.1:80"}, "url"),
            ({"kind": "http", "url": "http://u:hunter2@h:0/"}, "url"),
            ({"kind": "http", "url": URL, "method": "DELETE"}, "method"),
            ({"kind": "http", "url": URL, "method": "HEAD", "body_regex": "x"}, "method"),
            ({"kind": "http", "url": URL, "status": []}, "status"),
            ({"kind": "http", "url": URL, "status": [20]}, "status"),
            ({"kind": "http", "url": URL, "headers": {"A": "hunter2\n"}}, "headers"),
            ({"kind": "http", "url": URL, "headers": "A: hunter2"}, "headers"),
            ({"kind": "http", "url": URL, "body_regex": "[hunter"}, "body_regex"),
            ({"kind": "http", "url": URL, "json_path": "$.a"}, "json_path"),
            ({"kind": "http", "url": URL, "json_value": 1}, "json_value"),
            ({"kind": "http", "url": URL, "client_key": "/k"}, "client_key"),
            ({"kind": "http", "url": URL, "fingerprint_sha256": "ab"}, "fingerprint_sha256"),
            ({"kind": "http", "url": URL, "validate_certs": "maybe"}, "validate_certs"),
            ({"kind": "http", "url": URL, "timeout": 0}, "timeout"),
            ({"kind": "http", "url": URL, "timeout": float("nan")}, "timeout"),
            ({"kind": "http", "url": URL, "timeout": "soon"}, "timeout"),
            ({"kind": "http", "url": URL, "failure_threshold": 0}, "failure_threshold"),
            ({"kind": "http", "url": URL, "failure_threshold": 1.5}, "failure_threshold"),
            ({"kind": "http", "url": URL, "start_grace": -1}, "start_grace"),
            ({"kind": "http", "url": URL, "name": "ok"}, "name"),
        ],
    )
    def test_errors_name_the_option(self, options, option):
        good = {"kind": "tcp", "port": 1, "name": "ok"}
        with pytest.raises(ProbeOptionError) as caught:
            parse_probes([good, options])
        assert caught.value.option == f"probes[1].{option}"
        assert caught.value.msg.startswith(f"probes[1].{option}: ")
        assert "hunter2" not in caught.value.msg

    def test_not_a_dictionary(self):
        with pytest.raises(ProbeOptionError, match=r"^probes\[0\]: is str"):
            parse_probes(["http://x"])


class TestJsonPath:
    @pytest.mark.parametrize(
        ("text", "steps"),
        [
            ("a", ("a",)),
            ("a.b[0].c", ("a", "b", 0, "c")),
            ("[0]", (0,)),
            ("[10][2].x-y", (10, 2, "x-y")),
            ("0.1", ("0", "1")),
        ],
    )
    def test_good(self, text, steps):
        assert parse_json_path(text) == steps

    @pytest.mark.parametrize(
        "text",
        ["", ".a", "a.", "a..b", "a[", "a[]", "a[-1]", "a[*]", "a[01]", "a]b", "$.a", "a b", "a['b']", "[0]a", "a\n"],
    )
    def test_bad(self, text):
        with pytest.raises(ValueError, match=r"a\.b"):
            parse_json_path(text)

    def test_follow(self):
        document = {"a": {"b": [{"c": None}, 7]}}
        assert follow_json_path(document, ("a", "b", 0, "c")) is None
        assert follow_json_path(document, ("a", "b", 1)) == 7
        for path in (("x",), ("a", 0), ("a", "b", "0"), ("a", "b", 2), ("a", "b", 1, "c")):
            with pytest.raises(LookupError):
                follow_json_path(document, path)


def test_ansible_takes_the_specification():
    arg_spec = pytest.importorskip("ansible.module_utils.common.arg_spec")
    validator = arg_spec.ArgumentSpecValidator({"probes": PROBE_OPTIONS})

    def validate(*probes):
        return validator.validate({"probes": list(probes)})

    good = validate(
        {"kind": "http", "url": URL, "status": "200,204", "headers": {"A": "secret"}}, {"kind": "tcp", "port": 1}
    )
    assert good.error_messages == []
    assert parse_probes(good.validated_parameters["probes"])[0].check.status == (200, 204)
    assert "secret" in good._no_log_values
    for bad, word in [
        ({"kind": "http"}, "url"),
        ({"kind": "tcp"}, "port"),
        ({"kind": "command"}, "argv"),
        ({"kind": "tcp", "port": 1, "url": URL}, "mutually exclusive"),
        ({"kind": "http", "url": URL, "json_value": 1}, "json_path"),
        ({"kind": "http", "url": URL, "client_key": "/k"}, "client_cert"),
    ]:
        assert word in " ".join(validate(bad).error_messages)
