/* A column a worker: its steps so far, and below them the button that lets it go. */
class Columns {
  static LONG = 12;

  constructor(scheduler) {
    const { el } = Lab;
    this.scheduler = scheduler;
    this.heads = el("div", { class: "sched-row sched-heads", "aria-hidden": "true" });
    this.list = el("ol", { class: "sched-steps", tabindex: "0", "aria-label": "The steps so far" });
    this.feet = el("div", { class: "sched-row sched-feet", role: "group", "aria-label": "Who goes next" });
    this.element = el("div", { class: "sched-columns" }, this.heads, this.list, this.feet);
    this.drawn = null;
  }

  build(play) {
    const { el } = Lab;
    this.drawn = play;
    this.element.style.setProperty("--count", play.workers.length);
    this.element.classList.toggle("long", play.tables.texts.some((text) => text.length > Columns.LONG));
    const each = (make) => play.workers.map(make);
    this.heads.replaceChildren(el("span", {}), ...each((worker) => el("div", { class: `sched-head worker-${worker}` })));
    this.buttons = each((worker) =>
      el("button", { type: "button", class: `sched-go worker-${worker}`, onclick: () => this.scheduler.go(worker) }));
    this.states = each(() => el("p", { class: "sched-state" }));
    const feet = each((worker) => el("div", { class: "sched-foot" }, this.buttons[worker], this.states[worker]));
    this.feet.replaceChildren(el("span", {}), ...feet);
  }

  draw(play) {
    if (this.drawn !== play) this.build(play);
    const waits = play.workers.filter((worker) => this.waiting(worker));
    const steps = play.steps();
    const rows = steps.map((step, at) => this.row(step, at, steps, waits));
    this.list.replaceChildren(...(rows.length ? rows : [this.empty()]), this.rest(waits));
    this.list.scrollTop = this.list.scrollHeight;
    for (const worker of play.workers) {
      this.drawHead(worker, waits.includes(worker));
      this.drawButton(worker);
    }
  }

  empty() {
    return Lab.el("li", { class: "sched-none" }, "No step yet. Who goes first?");
  }

  /* The columns down to the buttons. */
  rest(waits) {
    const { el } = Lab;
    const blanks = this.scheduler.play.workers.map((worker) => this.blank(worker, waits));
    return el("li", { class: "sched-row sched-rest", "aria-hidden": "true" }, el("span", {}), blanks);
  }

  blank(worker, waits) { return Lab.el("span", { class: `sched-cell${waits.includes(worker) ? " waits" : ""}` }); }

  row(step, at, steps, waits) {
    const { el } = Lab;
    const last = at === steps.length - 1;
    const earlier = steps.slice(0, at).filter(({ worker }) => worker === step.worker).pop();
    const begins = this.scheduler.play.tables.rounds > 1 && (!earlier || earlier.round !== step.round);
    const cell = (worker) => (worker === step.worker ? this.done(step, begins) : this.blank(worker, waits));
    return el("li", { class: `sched-row${last ? " new" : ""}` },
      el("span", { class: "sched-turn" }, step.turn || `${at + 1}`), this.scheduler.play.workers.map(cell));
  }

  done(step, begins) {
    const { el } = Lab;
    return el("span", { class: `sched-cell worker-${step.worker} did ${step.operation}` },
      el("span", { class: "unseen" }, `worker ${step.worker}: `),
      begins ? el("small", {}, `round ${step.round + 1}`) : null,
      el("span", { class: "mono" }, Play.text(step)));
  }

  drawHead(worker, waits) {
    const head = this.heads.children[worker + 1];
    head.classList.toggle("waits", waits);
    const mine = this.scheduler.play.held().filter((each) => each.worker === worker);
    const held = mine.map(({ field, shared }) => field + (shared ? " (shared)" : "")).join(", ");
    head.replaceChildren(Lab.el("strong", {}, `worker ${worker}`),
      Lab.el("span", { class: "hint" }, held ? `holds ${held}` : this.progress(worker)));
  }

  progress(worker) {
    const { play } = this.scheduler;
    const next = play.next(worker);
    return next ? `round ${next.round + 1} of ${play.tables.rounds}` : "finished";
  }

  drawButton(worker) {
    const { el } = Lab;
    const button = this.buttons[worker];
    const next = this.scheduler.play.next(worker);
    const can = next !== null && next.to !== null;
    button.disabled = !can;
    button.classList.toggle("waits", Boolean(next) && !can);
    const label = can ? [el("span", {}, `Let worker ${worker} go: `), el("span", { class: "mono" }, Play.text(next))]
      : [el("span", {}, next ? `Worker ${worker} waits` : `Worker ${worker} has finished`)];
    button.replaceChildren(...label);
    this.states[worker].textContent = this.waiting(worker) ? `waits for ${next.field}, held by worker ${next.blocker}` : "";
  }

  /* What a person is told of a worker that waits; nothing of others. */
  waiting(worker) {
    const next = this.scheduler.play.next(worker);
    return next && next.to === null ? `worker ${worker} waits for ${next.field}, held by worker ${next.blocker}` : "";
  }

  status(worker) { return this.waiting(worker) || `worker ${worker} has finished`; }

