# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a connector may take to reconnect by itself, and to stop. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Rules: retry/backoffhandler.go and supervisor/supervisor.go of cloudflared.
``--retries R`` ends nothing, it only caps two back-offs: an inner one of up to
2^R seconds and, once a connection has been lost, an outer one of up to 10 * 2^R.
"""

from __future__ import annotations

# One attempt to connect may take this long (TCP and TLS), in seconds.
DIAL = 15.0
# However the retries are set, a person should hear of it within an hour.
_MOST = 3600.0


def reconnect_grace(retries: int, registered: bool) -> float:
    """Seconds within which a connector gets its connection by itself once the edge can be reached.

    ``registered``: whether it had one since its process started; before, only the inner back-off applies.
    """
    inner = 2.0 ** min(max(retries, 0), 20)
    return min(inner + (10.0 * inner if registered else 0.0) + DIAL, _MOST)


def longest_silence(retries: int) -> float:
    """Seconds without a log line after which the failure in the log is over, or another one."""
    return max(reconnect_grace(retries, True), 600.0)


def stop_time(grace_period: float) -> float:
    """Seconds that a stop may take: it drains requests for the grace period, then unregisters."""
    return grace_period + 5.0
