/* Section 4: stories that are played call by call; each answer in them is one that came. */
Lab.section("stories", (root, stories) => {
  const { el, say, link } = Lab;
  root.append(el("p", null, "In each of these programs a worker holds a lock, and the data breaks anyway. None of them is a fault of the kernel. Step through one, call by call, and find the wrong call before the page marks it."));
  if (!stories) {
    root.append(el("p", { class: "hint" }, "This page was made without the stories."));
    return;
  }

  const code = (text) => el("code", null, text);
  const language = () => el("p", { class: "hint" }, code("F_SETLK f write 0 1"), " asks for a write lock on the file f, from byte 0, 1 byte long; ",
    code("F_SETLKW"), " waits for it, ", code("F_GETLK"), " asks who is in the way; ", code("F_OFD_SETLK"),
    " is the same for a lock of the open file. ", code("write f 0 5"), " puts a 5 at offset 0 of the file, ", code("store f 0 5"), " does so through the mapping, ",
    code("load f 0 1"), " loads 1 byte there; ", code("returns"), " is a call that waited and now comes back. Behind ", code("->"), " stands what a call came to.");
  const SET_UP = /^(open|write|map) /;
  const title = (story) => story.scenario.replaceAll("_", " ");
  let shown = Math.max(0, stories.findIndex((story) => story.scenario === link.get("story")));

  /* A telling is a table with a column for each worker, of which the first calls are to be seen. */
  const table = (telling, caption) => {
    const heads = telling.workers.map((name, number) => el("th", { scope: "col", class: `worker-${number}` }, name));
    const rows = telling.calls.map((call, place) => el("tr", { class: call.wrong ? "wrong" : "" },
      el("td", { class: "place" }, String(place + 1)),
      telling.workers.map((_, number) => el("td", { class: `worker-${number}`, "data-who": number === call.worker && telling.workers[number] }, number === call.worker && [
        el("span", { class: "mono call" }, call.call), " ", call.result && el("span", { class: "came" }, `-> ${call.result}`)])),
      el("td", { class: "note" }, call.wrong && el("strong", { class: "mark" }, "Here: "), call.note)));
    const body = el("tbody", null, rows);
    return { rows, element: el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, el("table", { class: "story" },
      el("caption", { class: "unseen" }, caption),
      el("thead", null, el("tr", null, el("th", { scope: "col", class: "place" }, "#"), heads, el("th", { scope: "col", class: "note" }, "what it means"))),
      body)) };
  };

  const handle = (telling, caption, at, moved) => {
    const made = table(telling, caption);
    const last = telling.calls.length;
    const state = el("span", { class: "hint" });
    const end = el("ul", { class: "moral" }, telling.moral.map((text) => el("li", null, text)));
    const button = (text, to, primary) => el("button", { type: "button", class: primary ? "button primary" : "button", onclick: () => go(to()) }, text);
    const buttons = {
      next: button("Next call", () => at + 1, true),
      back: button("Back", () => at - 1),
      all: button("Show all", () => last),
    };
    const draw = () => {
      made.rows.forEach((row, place) => { row.hidden = place >= at; row.classList.toggle("now", place === at - 1); });
      state.textContent = `${at} of ${last} calls`;
      buttons.next.disabled = at >= last;
      buttons.back.disabled = at <= 1;
      buttons.all.disabled = at >= last;
      end.hidden = at < last || !telling.moral.length;
    };
    const go = (to) => {
      at = Math.min(Math.max(1, to), last);
      const call = telling.calls[at - 1];
      draw();
      if (document.activeElement === document.body || document.activeElement.disabled) made.element.focus({ preventScroll: true });
      say(`${telling.workers[call.worker]}: ${call.call}${call.result && `, ${call.result}`}. ${call.wrong ? "Here it goes wrong: " : ""}${call.note}`);
      moved(at);
    };
    const element = el("div", {
      class: "handle",
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        const to = event.key === "Home" ? 1 : event.key === "End" ? last : step ? at + step : null;
        if (to === null || event.altKey || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        go(to);
      },
    }, el("div", { class: "row" }, buttons.next, buttons.back, buttons.all, state), made.element, end);
    at = Math.min(Math.max(1, at), last);
    draw();
    return element;
  };

  const board = el("div", { class: "board telling" });
  const fixOf = (story) => {
    const inside = el("div", { class: "fix", hidden: true },
      el("p", { class: "verdict bad" }, story.why),
      el("p", { class: "verdict good" }, story.fix),
      story.fixed.calls.length
        ? handle(story.fixed, `${title(story)}, fixed`, Number(link.get("fix")) || firstOf(story.fixed), (at) => link.set("fix", at))
        : story.fixed.moral.map((text) => el("p", null, text)));
    const reveal = el("button", {
      type: "button",
      class: "button",
      "aria-expanded": "false",
      onclick: () => open(inside.hidden),
    }, "What would fix it?");
    const open = (wanted) => {
      inside.hidden = !wanted;
      reveal.setAttribute("aria-expanded", String(wanted));
      link.set("fix", wanted ? firstOf(story.fixed) : null);
      if (wanted) say(`${story.why} ${story.fix}`);
    };
    if (link.get("fix")) {
      inside.hidden = false;
      reveal.setAttribute("aria-expanded", "true");
    }
    return [reveal, inside];
  };

  /* The first call that has to do with the lock. */
  const firstOf = (telling) => 1 + Math.max(0, telling.calls.findIndex((call) => !SET_UP.test(call.call)));

  const show = (at) => {
    const story = stories[shown];
    picks.forEach((pick, number) => pick.setAttribute("aria-pressed", String(number === shown)));
    board.replaceChildren(...[
      el("h3", null, title(story)),
      el("p", { class: "summary" }, story.summary),
      handle(story.broken, `${title(story)}, call by call`, at || firstOf(story.broken), (now) => link.set("step", now)),
      ...fixOf(story),
      story.source === "performed" ? language() : Lab.legend(["load", "store", "lock", "unlock"]),
      el("p", { class: "hint origin" }, story.source === "explored"
        ? "The shortest failure that the explorer found: two workers, a round each, under POSIX locks."
        : "Performed on the lab's model of the kernel, which its tests hold against the real one, call by call."),
    ].filter(Boolean));
  };
  const pick = (number) => {
    shown = number;
    link.set("story", stories[number].scenario);
    link.set("step", null);
    link.set("fix", null);
    show(0);
    say(stories[number].summary);
  };
  const picks = stories.map((story, number) => el("button", { type: "button", class: "button", onclick: () => pick(number) }, title(story)));
  root.append(
    el("div", { class: "row picks", role: "group", "aria-label": "Stories" }, picks),
    board,
  );
  show(Number(link.get("step")));
});