  /* The arrows choose among the workers that can go. */
  walk(by) {
    const able = this.buttons.filter((button) => !button.disabled);
    const at = able.indexOf(document.activeElement);
    if (able.length) able[at < 0 ? 0 : (at + by + able.length) % able.length].focus();
  }

  /* Keep the focus on a button that can be pressed; at the end on the verdict. */
  focus(wanted = 0) {
    const able = this.buttons.filter((button) => !button.disabled);
    const chosen = this.buttons[wanted] && !this.buttons[wanted].disabled ? this.buttons[wanted] : able[0];
    if (chosen) chosen.focus({ preventScroll: true });
    else this.scheduler.verdict.focus();
  }
}

/* The bytes that all share. */
class MemoryBoard {
  constructor() {
    const { el } = Lab;
    this.body = el("tbody", {});
    this.element = el("div", { class: "sched-memory", role: "region", "aria-label": "The shared memory" },
      el("table", {}, el("caption", {}, "The shared memory"),
        el("thead", { class: "unseen" }, el("tr", {}, ["field", "value"].map((text) => el("th", { scope: "col" }, text)))),
        this.body));
  }

  draw(play) {
    this.body.replaceChildren(...play.memory().map((cell) => this.row(cell)));
    this.element.tabIndex = this.element.scrollHeight > this.element.clientHeight ? 0 : -1;
    const changed = this.body.querySelector(".changed");
    if (changed) this.element.scrollTop = changed.offsetTop - this.body.offsetTop;  // a phone shows a part of it
  }

  row({ name, value, by, was }) {
    const { el } = Lab;
    const stored = by === null ? "from the beginning" : el("span", { class: `sched-by worker-${by}` }, `by worker ${by}`);
    const before = was === null ? null : was === value ? ", the same again" : `, was ${was}`;
    return el("tr", { class: was === null ? null : "changed" },
      el("th", { scope: "row", class: "mono" }, name),
      el("td", {}, el("span", { class: `mono sched-value${value.length > 8 ? " long" : ""}` }, value),
        el("small", { class: "hint" }, stored, before)));
  }
}

/* What came of it. */
class Verdict {
  constructor(scheduler) {
    this.scheduler = scheduler;
    this.element = Lab.el("div", { class: "verdict sched-verdict", tabindex: "-1", hidden: true });
  }

  get spoken() {
    const told = this.scheduler.play.damage ? [...this.element.querySelectorAll("h3, p, li")] : [];
    return told.map(({ textContent }) => textContent.replace(/\.$/, "")).join(". ");
  }

  focus() {
    this.element.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  draw() {
    const { damage } = this.scheduler.play;
    this.element.hidden = damage === null;
    this.element.classList.toggle("bad", Boolean(damage && damage.length));
    this.element.classList.toggle("good", Boolean(damage && !damage.length));
    const parts = damage === null ? [] : damage.length ? this.broken(damage) : this.clean();
    this.element.replaceChildren(...parts.flat().filter(Boolean));
  }

  broken(damage) {
    const { el } = Lab;
    const { how, play, locked } = this.scheduler;
    const { shortest, why } = play.tables;
    const { kind: first } = damage[0];
    const head = { played: `You broke it: ${first}`, random: `Chance broke it: ${first}`, shortest: shortest?.headline }[how];
    const told = damage.map(({ kind, count, of, evidence }) =>
      el("p", {}, el("strong", {}, `${kind}, ${count} of ${of}`), evidence.length ? `: ${evidence.join("; ")}.` : "."));
    const because = how === "shortest" ? [el("p", {}, "Because:"), this.list(shortest.reasons)] : [];
    const counterexample = locked && why ? el("p", {}, why) : null;
    return [el("h3", {}, head), told, because, counterexample, this.score(), locked ? null : this.lockOn()];
  }

  list(texts) { return Lab.el("ol", {}, texts.map((text) => Lab.el("li", {}, text))); }

  /* Before the guess it does not tell whether there is a schedule that breaks. */
  clean() {
    const { el } = Lab;
    const { play, guesses } = this.scheduler;
    const { all, broken } = play.ways(0);
    const known = guesses.has(play);
    const holds = known && !broken;
    const well = `It is one of the ${(all - broken).toLocaleString("en")} of ${all.toLocaleString("en")} schedules that end well. `;
    const hope = "Go back a few steps, and let another worker run at a worse moment.";
    return [
      el("h3", {}, holds ? "It holds: nothing is broken" : "This schedule is fine: nothing is broken"),
      el("p", {}, holds ? "No other schedule breaks it either." : (known ? well : "") + hope),
      this.score(),
    ];
  }

  /* How many different schedules the person has seen to their end. */
  score() {
    const { play, tries } = this.scheduler;
    if (!tries.size) return null;
    const { all } = play.ways(0);
    const broke = [...tries.values()].filter(Boolean).length;
    const done = tries.size === all ? `all ${all} schedules` : `${tries.size} of the ${all.toLocaleString("en")} schedules`;
    return Lab.el("p", { class: "sched-score" }, `You have tried ${done}; ${broke ? `${broke} broke` : "none broke"}.`);
  }

  lockOn() {
    const { other } = this.scheduler;
    return other ? Lab.el("button", { type: "button", class: "button primary", onclick: () => {
      this.scheduler.choose(other);
      this.scheduler.columns.focus();
    } }, "Switch the lock on and try again") : null;
  }
}
