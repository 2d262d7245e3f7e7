/* What happened in section 1, in words: [sentence, good or bad or nothing]. */
const MemoryWords = (() => {
  const { PAGE, PAGES } = Lab.memory;
  const LENGTH = PAGE * PAGES;
  const ESCAPED = { 0: "\\0", 39: "\\'", 92: "\\\\" };
  const literal = (byte) => `'${ESCAPED[byte] || String.fromCharCode(byte)}'`;

  const SIGNALS = {
    SIGBUS: "the whole page lies behind the end of the file, and there is nothing to map there",
    SIGSEGV: "the page is mapped with PROT_READ only, and the MMU lets no store through",
  };
  const killed = (who, signal) => [`${signal}: ${SIGNALS[signal]}. The kernel kills ${who}; its mapping goes with it, the file stays.`, "bad"];

  const map = (who, { shared, writable, offset }, answer) => {
    const prot = writable ? "PROT_READ | PROT_WRITE" : "PROT_READ";
    const call = `${who}: data = mmap(NULL, ${LENGTH - offset}, ${prot}, ${shared ? "MAP_SHARED" : "MAP_PRIVATE"}, fd, ${offset})`;
    if (answer === "EINVAL") return [`${call} is MAP_FAILED, errno EINVAL: an offset has to be a multiple of the page size, ${PAGE} here.`, "bad"];
    return [`${call}. Now data[0] is the byte at offset ${offset} of the file.`, "good"];
  };

  const unmap = (who, copies) => [`${who}: munmap(data, …). The file stays as it is${copies ? `; the copies that ${who} had made are gone` : ""}.`, ""];

  const load = (who, index, at, byte, size) => [at < size
    ? `${who}: c = data[${index}]. The byte at offset ${at} is ${literal(byte)}.`
    : `${who}: c = data[${index}]. Offset ${at} is behind the end of the file, but in its last page: it reads as ${literal(byte)}.`, ""];

  const read = (at, byte, size) => [byte < 0 ? `read() at offset ${at} gives nothing: the file ends at ${size}.` : `read(): the byte at offset ${at} is ${literal(byte)}.`, ""];

  const write = (at, byte, answer, seers) => {
    if (answer !== "ok") return [`Offset ${at} is behind the end of the file: a write() there would make it longer, and here it keeps its length.`, ""];
    const others = seers.length ? `, and ${seers.join(" and ")} ${seers.length > 1 ? "find" : "finds"} it through the mapping` : "";
    return [`write(): ${literal(byte)} at offset ${at}${others}.`, "good"];
  };

  /* `others` are the processes that find the byte, the one that stored it left out. */
  const store = (who, index, at, byte, { shared, copied, inside, others }) => {
    const call = `${who}: data[${index}] = ${literal(byte)}.`;
    const too = others.length ? `, and so does ${others.join(" and ")}` : "";
    if (copied) return [`${call} It is the first store to this page, so ${who} gets a copy of its own (copy-on-write) and stores there. Nobody else sees it, and it never reaches the file.`, "good"];
    if (!shared) return [`${call} It goes to ${who}'s own copy of the page: nobody else sees it.`, "good"];
    if (inside) return [`${call} A shared mapping is the file: read() finds it at offset ${at}${too}.`, "good"];
    return [`${call} It is in the page now, behind the end of the file: ${others.length ? `${others.join(" and ")} sees it, ` : ""}read() does not, and it is not written back.`, "good"];
  };

  /* First predict: who will see a store? */
  const SEEN = {
    all: "Whoever reads the file or shares the page",
    page: "Whoever shares the page, but nobody who reads the file",
    own: "Nobody but the writer",
    killed: "Nobody: the writer is killed",
  };
  const seenBy = (mapping, at, size, reach) => {
    if (!mapping.writable || at >= reach) return "killed";
    if (!mapping.shared) return "own";
    return at < size ? "all" : "page";
  };
  const judged = (said, right) => (said === right ? "Right. " : `Not quite: ${SEEN[right].toLowerCase()}. `);

  return { literal, killed, map, unmap, load, read, write, store, SEEN, seenBy, judged };
})();
