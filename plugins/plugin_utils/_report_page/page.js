// Copyright (c) 2026, the chainops.lifecycle authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";
// Without this script the page shows everything; with it, it can be filtered, sorted and recoloured. Text is only ever
// compared and never made markup of.
(() => {
  const root = document.documentElement;
  const scheme = document.querySelector(".scheme");
  scheme.hidden = false;
  scheme.addEventListener("change", (event) => {
    if (event.target.value) root.dataset.scheme = event.target.value;
    else delete root.dataset.scheme;
  });

  const form = document.querySelector(".tools");
  if (!form) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  const list = document.getElementById("list");
  const rows = [...list.children].map((item, place) => {
    const [state, age, availability, errors] = item.dataset.o.split(",").map(Number);
    return { item, place, text: item.dataset.t, base: item.dataset.s, kind: item.dataset.k, incident: item.dataset.i === "1",
      host: item.dataset.h, service: item.dataset.n, state, age, availability, errors };
  });
  const hosts = [...document.querySelectorAll(".matrix tbody tr")];
  const find = document.getElementById("find");
  const incidents = document.getElementById("incidents");
  const kind = document.getElementById("kind");
  const sort = document.getElementById("sort");
  const reverse = document.getElementById("reverse");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const states = [...form.querySelectorAll("[name=state]")];

  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(states.filter((one) => one.checked).map((one) => one.value));
    const visible = new Set();
    let number = 0;
    for (const row of rows) {
      const fits = words.every((word) => row.text.includes(word)) && (!wanted.size || wanted.has(row.base))
        && (!incidents.checked || row.incident) && (!kind || !kind.value || row.kind === kind.value);
      row.item.hidden = !fits;
      if (fits) { number += 1; visible.add(row.host); }
    }
    const all = number === rows.length;
    for (const host of hosts) host.hidden = !all && !visible.has(host.dataset.h);
    shown.textContent = `${number} of ${rows.length} services`;
    none.hidden = number > 0;
  };

  const orders = {
    "": (a, b) => a.place - b.place,
    host: (a, b) => a.host.localeCompare(b.host, "en", { numeric: true }) || a.place - b.place,
    service: (a, b) => a.service.localeCompare(b.service, "en", { numeric: true }) || a.place - b.place,
    state: (a, b) => a.state - b.state || a.place - b.place,
    age: (a, b) => a.age - b.age || a.place - b.place,
    availability: (a, b) => a.availability - b.availability || a.place - b.place,
    errors: (a, b) => b.errors - a.errors || a.place - b.place,
  };
  const order = () => {
    const sorted = rows.toSorted(orders[sort.value]);
    if (reverse.checked) sorted.reverse();
    list.replaceChildren(...sorted.map((row) => row.item));
  };

  form.addEventListener("input", (event) => (event.target === sort || event.target === reverse ? order() : filter()));
  document.getElementById("reset").addEventListener("click", () => {
    form.reset();
    order();
    filter();
    find.focus();
  });
  const open = () => {
    const item = /^#s\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (!item) return;
    if (item.hidden) { form.reset(); order(); filter(); }
    item.firstElementChild.open = true;
    item.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", open);
  filter();
  open();
})();
