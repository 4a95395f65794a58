# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control interface of the edge, JSON over HTTP under /control; what there is to call stands in README.md."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from .behaviour import Behaviour, ScriptError, Selection
from .cloudflare_api import CloudflareApi, Fault, tunnel_row
from .edge import Address, Edge
from .http1 import BadRequest, Request, Response
from .http2 import StreamLost
from .registry import Tunnel
from .through import Forwards, request

_Action = Callable[[Request], Awaitable[Any]]
_REQUEST_SECONDS = 15.0


def parse_address(text: str, option: str) -> Address:
    """IP:PORT. ScriptError, which names the option, where it is none."""
    host, _unused, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ScriptError(f"{option}: {text!r} is not IP:PORT")
    return host, int(port)


class Control:
    """Answers requests under /control."""

    def __init__(self, edge: Edge, forwards: Forwards, api: CloudflareApi) -> None:
        self._edge, self._forwards, self._api = edge, forwards, api
        self._routes: list[tuple[str, re.Pattern[str], _Action]] = [
            ("GET", re.compile("/control/state"), self._state),
            ("GET", re.compile("/control/events"), self._events),
            ("PUT", re.compile("/control/behaviour"), self._behave),
            ("DELETE", re.compile("/control/behaviour"), self._clear),
            ("POST", re.compile("/control/reset"), self._reset),
            ("PUT", re.compile("/control/tunnels/[^/]+"), self._declare),
            ("DELETE", re.compile("/control/tunnels/[^/]+"), self._delete),
            ("PUT", re.compile("/control/settings"), self._settings),
            ("PUT", re.compile("/control/config"), self._configure),
            ("POST", re.compile("/control/request"), self._request),
            ("GET", re.compile("/control/forwards"), self._list_forwards),
            ("POST", re.compile("/control/forwards"), self._forward),
            ("DELETE", re.compile("/control/forwards/[^/]+"), self._unforward),
            ("PUT", re.compile("/control/api"), self._script_api),
            ("GET", re.compile("/control/api/calls"), self._calls),
        ]

    async def __call__(self, request: Request) -> Response:
        fitting = [(method, action) for method, path, action in self._routes if path.fullmatch(request.path)]
        if not fitting:
            return Response(404, {"error": f"nothing at {request.path}"})
        action = dict(fitting).get(request.method)
        if action is None:
            return Response(405, {"error": f"{request.method}: here are {', '.join(sorted(dict(fitting)))}"})
        try:
            return Response(200, await action(request))
        except (BadRequest, ScriptError) as exc:
            return Response(400, {"error": str(exc)})
        except (AttributeError, TypeError, ValueError, KeyError) as exc:
            return Response(400, {"error": f"not understood: {exc!r}"})
        except (StreamLost, TimeoutError) as exc:
            return Response(502, {"error": str(exc) or "no answer through the tunnel in time"})

    # -- what is --

    async def _state(self, _request: Request) -> dict[str, Any]:
        registry = self._edge.registry
        return {
            "listening": self._edge.listening,
            "connections": len(self._edge.sessions),
            "tunnels": {tunnel.id: self._tunnel(tunnel) for tunnel in registry.tunnels.values()},
            "rules": self._edge.rules.as_list(),
            "settings": {"ghost_seconds": registry.ghost_seconds, "unknown_tunnels": registry.unknown_tunnels},
            "last_event": registry.diary.number,
        }

    @staticmethod
    def _tunnel(tunnel: Tunnel) -> dict[str, Any]:
        connectors = {}
        for one in tunnel.connectors.values():
            connectors[one.id] = {
                "version": one.version,
                "config_version": one.config_version,
                "live": len(one.live),
                "connections": [two.as_dict() for _unused, two in sorted(one.connections.items())],
            }
        row = {name: value for name, value in tunnel_row(tunnel).items() if name != "connections"}
        return {**row, "live": len(tunnel.live), "config_version": tunnel.config_version, "connectors": connectors}

    async def _events(self, request: Request) -> list[dict[str, Any]]:
        number = int(request.query.get("since", "0"))
        return self._edge.registry.diary.since(number, request.query.get("event"))

    # -- the script --

    async def _behave(self, request: Request) -> dict[str, Any]:
        data = request.json()
        select = Selection.parse(data.pop("select", {}))
        cut = data.pop("reset", False)
        self._edge.behave(select, Behaviour.parse(data))
        return {"rules": self._edge.rules.as_list(), "reset": self._edge.reset(select) if cut else 0}

    async def _clear(self, request: Request) -> dict[str, Any]:
        data = request.json()
        self._edge.forget_rules(Selection.parse(data["select"]) if "select" in data else None)
        return {"rules": self._edge.rules.as_list()}

    async def _reset(self, request: Request) -> dict[str, Any]:
        return {"reset": self._edge.reset(Selection.parse(request.json().get("select", {})))}

    async def _declare(self, request: Request) -> dict[str, Any]:
        name = request.path.rpartition("/")[2]
        tunnel_id = str(uuid.UUID(name))
        data = request.json()
        if data.get("config_src", "cloudflare") not in ("cloudflare", "local"):
            raise ScriptError(f"config_src is {data['config_src']!r}; there are cloudflare, local")
        if not isinstance(data.get("config", {}), dict):
            raise ScriptError(f'config is {data["config"]!r}; give an object such as {{"ingress": [...]}}')
        tunnel = self._edge.registry.tunnels.get(tunnel_id)
        if tunnel is None:
            tunnel = Tunnel(tunnel_id, data.get("name", f"tunnel-{tunnel_id[:8]}"), data.get("account", "0" * 32))
            self._edge.registry.declare(tunnel)
        tunnel.name, tunnel.account = data.get("name", tunnel.name), data.get("account", tunnel.account)
        tunnel.config_src, tunnel.config = data.get("config_src", tunnel.config_src), data.get("config", tunnel.config)
        tunnel.deleted_at = None
        if "secret" in data:
            try:
                tunnel.secret = base64.b64decode(data["secret"], validate=True)
            except (binascii.Error, TypeError) as exc:
                raise ScriptError(f"secret: {exc}") from exc
        return tunnel_row(tunnel)

    async def _delete(self, request: Request) -> dict[str, Any]:
        """As when an operator deletes the tunnel: its connectors are cut and refused from then on."""
        tunnel = self._edge.registry.tunnels.get(request.path.rpartition("/")[2].lower())
        if tunnel is None:
            raise ScriptError(f"there is no tunnel at {request.path}")
        tunnel.deleted_at = time.time()
        self._edge.forget(tunnel, None)
        return tunnel_row(tunnel)

    async def _settings(self, request: Request) -> dict[str, Any]:
        data, registry = request.json(), self._edge.registry
        registry.ghost_seconds = float(data.pop("ghost_seconds", registry.ghost_seconds))
        registry.unknown_tunnels = bool(data.pop("unknown_tunnels", registry.unknown_tunnels))
        if data:
            raise ScriptError(f"settings: no {', '.join(data)}; there are ghost_seconds, unknown_tunnels")
        return {"ghost_seconds": registry.ghost_seconds, "unknown_tunnels": registry.unknown_tunnels}

    # -- through the tunnel --

    async def _configure(self, request: Request) -> list[dict[str, Any]]:
        data = request.json()
        return await self._edge.configure(str(data["tunnel"]).lower(), dict(data["config"]))

    async def _request(self, http: Request) -> dict[str, Any]:
        data = http.json()
        session = self._edge.session(str(data["tunnel"]).lower(), data.get("connector"), data.get("index"))
        sent = request(
            session,
            method=data.get("method", "GET"),
            path=data.get("path", "/"),
            host=data.get("host", "app.example.com"),
            headers=data.get("headers"),
            body=data.get("body", "").encode(),
        )
        answer = await asyncio.wait_for(sent, float(data.get("timeout", _REQUEST_SECONDS)))
        return answer.as_dict()

    async def _list_forwards(self, _request: Request) -> list[dict[str, Any]]:
        return self._forwards.as_list()

    async def _forward(self, request: Request) -> dict[str, Any]:
        data = request.json()
        listen = parse_address(data.get("listen", "127.0.0.1:0"), "listen")
        try:
            made = await self._forwards.add(str(data["tunnel"]).lower(), data["target"], listen, data.get("connector"))
        except OSError as exc:
            raise ScriptError(f"listen: {exc}") from exc
        return made.as_dict()

    async def _unforward(self, request: Request) -> dict[str, Any]:
        self._forwards.remove(request.path.rpartition("/")[2])
        return {}

    # -- the API --

    async def _script_api(self, request: Request) -> dict[str, Any]:
        """``tokens`` and ``faults`` each replace what was set before."""
        data = request.json()
        if "tokens" in data:
            tokens = {name: (about.get("account"), bool(about.get("write"))) for name, about in data["tokens"].items()}
            self._api.tokens = tokens
        if "faults" in data:
            self._api.faults = [Fault.parse(one) for one in data["faults"]]
        return {"tokens": len(self._api.tokens), "faults": [vars(one) for one in self._api.faults]}

    async def _calls(self, request: Request) -> list[dict[str, Any]]:
        return self._api.calls[int(request.query.get("since", "0")) :]
