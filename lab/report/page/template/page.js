"use strict";

/* What the sections share: elements, the voice for screen readers, the state in the address, their data. */
const Lab = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  /* An element with attributes and children; text goes in as text. A function is a listener (onclick: ...), `true` an
     attribute without a value; null, undefined and false are left out. */
  const made = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (typeof value === "function") element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };
  const el = (tag, attributes, ...children) => made(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => made(document.createElementNS(SVG, tag), attributes, children);

  /* The text with its dates and options each on one line: a browser breaks lines at hyphens. */
  const whole = (text) => text.split(/(--[a-z][\w-]*|\d{4}-\d\d-\d\d)/).map((part, at) => (at % 2 ? el("span", { class: "whole" }, part) : part));

  /* The notation of `lab explore` and of all sections; "x" is a field of the memory. */
  const NOTATION = {
    load: ["x -> 0", "loads 0 from x"],
    store: ["x = 1", "stores 1 to x"],
    lock: ["lock x", "acquires the lock on x, (shared) with other readers"],
    unlock: ["unlock x", "releases it"],
    waits: ["waits", "for a lock that another worker holds"],
    switch: ["switch >", "another worker goes on, though the last one could"],
    turn: [">", "another worker goes on, as the last one cannot"],
  };
  const legend = (names = Object.keys(NOTATION)) => el("dl", { class: "hint notation" },
    names.map((name) => el("div", {}, el("dt", { class: "mono" }, NOTATION[name][0]), el("dd", {}, NOTATION[name][1]))));

  /* Spoken by screen readers; the same sentence twice is spoken twice. */
  const say = (text) => {
    const place = document.getElementById("said");
    place.textContent = "";
    window.setTimeout(() => { place.textContent = text; }, 50);
  };

  /* The state of the page in the fragment: #run=counter-none-2&play=counter,none,01. What was set last is last. */
  const state = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const link = {
    get: (name) => state().get(name),
    set: (name, value) => {
      const now = state();
      now.delete(name);
      if (value !== null && value !== undefined && value !== "") now.set(name, value);
      const text = now.toString();
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    },
  };

  const data = (name) => {
    const element = document.getElementById(`data-${name}`);
    return element ? JSON.parse(element.textContent) : null;
  };

  /* `make(root, data)` builds the section of that name; one that fails does not take the others with it. */
  const section = (name, make) => {
    const root = document.getElementById(name);
    try {
      make(root, data(name));
    } catch (error) {
      console.error(error);
      root.append(el("p", { class: "verdict bad" }, `This part of the page failed: ${error.message}`));
    }
  };

  /* Arrow keys, Home and End walk over the elements of a group, of which one at a time is a tab stop; what it returns is
     to be called when others are disabled. `cells()` gives
     them, `columns` how many stand in a row, or a function that says so. */
  const roving = (group, cells, columns = 1) => {
    const stops = () => cells().filter((cell) => !cell.disabled);
    const only = (chosen) => {
      for (const cell of cells()) cell.tabIndex = cell === chosen ? 0 : -1;
    };
    group.addEventListener("keydown", (event) => {
      const all = stops();
      const at = all.indexOf(document.activeElement);
      if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      const wide = typeof columns === "function" ? columns() : columns;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide };
      const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : at + (step[event.key] || 0);
      if (to === at || !all[to]) return;
      event.preventDefault();
      only(all[to]);
      all[to].focus();
    });
    group.addEventListener("focusin", (event) => {
      if (stops().includes(event.target)) only(event.target);
    });
    const refresh = () => {
      if (stops().filter((cell) => cell.tabIndex === 0).length !== 1) only(stops()[0]);
    };
    refresh();
    return refresh;
  };

  const go = (name, behavior = "auto") => {
    const target = document.getElementById(name);
    if (!target) return;
    target.scrollIntoView({ behavior });
    target.focus({ preventScroll: true });
  };

  /* Where a link from elsewhere leads: to the section that it names, or to that of what was set last. */
  const PLACES = { memory: "tutorial", play: "plays", run: "run", story: "stories", step: "stories", fix: "stories", plug: "plug", cut: "plug", disk: "plug" };
  const arrive = () => {
    const named = [...state()].map(([name, value]) => (name === "at" ? value : PLACES[name])).filter(Boolean);
    go(named.length ? named.pop() : location.hash.slice(1), "instant");
  };

  /* Links within the page move the focus and keep the state. */
  const start = () => {
    document.addEventListener("click", (event) => {
      const anchor = event.target.closest("a[href^='#']");
      if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const name = anchor.getAttribute("href").slice(1);
      event.preventDefault();
      go(name);
      if (name !== "main") link.set("at", name);
    });
    window.addEventListener("hashchange", () => location.reload());
    const tutorial = data("tutorial");
    if (tutorial) document.getElementById("made").textContent = tutorial.made;
    arrive();
  };
  document.addEventListener("DOMContentLoaded", start);

  return { el, svg, whole, legend, say, link, data, section, roving };
})();
