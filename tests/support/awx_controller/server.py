# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API over HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from awx_controller.launching import Launcher, Run
from awx_controller.recorded import Data
from awx_controller.store import ASSOCIATIONS, Store
from awx_controller.validation import Refused

TOKEN = "stand-in-token"
VERSION = "24.6.1"
_UNIFIED = "unified_job_templates"


class Api:
    """Method and path to an answer. Raises Refused."""

    def __init__(self, run: Run) -> None:
        self.store = Store()
        self.launcher = Launcher(self.store, run)
        self.asked: list[tuple[str, str, t.Any]] = []

    def answer(self, method: str, target: str, body: t.Any) -> tuple[int, t.Any]:
        parts = urlsplit(target)
        words = [word for word in parts.path.split("/") if word][2:]
        self.asked.append((method, parts.path, body))
        if not words:
            return 200, {}
        if words[0] == "tokens":
            return (201, {"id": 1, "token": TOKEN}) if method == "POST" else (204, None)
        if words == ["config"]:
            return 200, {"version": VERSION}
        collection = words[0]
        if collection != _UNIFIED and collection not in self.store.objects:
            raise Refused(404, {"detail": "The requested resource could not be found."})
        if len(words) == 1:
            return self._collection(method, collection, dict(parse_qsl(parts.query)), body)
        found = self.store.find(collection, words[1])
        if found is None:
            raise Refused(404, {"detail": "Not found."})
        if words[2:] == ["workflow_nodes"] and collection == "workflow_jobs":
            name = dict(parse_qsl(parts.query)).get("job__name")
            steps = [step for step in found["_nodes"].values() if not name or (step["job"] or {}).get("name") == name]
            return 200, _list([_workflow_node(step) for step in steps])
        return (
            self._one(method, collection, found, body)
            if len(words) == 2
            else self._part(method, collection, found, words[2], body)
        )

    def _collection(self, method: str, collection: str, query: dict[str, str], body: t.Any) -> tuple[int, t.Any]:
        if method == "POST" and collection != _UNIFIED:
            return 201, shown(self.store.create(collection, body))
        _only(method, "GET")
        return 200, _list(self.store.listed(collection, query))

    def _one(self, method: str, collection: str, found: Data, body: t.Any) -> tuple[int, t.Any]:
        if method == "PATCH":
            return 200, shown(self.store.change(collection, found["id"], body))
        if method == "DELETE":
            self.store.delete(collection, found["id"])
            return 204, None
        _only(method, "GET")
        return 200, shown(found)

    def _part(self, method: str, collection: str, found: Data, part: str, body: t.Any) -> tuple[int, t.Any]:
        number = found["id"]
        if part in ASSOCIATIONS:
            if method == "POST":
                self.store.associate(collection, number, part, body)
                return 204, None
            _only(method, "GET")
            return 200, _list(self.store.associations(collection, number, part))
        if part == "survey_spec":
            if method == "POST":
                self.store.set_survey(collection, number, body)
                return 200, ""
            return 200, self.store.surveys.get((collection, number), {})
        return self._act(method, collection, found, part, body)

    def _act(self, method: str, collection: str, found: Data, part: str, body: t.Any) -> tuple[int, t.Any]:
        launcher, act = self.launcher, (collection, part)
        if act == ("job_templates", "launch"):
            return (
                (201, shown(launcher.launch(found, body))) if method == "POST" else (200, launcher.launch_fields(found))
            )
        if act == ("workflow_job_templates", "launch") and method == "POST":
            return 201, shown(launcher.launch_workflow(found, body))
        if act == ("workflow_job_template_nodes", "create_approval_template") and method == "POST":
            return 201, shown(self.store.make_approval(found["id"], body))
        if act == ("projects", "update") and method == "POST":
            self.store.update_project(found)
            return 202, self.store.objects["project_updates"][found["summary_fields"]["current_update"]["id"]]
        if collection == "workflow_approvals" and part in ("approve", "deny") and method == "POST":
            launcher.decide(found, part == "approve")
            return 204, None
        if act == ("jobs", "cancel") and method == "POST":
            launcher.cancel(found)
            return 202, ""
        if act == ("jobs", "relaunch") and method == "POST":
            return 201, shown(launcher.relaunch(found, body))
        if act == ("jobs", "stdout"):
            return 200, {"content": launcher.outputs.get(found["id"], "")}
        raise Refused(404, {"detail": "Not found."})


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise Refused(405, {"detail": f'Method "{method}" not allowed.'})


def shown(found: Data) -> Data:
    """What a client sees of an object."""
    return {key: value for key, value in found.items() if not key.startswith("_")}


def _list(found: list[Data]) -> Data:
    return {"count": len(found), "next": None, "previous": None, "results": [shown(one) for one in found]}


def _workflow_node(step: Data) -> Data:
    job = step["job"] or {}
    return {
        "identifier": step["node"]["identifier"],
        "do_not_run": step["do_not_run"],
        "job": job.get("id"),
        "related": {"job": job["url"]} if job else {},
        "summary_fields": {"job": {"id": job["id"], "status": job["status"], "type": job.get("type")}} if job else {},
    }


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            status, body = 500, t.cast("t.Any", {"detail": "a failure of the stand-in"})
            try:
                if not self.headers.get("Authorization"):
                    raise Refused(401, {"detail": "Authentication credentials were not provided."})
                status, body = api.answer(self.command, self.path, json.loads(text) if text else {})
            except Refused as refused:
                status, body = refused.status, refused.body
            finally:  # what else is raised is shown by the server, and answered with 500
                content = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("X-API-Product-Name", "AWX")
                self.send_header("X-API-Product-Version", VERSION)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, *_what: t.Any) -> None:
            """Say nothing: ``Api.asked`` has every call."""

    return Handler


@contextlib.contextmanager
def serve(run: Run) -> t.Iterator[tuple[str, Api]]:
    """The stand-in on a port of its own: its URL and what is behind it."""
    api = Api(run)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(api)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", api
        server.shutdown()
        api.launcher.join()
