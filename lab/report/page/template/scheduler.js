/* Section 2: a person chooses who goes next, and wins by breaking it. */
class Scheduler {
  static PACE_MS = 650;

  constructor(root, { plays, left_out: leftOut }) {
    this.plays = plays.map((tables) => new Play(tables));
    this.guesses = new Map();
    this.tried = new Map();
    this.odds = false;
    this.build(root, leftOut);
    this.open(this.plays[0]);
    this.arrive(Lab.link.get("play"));
  }

  build(root, leftOut) {
    const { el } = Lab;
    this.chooser = new Chooser(this);
    this.guess = new Guess(this);
    this.columns = new Columns(this);
    this.memory = new MemoryBoard();
    this.verdict = new Verdict(this);
    this.note = el("p", { class: "hint" });
    this.oddsLine = el("p", { class: "sched-odds" });
    this.linkBox = el("input", { class: "mono", readonly: true, hidden: true, "aria-label": "Link to this position" });
    const board = el("div", { class: "board sched", tabindex: "-1", role: "group", "aria-label": "The game" },
      this.columns.element, this.memory.element, this.guess.element, this.oddsLine, this.verdict.element, this.tools());
    board.addEventListener("keydown", (event) => this.key(event));
    root.append(
      el("p", { class: "lede" },
        "Processes run the same code on the same bytes, in any order of steps. ", el("strong", {}, "You are the system"),
        ": choose who takes the next step. You win if the result is wrong."),
      this.chooser.element, board, el("div", { class: "sched-below" }, this.chooser.source, Lab.legend()),
      ...leftOut.map(({ scenario, reason }) => el("p", { class: "hint" }, Lab.whole(`${scenario} cannot be played: ${reason}`))));
  }

  tools() {
    const { el } = Lab;
    const button = (text, onclick) => el("button", { type: "button", class: "button", onclick }, text);
    this.undoButton = button("Undo", () => this.undo());
    this.againButton = button("Start again", () => this.restart());
    this.shortestButton = button("Show me the shortest failure", () => this.showShortest());
    this.randomButton = button("Finish at random", () => this.finish());
    this.oddsButton = button("Show the odds", () => { this.odds = !this.odds; this.draw(); });
    const copy = button("Copy a link to this position", () => this.copyLink());
    const keys = el("p", { class: "hint sched-keys" },
      "Keyboard: the number of a worker lets it take a step, the arrows choose one and ",
      el("kbd", {}, "Enter"), " lets it go, ", el("kbd", {}, "U"), " or ",
      el("kbd", {}, "Backspace"), " takes a step back, ", el("kbd", {}, "R"), " starts again.");
    return el("div", { class: "sched-tools" },
      el("div", { class: "row" },
        this.undoButton, this.againButton, this.randomButton, this.shortestButton, this.oddsButton, copy),
      keys, this.linkBox, this.note);
  }

  /* The same scenario with the lock switched the other way. */
  get other() {
    return this.plays.find((each) => each !== this.play && each.tables.scenario === this.play.tables.scenario);
  }

  get locked() { return this.play.tables.lock !== "none"; }
  get tries() { return this.tried.get(this.play) || new Map(); }

  open(play) {
    this.stop();
    this.play = play;
    this.restart({ quiet: true });
    this.chooser.draw();
  }

  choose(play) {
    this.open(play);
    this.leave();
    const { scenario, lock } = play.tables;
    Lab.say(`${scenario}, ${lock === "none" ? "no lock" : `lock ${lock}`}. ${play.ways().all.toLocaleString("en")} schedules.`);
  }

  restart({ quiet = false } = {}) {
    this.stop();
    this.how = "played";
    this.play.restart();
    this.draw();
    if (quiet) return;
    this.leave();
    Lab.say("Back at the beginning.");
    this.columns.focus();
  }

  go(worker) {
    this.stop();
    if (!this.play.can(worker)) {
      Lab.say(this.columns.status(worker));
      return;
    }
    this.how = "played";
    this.step(worker);
    this.columns.focus(worker);
  }

  step(worker) {
    const step = this.play.go(worker);
    this.draw();
    this.leave();
    const waiting = this.play.workers.map((each) => this.columns.waiting(each));
    Lab.say([Play.spoken(step), ...waiting, this.verdict.spoken].filter(Boolean).join(". "));
  }

  undo() {
    this.stop();
    if (!this.play.path.length) return;
    this.how = "played";
    const worker = this.play.undo();
    this.draw();
    this.leave();
    Lab.say(`Undone: the step of worker ${worker}.`);
    this.columns.focus(worker);
  }

