/* The timelines of what was watched: one of all of it, and one of the processes of each finding, around its calls. */
Lab.section("timeline", (root, data) => {
  const { el, say } = Lab;
  const record = RunRecord.unpacked(data);

  const tool = (label, text, act) => el("button", { class: "button", type: "button", "aria-label": text, title: text, onclick: act }, label);
  const legend = () => el("p", { class: "hint" },
    el("span", { class: "key wait" }), " waits ", el("span", { class: "key hold" }), " holds ", el("span", { class: "key load" }), " reads ",
    el("span", { class: "key store" }), " writes ", el("span", { class: "key event" }, "\u25bc"), " a call of a finding. Drag to move; once the timeline has the focus, +, \u2212 and the wheel zoom, 0 shows all, n goes to the next finding.");

  const board = (drawn, ...tools) => {
    const timeline = RunTimeline.make(drawn, { chosen: (number) => say(drawn.problems[number].sentence), viewed: () => undefined });
    const place = el("div", { class: "board" },
      el("div", { class: "row tools" }, tools.map((make) => make(timeline)), el("span", { class: "gap" }),
        tool("+", "zoom in", () => timeline.zoom(0.5)), tool("\u2212", "zoom out", () => timeline.zoom(2)),
        tool("\u2190", "move left", () => timeline.move(-0.3)), tool("\u2192", "move right", () => timeline.move(0.3)),
        el("button", { class: "button", type: "button", onclick: timeline.all }, "Show all")),
      timeline.strip, timeline.frame, timeline.under, legend());
    return { place, timeline };
  };

  record.problems.forEach((problem, number) => {
    const place = document.querySelector(`[data-finding="${number}"]`);
    if (!place) return;
    const lanes = record.lanes.filter((lane) => problem.workers.includes(lane.worker));
    const made = board({ ...record, lanes }, (timeline) => el("button", { class: "button primary", type: "button", onclick: () => timeline.jump(number) }, "Around the finding"));
    place.append(made.place);
    made.timeline.jump(number);
  });

  if (!record.lanes.length) {
    root.append(el("p", { class: "hint" }, "No lock was requested."));
    return;
  }
  const all = board(record, (timeline) => record.problems.length > 0 && el("button", { class: "button primary", type: "button", onclick: () => timeline.jump(0) }, "Jump to the first finding"));
  root.append(all.place);
  if (data.cut.length) root.append(el("p", { class: "hint" }, `Left out: ${data.cut.join("; ")}.`));
  all.timeline.all();
});
