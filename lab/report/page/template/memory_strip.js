/* A row of bytes: the file's, or those that a process finds in its mapping; a button a byte, a box a page. */
class MemoryStrip {
  /* `hears(at, character)` is told of a byte that is read (no character) or written, `chosen(at)` of one that has the
     focus. */
  constructor(label, columns, { hears, chosen }) {
    const { PAGE, PAGES } = Lab.memory;
    this.cells = Array.from({ length: PAGE * PAGES }, (_, at) => this.cell(at, hears, chosen));
    this.pages = Array.from({ length: PAGES }, (_, page) => Lab.el("div", { class: "page" },
      Lab.el("div", { class: "label" }),
      Lab.el("div", { class: "cells" }, this.cells.slice(page * PAGE, (page + 1) * PAGE))));
    this.element = Lab.el("div", { class: "strip", role: "group", "aria-label": label }, this.pages);
    this.refresh = Lab.roving(this.element, () => this.cells, columns);
  }

  cell(at, hears, chosen) {
    return Lab.el("button", {
      type: "button",
      class: "cell",
      onclick: () => { chosen(at); hears(at); },
      onfocus: () => chosen(at),
      onkeydown: (event) => {
        if (event.key.length !== 1 || event.key < " " || event.key > "~" || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        hears(at, event.key);
      },
      onkeyup: (event) => { if (event.key === " ") event.preventDefault(); },
    });
  }

  /* `look(at)`: its byte (-1 for none), its name, its marks, and whether it can be touched. */
  draw(look, label, owned) {
    this.cells.forEach((button, at) => {
      const { byte, name, marks, usable } = look(at);
      const text = byte < 0 ? "" : byte === 0 ? "\\0" : byte === 32 ? "␣" : String.fromCharCode(byte);
      if (button.textContent !== text) button.textContent = text;
      button.className = ["cell", ...marks].join(" ");
      button.disabled = !usable;
      button.setAttribute("aria-label", `${name}: ${byte >= 0 ? MemoryWords.literal(byte) : usable ? "behind the end of the file" : "not mapped"}`);
    });
    this.pages.forEach((page, number) => {
      page.firstChild.textContent = label(number);
      page.classList.toggle("own", owned(number));
    });
    this.refresh();
  }
}
