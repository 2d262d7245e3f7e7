/* Section 1: a file of 27 bytes, mapped by two processes, on pages of 16 bytes. */
class MappingBoard {
  static WHO = ["A", "B"];

  constructor(root) {
    this.memory = new Lab.memory.Memory();
    this.chosen = { row: "file", at: 0 };
    this.narrow = window.matchMedia("(max-width: 760px)");
    this.strips = { file: this.strip("file", "The file"), A: this.strip("A", "Process A: its mapping"), B: this.strip("B", "Process B: its mapping") };
    this.processes = {};
    const saved = (Lab.link.get("memory") || "").match(/^([mu][sp][wr][015])([mu][sp][wr][015])$/);
    MappingBoard.WHO.forEach((who, number) => {
      this.processes[who] = new MemoryProcess(who, number, saved ? saved[number + 1] : MemoryProcess.START, this.strips[who], {
        maps: (process) => this.map(process),
        unmaps: (process) => this.unmap(process),
      });
    });
    this.build(root);
    this.start();
  }

  build(root) {
    const { el } = Lab;
    const code = (text) => el("code", null, text);
    this.sentence = el("p", { class: "verdict" });
    this.question = el("fieldset", { class: "question", hidden: true });
    this.speech = el("div", { class: "speech" }, this.question, this.sentence);
    const { size } = this.memory;
    root.append(
      el("p", null, code("mmap()"), " puts a file among a process's own bytes: then ", code("data[20]"), " is the byte at offset 20. Click a byte to read it, or walk to it with the arrow keys and press Enter. Type a character to write it."),
      el("div", { class: "board memory" }, this.tools(),
        el("div", { class: "process" },
          el("div", { class: "row" }, el("h3", null, "The file, on disk"), el("span", { class: "hint" }, `${size} bytes, as read() and write() see them`)),
          this.strips.file.element),
        MappingBoard.WHO.map((who) => this.processes[who].element), this.speech),
      el("p", { class: "hint" }, `The pages here have ${Lab.memory.PAGE} bytes, so that you can see where they end; real ones have 4,096 or more. The file has ${size}: a few less than two pages. Each process asks for three.`),
      el("p", { class: "hint" }, code("c = data[20]"), " loads a byte through the mapping, ", code("data[20] = 'x'"), " stores one, as in ", code("lab tour"),
        "; ", code("read()"), " and ", code("write()"), " are calls on the file."),
      el("details", { class: "tryout" }, el("summary", null, "Things to try"), el("ul", null, [
        "Write through A while both processes share the file: what does B find, and what does read() find?",
        "Map B with MAP_PRIVATE. Write through A, then through B, then through A again.",
        `Write behind the end of the file, at offset ${size}. Who can see it?`,
        "Read a byte of the third page. Then map A with PROT_READ, and write to it.",
        "Map A from offset 16: which byte is data[0] now? And from offset 5?",
      ].map((text) => el("li", null, text)))),
    );
  }