  finish() {
    this.stop();
    this.how = "random";
    while (this.play.damage === null) {
      const choices = this.play.choices();
      this.play.go(choices[Math.floor(Math.random() * choices.length)]);
    }
    this.draw();
    this.leave();
    Lab.say(this.verdict.spoken);
    this.columns.focus();
  }

  showShortest() {
    const { shortest } = this.play.tables;
    if (this.timer) {
      this.stop();
      this.draw();
      return;
    }
    this.play.restart();
    this.how = "shortest";
    const left = [...shortest.schedule];
    this.timer = window.setInterval(() => {
      const worker = left.shift();
      if (!left.length) this.stop();
      this.step(worker);
    }, Scheduler.PACE_MS);
    this.draw();
  }

  stop() {
    window.clearInterval(this.timer);
    this.timer = null;
  }

  key(event) {
    if (event.target.closest("input, select, textarea") || event.altKey) return;
    const undoes = (event.ctrlKey || event.metaKey) ? event.key === "z" : ["u", "U", "Backspace"].includes(event.key);
    if ((event.ctrlKey || event.metaKey) && !undoes) return;
    if (undoes) this.undo();
    else if (/^[rR]$/.test(event.key)) this.restart();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (event.target.closest(".sched-steps")) return;
      this.columns.walk(event.key === "ArrowLeft" ? -1 : 1);
    } else if (/^\d$/.test(event.key) && Number(event.key) < this.play.workers.length) this.go(Number(event.key));
    else return;
    event.preventDefault();
  }

  draw() {
    const { play } = this;
    if (play.damage && this.how !== "shortest") this.remember();
    this.columns.draw(play);
    this.memory.draw(play);
    this.guess.draw();
    this.verdict.draw();
    this.drawTools();
  }

  drawTools() {
    const { play } = this;
    const { all, broken } = play.ways();
    const known = this.guesses.has(play);
    this.undoButton.disabled = this.againButton.disabled = !play.path.length;
    this.randomButton.disabled = play.damage !== null;
    this.shortestButton.textContent = this.timer ? "Stop" : "Show me the shortest failure";
    this.shortestButton.hidden = !known || !play.tables.shortest;
    this.oddsButton.hidden = !known;
    this.oddsButton.setAttribute("aria-pressed", this.odds);
    this.oddsLine.hidden = !(known && this.odds) || play.damage !== null;
    this.oddsLine.textContent = `From here ${broken.toLocaleString("en")} of ${all.toLocaleString("en")} schedules break.`;
  }

  /* The schedules that were played to their end, and whether they broke. */
  remember() {
    if (!this.tried.has(this.play)) this.tried.set(this.play, new Map());
    this.tried.get(this.play).set(this.play.schedule, this.play.damage.length > 0);
  }

  get fragment() {
    const { scenario, lock } = this.play.tables;
    return [scenario, lock, this.play.schedule].join(",");
  }

  leave() {
    Lab.link.set("play", this.fragment);
    this.linkBox.hidden = true;
    this.note.textContent = "";
  }

  /* Where a link leads; as much of it as there is. */
  arrive(text) {
    if (!text) return;
    const [, scenario, lock, schedule] = text.match(/^(.*),([^,]*),(\d*)$/s) || [];
    const play = this.plays.find(({ tables }) => tables.scenario === scenario && tables.lock === lock);
    if (!play) {
      this.note.textContent = "The link names a scenario that is not on this page; this is the first one.";
      return;
    }
    this.open(play);
    const whole = play.follow([...schedule].map(Number));
    this.draw();
    const steps = `${play.path.length} ${play.path.length === 1 ? "step" : "steps"}`;
    if (!whole) this.note.textContent = `The link was followed for ${steps}; whoever it names next cannot go on there.`;
  }

  async copyLink() {
    const fragment = this.fragment.split(",").map(encodeURIComponent).join(",");
    this.linkBox.value = `${location.href.split("#")[0]}#play=${fragment}`;
    try {
      await navigator.clipboard.writeText(this.linkBox.value);
      this.note.textContent = "The link is in the clipboard.";
    } catch {
      this.note.textContent = "Copy the link from this line.";
    }
    this.linkBox.hidden = false;
    this.linkBox.select();
    Lab.say(this.note.textContent);
  }
}

Lab.section("plays", (root, data) => {
  if (data && data.plays.length) new Scheduler(root, data);
  else {
    const missing = "This page was made without the scheduler; lab page -o lab.html makes one with it.";
    root.append(Lab.el("p", { class: "hint" }, missing));
  }
});
