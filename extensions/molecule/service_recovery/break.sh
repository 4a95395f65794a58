# shellcheck shell=bash
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Breaks each service of the scenario in another way. Runs on the host.
export SYSTEMD_PAGER='' XDG_RUNTIME_DIR=/run/user/0

# The journal gets a small file system, which is full but for 14 MiB; older journal files hold most of it.
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nSystemMaxUse=1G\nSystemKeepFree=1M\nRateLimitIntervalSec=0\n' >/run/systemd/journald.conf.d/scenario.conf
mount -t tmpfs -o size=40M tmpfs /var/log/journal
systemctl restart systemd-journald
journalctl --flush
for _ in $(seq 40); do
  [ "$(df --output=avail -m /var/log/journal | tail -1)" -gt 14 ] || break
  head -c 300000 /dev/urandom | base64 -w 1000 | logger -t filler
  journalctl --rotate
done
systemctl start full

systemctl kill --signal=SIGKILL crashed
systemctl --user kill --signal=SIGKILL personal
systemctl kill --signal=SIGSTOP suspended

echo '{"port": 81' >/etc/scenario/misconfigured.json
systemctl restart misconfigured

systemctl stop client database
systemctl start client

systemctl stop blocked
systemd-run --unit=intruder /usr/bin/python3 -m http.server --bind 127.0.0.1 8106
for _ in $(seq 600); do ss -ltn | grep -q ':8106 ' && break || sleep 0.1; done
systemctl start blocked

systemctl start unrouted

# Only the start limit is left of this fault: the file is back.
mv /etc/scenario/limited.json /root/limited.json
systemctl kill --signal=SIGKILL limited
for _ in $(seq 600); do [ "$(systemctl is-active limited)" = failed ] && break || sleep 0.1; done
mv /root/limited.json /etc/scenario/limited.json

# A person has fixed this one, and nothing on the host shows it.
cp /etc/scenario/accepted.json /root/accepted.json
echo '{"port": 8111, "colour": "red"}' >/etc/scenario/accepted.json
systemctl restart accepted
mv /root/accepted.json /etc/scenario/accepted.json
systemctl is-active crashed misconfigured client full blocked unrouted limited suspended accepted unwanted
exit 0
