/* A process of section 1: how it calls mmap, and the bytes that it finds. */
class MemoryProcess {
  static START = "msw0";
  static OFFSETS = { 0: 0, 1: 16, 5: 5 };

  /* `saved` is its state as the link has it: m(apped) or u, s(hared) or p, w(ritable) or r, and the offset. */
  constructor(who, number, saved, strip, { maps, unmaps }) {
    const { el } = Lab;
    this.who = who;
    this.strip = strip;
    this.kind = this.select("flags", [["s", "MAP_SHARED"], ["p", "MAP_PRIVATE"]], saved[1]);
    this.prot = this.select("prot", [["w", "PROT_READ | PROT_WRITE"], ["r", "PROT_READ"]], saved[2]);
    this.offset = this.select("offset", [["0", "0"], ["1", "16"], ["5", "5"]], saved[3]);
    this.map = el("button", { type: "button", class: "button", onclick: () => maps(this) }, "Map");
    this.unmap = el("button", { type: "button", class: "button", onclick: () => { unmaps(this); this.map.focus(); } }, "Unmap");
    this.state = el("span", { class: "hint" });
    this.mapped = saved[0] === "m";
    const boxes = [this.kind, this.prot, this.offset];
    boxes.forEach((box) => box.addEventListener("change", () => { if (this.mapped) maps(this); }));
    this.element = el("div", { class: `process worker-${number}` },
      el("div", { class: "row" }, el("h3", null, `Process ${who}`), this.state),
      el("div", { class: "row controls" }, boxes.map((box) => box.parentElement), this.map, this.unmap),
      strip.element);
  }

  select(label, options, value) {
    const { el } = Lab;
    const id = `${label}-${this.who}`;
    const box = el("select", { id }, options.map(([name, text]) => el("option", { value: name, selected: name === value }, text)));
    el("span", { class: "labelled" }, el("label", { for: id }, label), box);
    return box;
  }

  get options() {
    return { shared: this.kind.value === "s", writable: this.prot.value === "w", offset: MemoryProcess.OFFSETS[this.offset.value] };
  }

  get saved() { return [this.mapped ? "m" : "u", this.kind.value, this.prot.value, this.offset.value].join(""); }

  reset() {
    [this.kind.value, this.prot.value, this.offset.value] = ["s", "w", "0"];
  }

  draw({ mapping, killed }) {
    this.mapped = mapping !== null;
    this.state.textContent = mapping ? "" : killed ? `killed by ${killed}; Map starts it again` : "nothing is mapped";
    this.unmap.disabled = !mapping;
    this.map.textContent = mapping ? "Map anew" : "Map";
    this.map.classList.toggle("primary", !mapping);
  }
}
