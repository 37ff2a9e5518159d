// Returns what is wrong with the page for those who cannot see it well, or not at all.
(() => {
  const faults = [];
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const label = (e) => (e.outerHTML || "").slice(0, 120).replace(/\s+/g, " ");
  const all = (q) => [...document.querySelectorAll(q)];
  const text = (id) => (document.getElementById(id) || { textContent: "" }).textContent.trim();

  if (!document.documentElement.lang) faults.push("the page has no language");
  if (!document.title.trim()) faults.push("the page has no title");
  if (all("main").length !== 1) faults.push("there is not one main");
  if (all("h1").length !== 1) faults.push("there is not one h1: " + all("h1").length);
  let level = 1;
  for (const h of all("h1,h2,h3,h4")) {
    const n = Number(h.tagName[1]);
    if (n > level + 1) faults.push("a heading skips a level: " + label(h));
    level = n;
  }
  const ids = new Set();
  for (const e of all("[id]")) {
    if (ids.has(e.id)) faults.push("an id is there twice: " + e.id);
    ids.add(e.id);
  }
  for (const e of all("[aria-describedby]")) {
    for (const id of e.getAttribute("aria-describedby").split(" ")) if (!ids.has(id)) faults.push("is described by nothing: " + label(e));
  }
  for (const e of all("input:not([type=hidden]),select,textarea")) {
    const name = e.getAttribute("aria-label") || [...(e.labels || [])].map((l) => l.textContent.trim()).join("") ||
      (e.getAttribute("aria-labelledby") || "").split(" ").map(text).join("");
    if (!name) faults.push("a field has no label: " + label(e));
  }
  for (const e of all("button,a[href],summary")) {
    if (!(e.getAttribute("aria-label") || e.textContent.trim() || e.querySelector("img[alt]:not([alt=''])"))) faults.push("has no name: " + label(e));
  }
  for (const e of all("img")) if (!e.hasAttribute("alt")) faults.push("an image has no alt: " + label(e));
  for (const e of all("th")) if (!e.hasAttribute("scope")) faults.push("a th has no scope: " + label(e));
  for (const e of all("nav,form[aria-label=''],section[aria-label='']")) {
    if (e.tagName === "NAV" && !e.getAttribute("aria-label")) faults.push("a nav has no name: " + label(e));
  }
  for (const e of all("[tabindex]")) if (e.tabIndex > 0) faults.push("changes the order of Tab: " + label(e));

  // Contrast, as WCAG 2.2 counts it.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => {
    const part = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const told = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || !seen(e) || e.closest(".sr, .skip, noscript, script, option, datalist")) continue;
    const style = getComputedStyle(e), behind = ground(e), front = over(rgba(style.color), behind);
    const [a, b] = [light(front), light(behind)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const key = e.className + style.color + style.backgroundColor;
    if (ratio < wanted && !told.has(key)) {
      told.add(key);
      faults.push("contrast of " + ratio.toFixed(2) + ", " + wanted + " is wanted: " + label(e));
    }
  }
  return faults;
})()
