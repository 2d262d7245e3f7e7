/* A scenario under one lock, as something to walk through. Its tables come from the explorer, see
   lab/records/tutorial.py; nothing here knows what a step does. */
class Play {
  static OPERATIONS = ["load", "store", "lock", "unlock"];
  static FINISHED = -1;

  constructor(tables) {
    this.tables = tables;
    this.restart();
  }

  get state() { return this.states[this.states.length - 1]; }
  get schedule() { return this.path.join(""); }
  get workers() { return [...Array(this.tables.workers).keys()]; }

  restart() {
    this.path = [];
    this.states = [0];
  }

  /* How many schedules go on from a state, and how many of them break. */
  ways(state = this.state) {
    const [all, broken] = this.tables.states[state];
    return { all, broken };
  }

  /* What is damaged, [] for a clean end; null while somebody can go on. */
  get damage() {
    const ending = this.tables.states[this.state][2];
    return ending < 0 ? null : this.tables.endings[ending];
  }

  /* What a worker is about to do in a state; null once it has finished. Who waits has a `blocker` and no `to`. */
  next(worker, state = this.state) {
    const [number, to] = this.tables.states[state].slice(3 + 2 * worker, 5 + 2 * worker);
    if (to === Play.FINISHED) return null;
    const [, round, operation, field, value, first, ...stored] = this.tables.steps[number];
    return {
      worker, round, first, stored,
      operation: Play.OPERATIONS[operation],
      field: this.tables.texts[field],
      value: value < 0 ? "" : this.tables.texts[value],
      to: to < 0 ? null : to,
      blocker: to < 0 ? -2 - to : null,
    };
  }

  can(worker, state = this.state) {
    const step = this.next(worker, state);
    return step !== null && step.to !== null;
  }

  choices() { return this.workers.filter((worker) => this.can(worker)); }

  go(worker) {
    const step = this.next(worker);
    this.path.push(worker);
    this.states.push(step.to);
    return step;
  }

  undo() {
    this.states.pop();
    return this.path.pop();
  }

  /* Go on by this schedule as far as it can be followed; true when that is to its end. */
  follow(schedule) {
    for (const worker of schedule) {
      if (!this.workers.includes(worker) || !this.can(worker)) return false;
      this.go(worker);
    }
    return true;
  }

  /* The steps so far, each with how the worker came to its turn: "", "switch >" (from one that could go on) or ">". */
  steps() {
    const refused = new Set();
    return this.path.map((worker, at) => {
      const step = this.next(worker, this.states[at]);
      const last = this.path[at - 1];
      const taken = at > 0 && this.can(last, this.states[at]) && !refused.has(last);
      step.turn = at === 0 || last === worker ? "" : taken ? "switch >" : ">";
      if (step.operation === "lock") refused[step.value === "EDEADLK" ? "add" : "delete"](worker);
      return step;
    });
  }

  /* What is in each cell of the memory: name, value, who stored it, and what was there before the last step. */
  memory() {
    const { cells, texts } = this.tables;
    const found = cells.map(([name, value]) => ({ name: texts[name], value: texts[value], by: null, was: null }));
    this.steps().forEach((step, at) => step.stored.forEach((value, offset) => {
      const cell = found[step.first + offset];
      if (at === this.path.length - 1) cell.was = cell.value;
      cell.value = texts[value];
      cell.by = step.worker;
    }));
    return found;
  }

  /* The locks that are held now: the worker, its field, and whether it is shared. A finished worker holds none. */
  held() {
    const found = new Map();
    for (const { worker, operation, field, value } of this.steps()) {
      const key = `${worker} ${field}`;
      if (operation === "lock" && value !== "EDEADLK") found.set(key, { worker, field, shared: value === "shared" });
      if (operation === "unlock") found.delete(key);
    }
    return [...found.values()].filter(({ worker }) => this.next(worker) !== null);
  }

  /* A step as the text report has it: value -> 0, value = 1, lock value. */
  static text({ operation, field, value: words }) {
    const value = words.replaceAll(" ", "\u00a0");
    if (operation === "load") return `${field} -> ${value}`;
    if (operation === "store") return `${field} = ${value}`;
    const told = { shared: " (shared)", EDEADLK: " REFUSED (EDEADLK)" };
    return `${operation} ${field}${told[value] || ""}`;
  }

  /* A step as it is spoken. */
  static spoken({ worker, operation, field, value }) {
    const told = {
      load: () => `loads ${value} from ${field}`,
      store: () => `stores ${value} to ${field}`,
      lock: () => (value === "EDEADLK" ? `is refused the lock on ${field}` : `locks ${field}`),
      unlock: () => `unlocks ${field}`,
    };
    return `worker ${worker} ${told[operation]()}`;
  }
}
