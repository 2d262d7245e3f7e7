/* The model: what mmap(2), loads, stores, read(2) and write(2) do, without a word about how it is drawn. A page in
   memory is shared by read(2), write(2) and all shared mappings; a private mapping has copies of the pages that it
   stored to. The part of the last page behind the end of the file is in memory only. */
Lab.memory = (() => {
  const PAGE = 16;
  const PAGES = 3;
  const TEXT = "Two processes map one file.";

  class Memory {
    constructor(text = TEXT) {
      this.size = text.length;
      this.pages = new Array(PAGE * PAGES).fill(0);
      [...text].forEach((character, at) => { this.pages[at] = character.charCodeAt(0); });
      this.processes = { A: { mapping: null, killed: "" }, B: { mapping: null, killed: "" } };
    }

    /* Bytes up to the end of the last page that the file reaches into. */
    get reach() { return Math.ceil(this.size / PAGE) * PAGE; }

    map(who, { shared, writable, offset }) {
      if (offset % PAGE) return "EINVAL";
      const copies = new Map();
      this.processes[who] = { mapping: { shared, writable, offset, length: PAGE * PAGES - offset, copies }, killed: "" };
      return "ok";
    }

    unmap(who) {
      this.processes[who].mapping = null;
      return "ok";
    }

    /* The byte data[index], or the signal that ends the process. */
    load(who, index) {
      const { offset } = this.processes[who].mapping;
      const at = offset + index;
      return at < this.reach ? this._page(who, at)[at % PAGE] : this._kill(who, "SIGBUS");
    }

    store(who, index, byte) {
      const mapping = this.processes[who].mapping;
      const at = mapping.offset + index;
      if (!mapping.writable) return this._kill(who, "SIGSEGV");
      if (at >= this.reach) return this._kill(who, "SIGBUS");
      if (mapping.shared) {
        this.pages[at] = byte;
        return "ok";
      }
      const copies = this._copied(who, at);
      mapping.copies.set(Math.floor(at / PAGE), this._page(who, at));
      this._page(who, at)[at % PAGE] = byte;
      return copies ? "ok" : "copied";
    }

    /* read(2) and write(2) of one byte of the file; nothing (-1) behind its end. */
    read(at) { return at < this.size ? this.pages[at] : -1; }

    write(at, byte) {
      if (at >= this.size) return "refused";
      this.pages[at] = byte;
      return "ok";
    }

    /* The bytes that a process would find, by their place in the file; -1 where it would find none. */
    seen(who) {
      const { mapping } = this.processes[who];
      return this.pages.map((_, at) => (!mapping || at < mapping.offset || at >= this.reach ? -1 : this._page(who, at)[at % PAGE]));
    }

    ownPages(who) {
      const { mapping } = this.processes[who];
      return mapping ? [...mapping.copies.keys()] : [];
    }

    _copied(who, at) { return this.processes[who].mapping.copies.has(Math.floor(at / PAGE)); }

    _page(who, at) {
      const page = Math.floor(at / PAGE);
      return this.processes[who].mapping.copies.get(page) || this.pages.slice(page * PAGE, (page + 1) * PAGE);
    }

    _kill(who, signal) {
      this.processes[who] = { mapping: null, killed: signal };
      return signal;
    }
  }

  return { PAGE, PAGES, TEXT, Memory };
})();
