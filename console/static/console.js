// What the pages do without this script, they do by links and forms. It keeps them live,
// shows times in the viewer's zone, and counts what is picked.
"use strict";

const state = document.getElementById("live-state");
let ahead = 0; // by how many milliseconds this clock is ahead of the database's
let held = false;
let waiting = null; // the newest message while the stream is held

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

// times writes each time in the viewer's zone, or as an age; the absolute one is its title.
function times(root) {
  const zone = { dateStyle: "medium", timeStyle: "long" };
  for (const t of root.querySelectorAll("time")) {
    const at = new Date(t.dateTime);
    if (isNaN(at)) continue;
    if (!t.dataset.done) {
      t.title = at.toLocaleString(undefined, zone) + " (" + t.title + ")";
      t.dataset.done = "1";
    }
    if ("age" in t.dataset) {
      const age = span(Date.now() - ahead - at);
      t.textContent = t.dataset.age === "for" ? "for " + age : age + " ago";
    } else if ("full" in t.dataset) {
      t.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    } else {
      t.textContent = at.toLocaleTimeString(undefined, { hour12: false });
    }
  }
}

function show(text, css) {
  if (!state) return;
  state.hidden = false;
  state.className = "live " + css;
  state.textContent = text;
}

// replace puts new content into an element, and leaves open what the viewer has opened,
// the focus where it was, and what was typed.
function replace(element, html) {
  const focus = document.activeElement && element.contains(document.activeElement) ? path(document.activeElement) : null;
  const open = new Map();
  for (const d of element.querySelectorAll("details[id]")) open.set(d.id, d.open);
  const search = element.querySelector("#stack-search");
  const searched = search ? search.value : "";
  element.innerHTML = html;
  for (const [id, is] of open) {
    const d = document.getElementById(id);
    if (d) d.open = is;
  }
  if (searched) {
    const again = element.querySelector("#stack-search");
    if (again) again.value = searched;
  }
  enhance(element);
  if (focus) {
    const again = element.querySelector(focus);
    if (again) again.focus({ preventScroll: true });
  }
}

// path is a selector of an element that is there again after a replacement.
function path(e) {
  if (e.id) return "#" + CSS.escape(e.id);
  if (e.getAttribute("aria-label")) return e.tagName + '[aria-label="' + CSS.escape(e.getAttribute("aria-label")) + '"]';
  if (e.getAttribute("href")) return 'a[href="' + CSS.escape(e.getAttribute("href")) + '"]';
  if (e.value) return e.tagName + '[value="' + CSS.escape(e.value) + '"]';
  return "#none";
}

function clock(now) {
  if (now) ahead = Date.now() - new Date(now);
}

function onFleet(m) {
  const rows = document.getElementById("rows");
  const template = document.createElement("template");
  for (const [id, html] of Object.entries(m.rows || {})) {
    template.innerHTML = html.trim();
    const next = template.content.firstElementChild;
    const old = rows.querySelector('[data-id="' + id + '"]');
    if (old && old.dataset.key === next.dataset.key) continue;
    const focused = old && old.contains(document.activeElement) ? path(document.activeElement) : null;
    const picked = old && old.querySelector("input:checked");
    if (old) {
      old.replaceWith(next);
      if (started) next.classList.add("fresh");
    } else {
      rows.append(next);
    }
    const box = next.querySelector("input");
    if (picked && box) box.checked = true;
    if (focused) { const again = next.querySelector(focused); if (again) again.focus({ preventScroll: true }); }
  }
  if (m.order) {
    const byID = new Map();
    for (const r of [...rows.children]) byID.set(r.dataset.id, r);
    for (const id of m.order) { const r = byID.get(id); if (r) { if (rows.children[m.order.indexOf(id)] !== r) rows.insertBefore(r, rows.children[m.order.indexOf(id)] || null); byID.delete(id); } }
    for (const r of byID.values()) r.remove();
  }
  for (const part of ["head", "foot"]) {
    const e = document.getElementById(part);
    if (e.dataset.html !== m[part]) { e.dataset.html = m[part]; replace(e, m[part]); }
  }
  started = true;
  times(rows);
  count();
}
let started = false;

function onHTML(m) {
  replace(document.getElementById("live"), m.html);
  const news = document.querySelector("[data-news]");
  if (news) document.getElementById("news").textContent = news.textContent;
}

function live(url) {
  let over = false;
  const source = new EventSource(url);
  const take = (name, handle) => source.addEventListener(name, (e) => {
    clock(e.lastEventId);
    if (held) { waiting = () => handle(JSON.parse(e.data)); return; }
    handle(JSON.parse(e.data));
  });
  take("fleet", onFleet);
  take("html", onHTML);
  source.addEventListener("failed", (e) => { show("not live: " + JSON.parse(e.data).error, "off"); over = true; source.close(); });
  source.addEventListener("over", () => { if (!over && state) state.hidden = true; over = true; source.close(); });
  source.onopen = () => { if (!held) show("live", ""); };
  source.onerror = () => {
    if (over) return;
    show("not live: the console does not answer", "off");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => live(url), 3000);
  };
  addEventListener("pagehide", () => source.close());
}

// count says how many servers are picked.
function count() {
  const picked = document.getElementById("picked");
  if (!picked) return;
  const n = document.querySelectorAll('#rows input[name="id"]:checked').length;
  picked.textContent = document.getElementById("all").checked ? "" : n === 1 ? "1 picked" : n + " picked";
}

function search(root) {
  const box = root.querySelector("#stack-search");
  if (!box) return;
  box.hidden = false;
  const find = () => {
    const words = box.value.toLowerCase();
    const has = (e) => words === "" || e.textContent.toLowerCase().includes(words);
    for (const dump of document.querySelectorAll(".dump")) {
      dump.hidden = !has(dump);
      for (const d of dump.querySelectorAll("details")) {
        d.hidden = !has(d);
        if (words !== "" && !d.hidden) d.open = true;
      }
    }
  };
  box.addEventListener("input", find);
  if (box.value) find();
}

function enhance(root) {
  times(root);
  search(root);
}

enhance(document);
const all = document.getElementById("all"), page = document.getElementById("page");
if (all && page) {
  page.hidden = false;
  page.addEventListener("change", () => {
    for (const box of document.querySelectorAll('#rows input[name="id"]')) box.checked = page.checked;
    count();
  });
  document.addEventListener("change", count);
  count();
}
const hold = document.getElementById("hold");
if (hold && document.body.dataset.live) {
  hold.hidden = false;
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", held);
    hold.textContent = held ? "Go on" : "Pause the stream";
    show(held ? "held" : "live", held ? "held" : "");
    if (!held && waiting) { waiting(); waiting = null; }
  });
}
if (document.body.dataset.live && window.EventSource) live(document.body.dataset.live);
setInterval(() => { for (const t of document.querySelectorAll("time[data-age]")) times(t.parentNode); }, 1000);
