/* A real run: its cases, the recorded trial of each, what went wrong in it, the bytes, the tables, the environment. */
Lab.section("run", (root, data) => {
  const { el, whole, link, say, roving } = Lab;
  const { unpacked, moment, span, locked, nameOf, valueOf, LOAD, STORE } = RunRecord;
  const STEPS = 14, LISTED = 60, AROUND = 3000;  // rows, rows, ns

  const command = (text) => el("pre", { class: "command" }, el("code", {}, whole(text)));
  if (!data) {
    root.append(
      el("p", {}, "This section shows a run of your own: when each worker waited and held the lock, where the first update was lost, and which worker stored each byte. This page was made without a run. To make one with a run:"),
      command("lab race counter --html lab.html"));
    return;
  }

  const cells = (row) => row.map((cell, i) => (i ? el("td", { class: /^[\d-]/.test(cell) ? "figure" : null }, cell) : el("th", { scope: "row" }, cell)));
  const heads = (head) => head.map(([name, help]) => el("th", { scope: "col" }, name, help && el("span", { class: "unseen" }, `: ${help}`)));
  const scrolling = (label, kind, ...parts) => el("div", { class: `scroll ${kind}`, tabindex: 0, role: "region", "aria-label": label }, el("table", {}, parts));
  const terms = (rows) => el("dl", { class: "help" }, rows.map(([term, text]) => [el("dt", {}, term), el("dd", {}, text || "-")]));
  const table = ({ title, caption, head, rows }) => {
    const body = rows.map((row) => el("tr", {}, cells(row)));
    const helped = head.filter(([, help]) => help);
    return el("details", { class: "board table" }, el("summary", {}, title), el("p", { class: "hint" }, caption),
      rows.length ? scrolling(title, "", el("thead", {}, el("tr", {}, heads(head))), el("tbody", {}, body)) : el("p", {}, "No case came so far."),
      rows.length && helped.length ? terms(helped) : null);
  };
  const pairs = (title, rows) => el("details", { class: "board table" }, el("summary", {}, title), terms(rows));

  const backings = new Set(data.cases.map((each) => each.backing));
  const key = (each) => [each.scenario, each.lock, ...(backings.size > 1 ? [each.backing] : []), each.workers, ...(each.fault ? [each.fault] : [])].join("-");
  const how = (each) => `lock ${each.lock}, ${backings.size > 1 ? `${each.backing}, ` : ""}${each.workers} worker${each.workers > 1 ? "s" : ""}${each.fault ? `, ${each.fault}` : ""}`;
  const verdict = (each) => {
    const word = each.expected ? each.verdict : each.verdict.toUpperCase();
    return each.verdict === "damaged" && each.kinds.length ? `${word}: ${each.kinds[0]}` : word;
  };
  const stage = el("div", { class: "stage" });
  const narrow = window.matchMedia("(max-width: 760px)");
  const buttons = data.cases.map((each, number) => el("button", {
    class: "case", type: "button", "aria-pressed": "false", onclick: () => choose(number),
  }, el("span", { class: "what" }, each.scenario), el("span", { class: "how" }, how(each)),
  el("span", { class: `tag ${each.verdict}` }, `${each.verdict === "clean" ? "\u2713" : "\u2717"} ${verdict(each)}`)));

  const choose = (number, quiet = false) => {
    const each = data.cases[number];
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
    stage.replaceChildren(...shown(each));
    if (!quiet) {
      link.set("run", key(each));
      say(`${each.scenario} under ${each.lock}: ${verdict(each)}`);
    }
    stage.dispatchEvent(new Event("lab-shown"));
    if (!quiet && narrow.matches) stage.scrollIntoView();
  };

  const shown = (each) => {
    const told = [el("h3", {}, `${each.scenario}, ${how(each)}`)];
    const broke = each.recording && each.recording.damage.length;
    if (each.reason || broke) told.push(el("p", {}, whole(`Verdict of the trials that count: ${verdict(each)}${each.reason ? `; ${each.reason}` : ""}.`)));
    if (each.why && each.verdict !== "clean") told.push(el("p", {}, each.why));
    if (!each.recording) {
      return [...told, el("p", { class: "hint" }, whole("No trial of this case was recorded. `--record` does that, and `--html PATH` too:")), command(`lab race ${each.scenario} --html lab.html`)];
    }
    return [...told, ...recorded(each)];
  };

  const recorded = (each) => {
    const record = unpacked(each.recording);
    const { part } = record;
    const harm = record.harm = Boolean(part.damage.length || part.failures.length || record.marks.some(isHarm));
    const name = (worker) => (record.lanes.find((lane) => lane.worker === worker) || { name: `worker ${worker}` }).name;
    const explained = el("div", { class: "explained" });
    const list = el("details", { class: "listed" });
    let pending = 0;
    const timeline = RunTimeline.make(record, {
      chosen: (number) => {
        explained.replaceChildren(...explanation(record, name, number));
        say(record.problems[number].sentence);
        if (record.problems[number].end > record.problems[number].start) bytes.go(record.problems[number].start);
        position.textContent = `${number + 1} of ${record.marks.length.toLocaleString("en")}`;
      },
      viewed: () => {
        clearTimeout(pending);
        pending = setTimeout(() => { if (list.open) inView(record, name, timeline.view, list); }, 120);
      },
    });
    const jump = (number) => {
      timeline.jump(number);
      timeline.frame.scrollIntoView({ block: "nearest" });
    };
    const bytes = RunBytes.make(record, name, jump);
    list.append(el("summary", {}, "What is in view, as a table"));
    list.addEventListener("toggle", () => { if (list.open) inView(record, name, timeline.view, list); });
    const word = harm ? "damage" : "event";
    const position = el("span", { class: "hint" }, "");
    const tool = (label, text, act) => el("button", { class: "button", type: "button", "aria-label": text, title: text, onclick: act }, label);
    const by = (step) => () => {
      const now = timeline.view.event;
      jump(now === null ? part.first : Math.min(record.problems.length - 1, Math.max(0, now + step)));
    };
    const tools = el("div", { class: "row tools" },
      record.problems.length ? [
        el("button", { class: "button primary", type: "button", onclick: () => jump(part.first) }, `Jump to the first ${word}`),
        tool("\u2039", `previous ${word}`, by(-1)), tool("\u203a", `next ${word}`, by(1)), position] : null,
      el("span", { class: "gap" }),
      tool("+", "zoom in", () => timeline.zoom(0.5)), tool("\u2212", "zoom out", () => timeline.zoom(2)),
      tool("\u2190", "move left", () => timeline.move(-0.3)), tool("\u2192", "move right", () => timeline.move(0.3)),
      el("button", { class: "button", type: "button", onclick: timeline.all }, "Show all"));
    stage.addEventListener("lab-shown", () => { timeline.want(); bytes.start(); }, { once: true });
    const finished = part.done.reduce((sum, rounds) => sum + rounds, 0);
    return [
      el("p", { class: `verdict ${harm ? "bad" : "good"}` }, summary(part, record)),
      el("div", { class: "board" }, tools, timeline.strip, timeline.frame, timeline.under, legend(), explained, list, Lab.legend(["load", "store", "lock", "unlock", "waits"])),
      el("p", { class: "hint" }, `One more trial, recorded: ${finished.toLocaleString("en")} rounds${part.wall ? ` in ${span(part.wall)}` : ""}, ${record.holds.length ? `${record.holds.length.toLocaleString("en")} requests for locks, ` : ""}${record.accesses.length.toLocaleString("en")} loads and stores. Writing takes time and widens the race window, so it counts in no figure.${part.attempts > 1 ? ` It is trial ${part.attempts} of those made in search of one that shows damage, or workers that meet.` : ""}`),
      part.damage.length && part.count !== part.counted ? el("p", { class: "hint" }, marked(part)) : null,
      part.cut.length ? el("p", { class: "hint" }, `Left out: ${part.cut.join("; ")}.`) : null,
      el("h4", {}, "Whose bytes lie in the file at the end"),
      part.blocks.length ? el("div", { class: "board" },
        el("div", { class: "row legend" }, record.lanes.map((lane) => el("span", { class: `chip worker-${lane.colour}` }, lane.name)),
          el("span", { class: "chip before" }, "as it was"), bytes.some ? el("span", { class: "chip corner" }, "a corner: hit by damage") : null, el("span", { class: "gap" }),
          bytes.some ? el("button", { class: "button", type: "button", onclick: bytes.nextDamaged }, "Next damaged byte") : null),
        bytes.frame, bytes.about) : el("p", { class: "hint" }, "Zeros only."),
    ].filter(Boolean);
  };

  const summary = (part, record) => {
    if (part.failures.length) return part.failures.join("; ");
    if (part.damage.length) return `Found by the scenario's own check: ${part.damage.join("; ")}.`;
    const kinds = [...new Set(record.marks.filter(isHarm).map((each) => each.kind))];
    if (!kinds.length && record.problems.length) return `The check found nothing wrong. Marked below: ${[...new Set(record.marks.map(markedAs))].join("; ")}.`;
    if (kinds.length) return `The check found nothing, yet this happened: ${kinds.join(", ")}.`;
    return `Clean${part.cut.length ? ", as far as it was recorded" : ""}: no store overwrote what its worker had not seen, no load met half a store, no conflicting holds overlapped.`;
  };

  /* These alone are no damage where the check found none: there may be a fix, or the worker meant to overwrite. */
  const HARMLESS = {
    "ended inside": "a worker that ended while it held its lock",
    "lost update": "stores over what their worker had not seen, which is well where it meant to overwrite",
  };
  const isHarm = (each) => !(each.kind in HARMLESS);
  const markedAs = (each) => HARMLESS[each.kind];

  /* Why the check's number and that of the marks may differ. */
  const marked = (part) => (part.count
    ? `${part.count.toLocaleString("en")} ${part.count === 1 ? "moment is" : "moments are"} marked below. The check counts something else, what is wrong in the end: one store that comes over others unseen can undo many of them, and not every one spoils what the check looks at.`
    : "No moment is marked below: no store overwrote one that its worker had not seen, and no holds overlapped. Look for workers that did not share the bytes they stored, or for accesses that were not recorded.");

  const legend = () => el("p", { class: "hint keys" },
    el("span", { class: "key wait" }), " waits ", el("span", { class: "key hold" }), " holds ", el("span", { class: "key load" }), " loads ",
    el("span", { class: "key store" }), " stores ", el("span", { class: "key event" }, "\u25bc"), " damage. Drag to move. Once the timeline has the focus, +, \u2212 and the wheel zoom, 0 shows all, n goes to the next damage; with Ctrl the wheel always zooms.");

  /* What the workers did around an event: a column a worker, in the order of time. */
  const explanation = (record, name, number) => {
    const now = record.problems[number];
    const accesses = now.shown.map((each) => record.accesses[each]);
    const workers = [...new Set([...accesses.map((each) => each.worker), ...now.workers])].sort((a, b) => a - b);
    const touches = (start, length) => !length || (start < now.end && now.start < start + length);
    const mine = (each) => workers.includes(each.worker) && touches(each.start, each.length);
    const within = (time) => time !== null && time >= now.since - AROUND && time <= now.until + AROUND;
    const steps = [];
    record.accesses.forEach((each, i) => {
      const mark = now.shown.indexOf(i);
      if (mark >= 0 || (each.kind < 2 && mine(each) && within(each.begun))) steps.push({ at: each.begun, worker: each.worker, marked: mark, text: did(record, each) });
    });
    record.holds.filter(mine).forEach((each) => {
      const what = locked(record.part, each);
      const told = [[each.requested, `waits for ${what}`], [each.granted, `lock ${what}`], [each.released, `unlock ${what}`]];
      told.filter(([time]) => within(time)).forEach(([at, text]) => steps.push({ at, worker: each.worker, marked: -1, text }));
    });
    steps.sort((a, b) => a.at - b.at);
    const near = steps.length > STEPS ? closest(steps, now.at) : steps;
    return [
      el("p", { class: `verdict ${record.harm && now.kind !== "ended inside" ? "bad" : ""}`, "data-kind": now.kind },
        el("strong", {}, `${!record.harm && now.kind === "lost update" ? "overwritten unseen" : now.kind}: `), now.sentence),
      scrolling("Step by step", "steps",
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "time"), workers.map((worker) => el("th", { scope: "col", class: `worker-${worker % 8} mine` }, name(worker))))),
        el("tbody", {}, near.map((step) => stepRow(step, workers, now.shown.length)))),
      near.length < steps.length ? el("p", { class: "hint" }, `${(steps.length - near.length).toLocaleString("en")} more steps of these workers at that time are left out here.`) : null,
    ].filter(Boolean);
  };
  const stepRow = (step, workers, several) => {
    const order = step.marked >= 0 && several ? el("span", { class: "order" }, String(step.marked + 1)) : null;
    return el("tr", { class: step.marked >= 0 ? "marked" : null }, el("th", { scope: "row", class: "figure" }, moment(step.at)),
      workers.map((worker) => el("td", {}, worker === step.worker ? [order, step.text] : "")));
  };
  const closest = (steps, at) => {
    const rest = steps.filter((step) => step.marked < 0).sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at));
    const kept = new Set([...steps.filter((step) => step.marked >= 0), ...rest].slice(0, STEPS));
    return steps.filter((step) => kept.has(step));
  };
  const did = (record, each) => {
    if (each.kind !== LOAD && each.kind !== STORE) return "sees the damage";
    const value = valueOf(record.part, each.start, each.length, each.bytes);
    const what = nameOf(record.part, each.start, each.length);
    return `${what} ${each.kind === STORE ? "=" : "->"} ${value} (round ${each.round + 1})`;
  };

  /* The canvas in words: what is in view, at most so many rows. */
  const inView = (record, name, view, list) => {
    const rows = [];
    const meets = (begin, end) => begin < view.to && (end === null || end > view.from);
    let left = 0;
    const add = (row) => (rows.length < 4 * LISTED ? rows.push(row) : (left += 1));
    record.holds.forEach((each) => {
      if (meets(each.requested, each.until)) add([each.requested, each.worker, `lock ${locked(record.part, each)}: ${each.granted === null ? "waits for ever" : `waits ${span(each.granted - each.requested)}, ${each.released === null ? "is never unlocked" : `is held ${span(each.released - each.granted)}`}`}`]);
    });
    record.accesses.forEach((each) => { if (meets(each.begun, each.ended)) add([each.begun, each.worker, did(record, each)]); });
    rows.sort((a, b) => a[0] - b[0]);
    left += Math.max(0, rows.length - LISTED);
    const row = ([at, worker, text]) => el("tr", {}, el("th", { scope: "row", class: "figure" }, moment(at)), el("td", {}, name(worker)), el("td", {}, text));
    list.replaceChildren(list.firstChild,
      scrolling("What is in view", "tall", el("thead", {}, el("tr", {}, heads([["time"], ["worker"], ["what"]]))), el("tbody", {}, rows.slice(0, LISTED).map(row))),
      ...(left ? [el("p", { class: "hint" }, `${left.toLocaleString("en")} more in view; zoom in to see them here.`)] : []));
  };

  root.append(el("p", { class: "hint" }, whole(`${data.heading}; ${data.started.slice(0, 10)}.`)));
  if (data.cases.length) {
    const group = el("div", { class: "cases", role: "group", "aria-label": "Cases" }, buttons);
    root.append(el("p", {}, "Pick a case: what its workers did is below."), group, stage);
    roving(group, () => buttons);
  } else root.append(el("p", {}, "The run ended before its first case did."));
  root.append(el("h3", {}, "What the run came to"), el("ul", {}, data.conclusions.map((each) => el("li", {}, whole(each)))),
    ...data.tables.map(table), pairs("Environment", data.environment), pairs("What was asked for", data.options));
  if (!data.cases.length) return;
  const asked = data.cases.findIndex((each) => key(each) === link.get("run"));
  const broken = data.cases.findIndex((each) => each.recording && each.recording.problems.length);
  choose(asked >= 0 ? asked : Math.max(0, broken), true);
});
