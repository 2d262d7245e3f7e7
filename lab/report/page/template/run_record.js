/* A recorded trial, unpacked: times from the steps between them, lanes, names and values of bytes. */
const RunRecord = (() => {
  const LOAD = 0, STORE = 1, NEVER = -1;

  const sums = (steps) => {
    let time = 0;
    return Float64Array.from(steps, (step) => (time += step));
  };

  /* Spans that follow one another: `begins` and `ends` rise, `busy[i]` is the time covered by the first i of them. */
  const spans = (items) => {
    const busy = new Float64Array(items.length + 1);
    items.forEach(([begin, end], at) => { busy[at + 1] = busy[at] + (end - begin); });
    return {
      begins: Float64Array.from(items, (item) => item[0]),
      ends: Float64Array.from(items, (item) => item[1]),
      numbers: items.map((item) => item[2]),
      busy,
    };
  };

  /* Spans of one worker that overlap, as nested locks do, on as many tracks as it takes. */
  const stacked = (items) => {
    const tracks = [];
    for (const item of items) {
      const free = tracks.find((track) => track[track.length - 1][1] <= item[0]);
      if (free) free.push(item);
      else tracks.push([item]);
    }
    return tracks.map(spans);
  };

  /* The first place in a rising array whose value is above this one. */
  const above = (values, value) => {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] > value) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  const meet = (one, other) => (one.write || other.write)
    && (!one.length || other.start < one.start + one.length) && (!other.length || one.start < other.start + other.length);

  /* Until when a lock that was not given back was held at the most: its holder ended, another was let in, or came in its place. */
  const freed = (hold, holds, last) => holds.reduce((until, other) => {
    const next = other.worker === hold.worker ? other.requested : other.granted;
    return next !== null && next > hold.granted && next < until && meet(hold, other) ? next : until;
  }, last);

  const unpacked = (part) => {
    const { holds: h, accesses: a } = part;
    const requested = sums(h.requested), begun = sums(a.begun);
    let last = part.wall;
    requested.forEach((time, i) => { last = Math.max(last, time + Math.max(0, h.waited[i]) + Math.max(0, h.held[i])); });
    begun.forEach((time, i) => { last = Math.max(last, time + Math.max(0, a.took[i])); });
    const holds = Array.from(requested, (time, i) => {
      const granted = h.waited[i] === NEVER ? null : time + h.waited[i];
      const released = granted === null || h.held[i] === NEVER ? null : granted + h.held[i];
      return { worker: h.worker[i], requested: time, granted, released, until: released, start: h.start[i], length: h.length[i], write: h.write[i] };
    });
    holds.filter((hold) => hold.granted !== null && hold.released === null).forEach((hold) => { hold.until = freed(hold, holds, last); });
    const accesses = Array.from(begun, (time, i) => ({
      worker: a.worker[i], round: a.round[i], kind: a.kind[i], begun: time,
      ended: a.took[i] === NEVER ? last : time + a.took[i], start: a.start[i], length: a.length[i], bytes: a.bytes[i],
    }));
    const first = Math.min(0, requested.length ? requested[0] : 0, begun.length ? begun[0] : 0);
    const lanes = part.lanes.map(([worker, name]) => laneOf(worker, name, holds, accesses, last));
    const problems = part.problems.map(([kind, at, since, until, start, end, workers, sentence, shown]) => (
      { kind, at, since, until, start, end, workers, sentence, shown }));
    const marks = [...problems, ...marked(part)];
    return { part, holds, accesses, lanes, problems, marks, from: first, to: Math.max(last, first + 1) };
  };

  /* What went wrong and is marked only: there are too many for words. */
  const marked = ({ marked: { kinds, kind, at, start, end } }) => {
    const times = sums(at);
    return kind.map((number, i) => ({ kind: kinds[number], at: times[i], start: start[i], end: end[i] }));
  };

  const laneOf = (worker, name, holds, accesses, last) => {
    const mine = holds.map((hold, i) => [hold, i]).filter(([hold]) => hold.worker === worker);
    const touched = accesses.map((access, i) => [access, i]).filter(([access]) => access.worker === worker);
    const of = (kind) => spans(touched.filter(([access]) => access.kind === kind).map(([x, i]) => [x.begun, x.ended, i]));
    return {
      worker, name, colour: worker % 8,
      waits: stacked(mine.map(([hold, i]) => [hold.requested, hold.granted === null ? last : hold.granted, i])),
      holds: stacked(mine.filter(([hold]) => hold.granted !== null)
        .map(([hold, i]) => [hold.granted, hold.until, i])),
      loads: of(LOAD), stores: of(STORE),
    };
  };

  /* The plain value that holds a byte: its name, first byte and size. */
  const valueAt = (part, at) => {
    for (const [name, start, size, kind, dimensions] of part.fields) {
      let rest = at - start, full = name, inside = true;
      for (const [count, stride] of dimensions) {
        const index = Math.floor(rest / stride);
        inside = inside && index >= 0 && index < count;
        rest -= index * stride;
        full = full.replace("[]", `[${index}]`);
      }
      if (inside && rest >= 0 && rest < size) return { name: full, field: name, start: at - rest, size, kind };
    }
    return null;
  };

  const nameOf = (part, start, length) => {
    const first = valueAt(part, start);
    if (first && first.start === start && first.size === length) return first.name;
    const field = part.fields.find(([, at, , , dimensions]) => at === start && dimensions.length && dimensions[0][0] * dimensions[0][1] === length);
    if (field) return field[0].split("[]")[0];
    const end = valueAt(part, start + length - 1);
    return first && end ? `${first.name} to ${end.name}` : `bytes ${start} to ${start + length - 1}`;
  };

  /* Hexadecimal digits in words: the number, where they are one value. Where the values are not known (`part.words`) the
     place in the program stands instead of them. */
  const valueOf = (part, start, length, digits) => {
    if (part.words) return digits;
    const value = valueAt(part, start);
    const pairs = digits.match(/../g) || [];
    if (value && value.start === start && value.size === length && pairs.length === length && value.kind.endsWith("signed")) {
      const number = BigInt(`0x${(part.order === "little" ? [...pairs].reverse() : pairs).join("")}`);
      const told = value.kind === "signed" ? BigInt.asIntN(8 * length, number) : number;
      return told >= 4294967296n ? `0x${told.toString(16)}` : told.toLocaleString("en");
    }
    return pairs.length < length ? `${length.toLocaleString("en")} bytes (${pairs.join(" ")} ...)` : pairs.join(" ");
  };

  const hundredths = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const moment = (ns) => `${hundredths.format(ns / 1000)} us`;
  const span = (ns) => (ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : ns >= 1e3 ? `${(ns / 1e3).toFixed(2)} us` : `${Math.round(ns)} ns`);
  /* What a lock is on, as in `lock value (shared)`. */
  const locked = (part, { start, length, write }) => `${length ? nameOf(part, start, length) : "the whole file"}${write ? "" : " (shared)"}`;

  return { LOAD, STORE, unpacked, above, valueAt, nameOf, valueOf, moment, span, locked };
})();
