/* Which scenario, lock or none, and the code that runs. */
class Chooser {
  constructor(scheduler) {
    const { el } = Lab;
    this.scheduler = scheduler;
    this.select = el("select", { id: "sched-scenario", onchange: () => this.choose() }, this.groups());
    this.locks = el("div", { class: "row", role: "group", "aria-label": "Lock" });
    this.summary = el("p", { class: "sched-summary" });
    this.code = el("code", {});
    this.codeNote = el("p", { class: "hint" });
    this.element = el("div", { class: "sched-choice" },
      el("div", { class: "row" }, el("label", { for: "sched-scenario" }, "Race "), this.select, this.locks),
      this.summary);
    this.source = el("details", { open: true }, el("summary", {}, "What every worker runs"),
      el("pre", { class: "sched-code", tabindex: "0", role: "region", "aria-label": "Source" }, this.code), this.codeNote);
  }

  groups() {
    const { el } = Lab;
    const bare = this.scheduler.plays.filter(({ tables }) => tables.lock === "none");
    const options = (plays) => plays.map(({ tables }) => el("option", { value: tables.scenario }, tables.scenario));
    const [fixed, counterexamples] = [bare.filter(({ tables }) => !tables.why), bare.filter(({ tables }) => tables.why)];
    return counterexamples.length
      ? [el("optgroup", { label: "A lock fixes it" }, options(fixed)),
        el("optgroup", { label: "Locked, and broken anyway" }, options(counterexamples))]
      : options(fixed);
  }

  choose() {
    const { plays, play } = this.scheduler;
    const named = plays.filter(({ tables }) => tables.scenario === this.select.value);
    this.scheduler.choose(named.find(({ tables }) => tables.lock === play.tables.lock) || named[0]);
  }

  draw() {
    const { play, other } = this.scheduler;
    const { scenario, summary, source, lock, line_bytes: bytes } = play.tables;
    this.select.value = scenario;
    this.summary.textContent = summary;
    const both = lock === "none" ? [play, other] : [other, play];
    this.locks.replaceChildren(...both.filter(Boolean).map((each) => this.lockButton(each)));
    const idle = (text) => lock === "none" && /\b(write|read)_lock\(/.test(text);
    const line = (text) => [text.match(/^\s*/)[0], Lab.el("span", { class: idle(text) ? "idle" : null }, text.trimStart()), "\n"];
    this.code.replaceChildren(...source.trimEnd().split("\n").flatMap(line));
    const unlocked = lock === "none" ? "No lock is chosen: write_lock and read_lock do nothing. " : "";
    const pieces = `Long copies go in pieces of ${bytes.toLocaleString("en")} bytes here, so that there are few enough steps `
      + "to choose; real ones go in pieces of 64.";
    this.codeNote.textContent = unlocked + (bytes > 64 ? pieces : "");
  }

  lockButton(play) {
    const { lock } = play.tables;
    const chosen = play === this.scheduler.play;
    const text = lock === "none" ? "No lock" : `Lock on (${lock})`;
    return Lab.el("button", { type: "button", class: "button", "aria-pressed": `${chosen}`, onclick: () => {
      this.scheduler.choose(play);
      this.locks.querySelector("[aria-pressed=true]").focus();
    } }, text);
  }
}

/* First predict, then reveal: how many of the schedules break. */
class Guess {
  static CHOICES = {
    none: ["None", (all, broken) => broken === 0],
    few: ["Fewer than half", (all, broken) => broken > 0 && broken < all / 2],
    most: ["Half or more", (all, broken) => broken >= all / 2 && broken < all],
    all: ["All", (all, broken) => broken === all],
  };

  constructor(scheduler) {
    this.scheduler = scheduler;
    this.element = Lab.el("div", { class: "sched-guess" });
    this.shown = null;
  }

  draw() {
    const { play, guesses } = this.scheduler;
    const made = guesses.get(play);
    if (this.shown && this.shown.play === play && this.shown.made === made) return;
    this.shown = { play, made };
    const { all, broken } = play.ways(0);
    this.element.replaceChildren(...(made ? this.revealed(made, all, broken) : this.question(all)));
  }

  question(all) {
    const { el } = Lab;
    const { workers, rounds } = this.scheduler.play.tables;
    const buttons = Object.entries(Guess.CHOICES).map(([name, [text]]) =>
      el("button", { type: "button", class: "button", onclick: () => this.choose(name) }, text));
    return [
      el("p", {}, el("strong", {}, "First a guess. "),
        `${workers} workers with ${rounds} round${rounds > 1 ? "s" : ""} each can take turns in `,
        el("strong", {}, all.toLocaleString("en")), " different orders (schedules). How many of them break ",
        this.scheduler.locked ? "it, with the lock on?" : "it?"),
      el("div", { class: "row", role: "group", "aria-label": "Your guess" }, buttons),
    ];
  }

  choose(name) {
    this.scheduler.guesses.set(this.scheduler.play, name);
    this.scheduler.draw();
    this.element.querySelector("p").focus();
    Lab.say(this.element.textContent);
  }

  revealed(made, all, broken) {
    const { el } = Lab;
    const right = Object.keys(Guess.CHOICES).find((name) => Guess.CHOICES[name][1](all, broken));
    const numbers = `${broken.toLocaleString("en")} of ${all.toLocaleString("en")}`;
    const share = 100 * broken / all;
    const bar = el("div", { class: "sched-bar", role: "img", "aria-label": `${numbers} schedules break` }, el("span", {}));
    bar.firstChild.style.width = `${share}%`;
    const whole = broken
      ? `${numbers} schedules break (${share < 99.5 || broken === all ? Math.round(share) : share.toFixed(1)} %).`
      : `${numbers}: nobody can break it.`;
    const compared = made === right ? "You were right." : `You said: ${Guess.CHOICES[made][0].toLowerCase()}.`;
    return [
      el("p", { tabindex: "-1" }, el("strong", {}, whole), ` ${compared} `,
        el("span", { class: "hint" }, "The explorer covered them all.")),
      bar,
    ];
  }
}