  tools() {
    const { el } = Lab;
    const button = (text, onclick) => el("button", { type: "button", class: "button", onclick }, text);
    this.target = el("strong", { class: "mono" });
    this.typed = el("input", { id: "typed", size: 1, maxlength: 1, value: "x", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
    this.predict = el("input", { type: "checkbox", id: "predict" });
    return el("div", { class: "row acts" },
      el("span", { class: "target" }, "Chosen: ", this.target),
      button("Read it", () => this.touch()),
      el("span", { class: "labelled" }, button("Write", () => this.touch(this.typed.value)), el("label", { for: "typed", class: "unseen" }, "Character to write"), this.typed),
      el("span", { class: "labelled check" }, this.predict, el("label", { for: "predict" }, "ask me first who will see it")),
      button("Start over", () => this.again()));
  }

  strip(row, label) {
    const { PAGE, PAGES } = Lab.memory;
    return new MemoryStrip(label, () => (this.narrow.matches ? PAGE / 2 : PAGE * PAGES), {
      hears: (at, character) => (character ? this.write(row, at, character.charCodeAt(0)) : this.read(row, at)),
      chosen: (at) => this.choose(row, at),
    });
  }

  mapping(row) { return row === "file" ? null : this.memory.processes[row].mapping; }

  start() {
    for (const process of Object.values(this.processes)) if (process.mapped) this.memory.map(process.who, process.options);
    this.draw();
    this.choose("file", 0);
    this.sentence.textContent = "Nothing was read or written yet.";
  }

  again() {
    this.memory = new Lab.memory.Memory();
    this.asking(false);
    for (const process of Object.values(this.processes)) {
      process.reset();
      this.memory.map(process.who, process.options);
    }
    this.tell(["A new file, and both processes have mapped it anew, shared.", ""]);
    this.draw();
    this.keep();
  }

  /* What is done */

  map(process) {
    if (process.mapped) this.memory.unmap(process.who);
    this.tell(MemoryWords.map(process.who, process.options, this.memory.map(process.who, process.options)));
    this.draw();
    this.keep();
  }

  unmap(process) {
    const copies = this.memory.ownPages(process.who).length;
    this.memory.unmap(process.who);
    this.tell(MemoryWords.unmap(process.who, copies));
    this.draw();
    this.keep();
  }

  choose(row, at) {
    const mapping = this.mapping(row);
    this.chosen = { row, at };
    this.target.textContent = row === "file" ? `the file, offset ${at}` : mapping ? `${row}, data[${at - mapping.offset}]` : `${row}, nothing mapped`;
  }

  /* The chosen byte by the buttons below, for those who have no keyboard. */
  touch(character) {
    const { row, at } = this.chosen;
    const mapping = this.mapping(row);
    if (row !== "file" && (!mapping || at < mapping.offset)) this.tell([`${row} has nothing mapped there; choose Map first.`, ""]);
    else if (character === undefined) this.read(row, at);
    else if (!/^[ -~]$/.test(character)) this.tell(["Put one character of ASCII into the field beside Write.", ""]);
    else this.write(row, at, character.charCodeAt(0));
  }

  read(row, at) {
    const { memory } = this;
    if (row === "file") {
      this.tell(MemoryWords.read(at, memory.read(at), memory.size));
      this.draw();
      return;
    }
    const index = at - this.mapping(row).offset;
    const byte = memory.load(row, index);
    if (typeof byte === "string") this.die(row, byte);
    else this.tell(MemoryWords.load(row, index, at, byte, memory.size));
    this.draw();
  }

  write(row, at, byte) {
    if (row !== "file" && this.predict.checked) this.ask(row, at, byte);
    else this.put(row, at, byte);
  }

  put(row, at, byte, before = "") {
    const was = this.everything();
    if (row === "file") {
      const answer = this.memory.write(at, byte);
      const seers = MappingBoard.WHO.filter((who) => answer === "ok" && this.memory.seen(who)[at] === byte);
      this.tell(MemoryWords.write(at, byte, answer, seers));
    } else this.store(row, at, byte, before);
    this.draw(was);
  }

  store(who, at, byte, before) {
    const mapping = this.mapping(who);
    const index = at - mapping.offset;
    const answer = this.memory.store(who, index, byte);
    if (answer.startsWith("SIG")) {
      this.die(who, answer, before);
      return;
    }
    const others = MappingBoard.WHO.filter((other) => other !== who && mapping.shared && this.memory.seen(other)[at] === byte);
    const how = { shared: mapping.shared, copied: answer === "copied", inside: at < this.memory.size, others };
    this.tell(MemoryWords.store(who, index, at, byte, how), before);
  }

  die(who, signal, before) {
    this.tell(MemoryWords.killed(who, signal), before);
    this.draw();
    this.keep();
    this.processes[who].map.focus();
  }

  /* First predict, then reveal. */
  ask(row, at, byte) {
    const { el } = Lab;
    const mapping = this.mapping(row);
    const right = MemoryWords.seenBy(mapping, at, this.memory.size, this.memory.reach);
    const answer = (said) => {
      this.asking(false);
      this.strips[row].cells[at].focus();
      this.put(row, at, byte, MemoryWords.judged(said, right));
    };
    const legend = `${row} is about to do data[${at - mapping.offset}] = ${MemoryWords.literal(byte)}. Who will see it?`;
    this.question.replaceChildren(el("legend", null, legend), el("div", { class: "row" },
      Object.entries(MemoryWords.SEEN).map(([name, text]) => el("button", { type: "button", class: "button", onclick: () => answer(name) }, text))));
    this.asking(true);
    this.question.querySelector("button").focus();
    Lab.say(legend);
  }

  asking(wanted) {
    this.speech.classList.add("told");
    this.question.hidden = !wanted;
    this.sentence.hidden = wanted;
  }

  /* What is seen */

  tell([text, kind], before = "") {
    this.asking(false);
    this.sentence.className = `verdict ${kind}`;
    this.sentence.replaceChildren(...(before ? [Lab.el("strong", null, before)] : []), text);
    Lab.say(before + text);
  }

  keep() {
    const state = Object.values(this.processes).map((process) => process.saved).join("");
    Lab.link.set("memory", state === MemoryProcess.START.repeat(2) ? null : state);
  }

  everything() {
    const { memory } = this;
    return { file: memory.pages.map((byte, at) => (at < memory.size ? byte : -1)), A: memory.seen("A"), B: memory.seen("B") };
  }

  draw(was) {
    const now = this.everything();
    const isChanged = (row, at) => was && was[row][at] >= 0 && now[row][at] >= 0 && now[row][at] !== was[row][at];
    for (const [row, strip] of Object.entries(this.strips)) {
      strip.draw((at) => this.look(row, at, now[row][at], isChanged(row, at)), (page) => this.label(row, page), (page) => this.isOwn(row, page));
    }
    for (const process of Object.values(this.processes)) process.draw(this.memory.processes[process.who]);
  }

  look(row, at, byte, changed) {
    const { size, reach } = this.memory;
    const mapping = this.mapping(row);
    const usable = row === "file" || (mapping !== null && at >= mapping.offset);
    const tail = at >= size && at < reach;
    const marks = [];
    if (!usable) marks.push("out");
    else if (at >= reach || (row === "file" && tail)) marks.push("none");
    else if (tail) marks.push("tail");
    if (changed) marks.push("changed");
    return { byte, usable, marks, name: row === "file" || !usable ? `offset ${at}` : `data[${at - mapping.offset}], offset ${at}` };
  }

  isOwn(row, page) { return row !== "file" && this.memory.ownPages(row).includes(page); }

  label(row, page) {
    const { PAGE } = Lab.memory;
    const { size } = this.memory;
    const mapping = this.mapping(row);
    const start = page * PAGE;
    const past = start >= size;
    const span = (from) => `${from}–${from + PAGE - 1}`;
    if (row === "file") return past ? `the file ended at ${size}` : `page ${page}: offsets ${span(start)}`;
    if (!mapping || start < mapping.offset) return "not mapped";
    const whose = this.isOwn(row, page) ? `${row}'s own copy` : past ? "no page to map" : mapping.shared ? "the file's page" : "the file's page, until a store";
    return `data[${span(start - mapping.offset)}]: ${whose}`;
  }
}

Lab.section("tutorial", (root) => new MappingBoard(root));
