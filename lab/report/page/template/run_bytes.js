/* The bytes of the file at the end, coloured by who stored them last; rows outside of the window are not drawn. */
const RunBytes = (() => {
  const { el } = Lab;
  const ROW = 24, LABEL = 96;

  /* Rows of at most `per` neighbours; a row begins with each field, and each gap of zeros is one row. */
  const rowsOf = (part, per) => {
    const starts = new Set(part.fields.map((field) => field[1]));
    const rows = [];
    let end = 0;
    for (const [block, digits] of part.blocks) {
      const last = Math.min(block + digits.length / 2, part.size);
      if (block > end) rows.push({ start: end, gap: block - end });
      for (let at = block; at < last;) {
        let count = 1;
        while (count < per && at + count < last && !starts.has(at + count)) count += 1;
        rows.push({ start: at, count, digits: digits.slice(2 * (at - block), 2 * (at - block + count)) });
        at += count;
      }
      end = last;
    }
    return rows;
  };

  /* The stretches of bytes that any of these is about, from first to last. */
  const joined = (all) => {
    const found = [];
    for (const { start, end } of [...all].sort((a, b) => a.start - b.start)) {
      const last = found[found.length - 1];
      if (last && start <= last[1]) last[1] = Math.max(last[1], end);
      else found.push([start, end]);
    }
    return found;
  };

  const make = (record, name, jump) => {
    const { valueAt, valueOf, nameOf, moment, above } = RunRecord;
    const { part } = record;
    const canvas = el("canvas", { class: "bytes", "data-shapes": 0 });
    const space = el("div", { class: "bytes-space" });
    const frame = el("div", {
      class: "bytes-frame", tabindex: 0, role: "slider", "aria-label": "Byte of the file", "aria-orientation": "horizontal",
      "aria-valuemin": 0, "aria-valuemax": Math.max(0, part.size - 1), "aria-valuenow": 0, "aria-valuetext": "byte 0",
    }, el("div", { class: "bytes-stick" }, canvas), space);
    const about = el("div", { class: "about" });
    const ends = Float64Array.from(part.origins, (origin) => origin[1]);
    const hurt = record.marks.filter((each) => record.harm && each.end > each.start && each.kind !== "ended inside" && each.kind !== "stuck");
    const state = { at: part.blocks.length ? part.blocks[0][0] : 0, rows: [], per: 0 };

    const originOf = (at) => {
      const origin = part.origins[above(ends, at)];
      return origin && origin[0] <= at ? origin : null;
    };
    const hits = (at) => hurt.filter((each) => each.start <= at && at < each.end);
    const stretches = joined(hurt), begins = stretches.map(([begin]) => begin);
    const isDamaged = (at) => {
      const [, end] = stretches[above(begins, at) - 1] || [];
      return at < end;
    };

    const layout = () => {
      const room = frame.clientWidth - LABEL - 16;
      const per = [32, 16, 8].find((each) => each * 20 <= room) || 4;
      if (per !== state.per) {
        state.per = per;
        state.rows = rowsOf(part, per);
        state.begins = Float64Array.from(state.rows, (row) => row.start);
        frame.style.height = `${Math.min(state.rows.length * ROW + 4, 316)}px`;
        space.style.height = `${state.rows.length * ROW}px`;
      }
      state.cell = Math.min(26, room / state.per);
    };

    let wanted = false;
    const want = () => {
      if (!wanted) requestAnimationFrame(draw);
      wanted = true;
    };
    const colour = (each) => getComputedStyle(document.documentElement).getPropertyValue(each).trim();
    const draw = () => {
      wanted = false;
      if (!frame.clientWidth) return;
      layout();
      const width = frame.clientWidth, height = frame.clientHeight, ratio = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      const ink = { ink: colour("--ink"), quiet: colour("--quiet"), paper: colour("--paper"), accent: colour("--accent"), workers: Array.from({ length: 8 }, (_, i) => [colour(`--worker-${i}`), colour(`--on-worker-${i}`)]) };
      let shapes = 0;
      const first = Math.floor(frame.scrollTop / ROW);
      for (let row = first; row < Math.min(state.rows.length, first + Math.ceil(height / ROW) + 1); row += 1) {
        const y = row * ROW - frame.scrollTop, each = state.rows[row];
        pen.font = "11px system-ui, sans-serif";
        pen.fillStyle = ink.quiet;
        const label = each.gap ? "" : (valueAt(part, each.start) || { name: `byte ${each.start}` }).name;
        pen.fillText(label, 2, y + 16, LABEL - 8);
        shapes += 1;
        if (each.gap) {
          pen.fillText(`${each.gap.toLocaleString("en")} bytes of zeros`, LABEL, y + 16);
          continue;
        }
        pen.font = `${state.cell < 22 ? 10 : 11.5}px ui-monospace, Menlo, monospace`;
        for (let i = 0; i < each.count; i += 1) shapes += cell(pen, each.start + i, each.digits.slice(2 * i, 2 * i + 2), LABEL + i * state.cell, y, ink);
      }
      canvas.dataset.shapes = shapes;
    };
    const cell = (pen, at, digits, x, y, ink) => {
      const origin = originOf(at), size = state.cell - 2;
      const lane = origin && origin[2] >= 0 ? record.accesses[origin[2]].worker % 8 : null;
      pen.fillStyle = lane === null ? ink.paper : ink.workers[lane][0];
      pen.fillRect(x, y + 2, size, ROW - 4);
      const on = lane === null ? ink.ink : ink.workers[lane][1];
      pen.fillStyle = on;
      pen.textAlign = "center";
      pen.fillText(digits, x + size / 2, y + 16);
      pen.textAlign = "left";
      if (isDamaged(at)) {
        pen.beginPath();
        pen.moveTo(x + size - 8, y + 2);
        pen.lineTo(x + size, y + 2);
        pen.lineTo(x + size, y + 10);
        pen.fill();
      }
      if (at === state.at) {
        pen.lineWidth = 2;
        pen.strokeStyle = ink.paper;
        pen.strokeRect(x + 1, y + 3, size - 2, ROW - 6);
        pen.strokeStyle = ink.accent;
        pen.strokeRect(x - 1, y + 1, size + 2, ROW - 2);
      }
      return 3;
    };

    const digitsAt = (at) => {
      const row = state.rows[above(state.begins, at) - 1];
      return row && row.digits ? row.digits.slice(2 * (at - row.start), 2 * (at - row.start) + 2) : "00";
    };
    const store = (number) => {
      const each = record.accesses[number];
      return `${name(each.worker)} (round ${each.round + 1}, stored at ${moment(each.begun)})`;
    };
    /* Whose byte it is and what it overwrote, in sentences. */
    const story = (at) => {
      const value = valueAt(part, at), origin = originOf(at);
      const where = value ? (value.size > 1 ? `Byte ${at - value.start} of ${value.name}` : value.name) : `Byte ${at}`;
      const told = [`${where} is 0x${digitsAt(at)}.`];
      if (!origin) return [...told, "Nobody stored to it: it is as it was before."];
      const [start, end, by, over, certain, agrees, old] = origin;
      const before = start + old.length / 2 >= end ? valueOf(part, start, end - start, old) : `0x${old.slice(2 * (at - start), 2 * (at - start) + 2) || "?"}`;
      if (by < 0) return [...told, `It was ${before} before, and no recorded store changed it: it was changed in another way.`];
      const stored = record.accesses[by];
      if (!agrees) told.push(`That is not what was stored last, by ${store(by)}: it came here another way, or never reached the file.`);
      else told.push(`It was left by ${store(by)}, as part of ${nameOf(part, stored.start, stored.length)} = ${valueOf(part, stored.start, stored.length, stored.bytes)}.`);
      told.push(over < 0 ? `It overwrote ${before}, which lay there before the first store.` : `It overwrote ${before} of ${store(over)}.`);
      if (!certain) told.push("Another store overlapped it in time and left the same byte here: which came last cannot be told.");
      return told;
    };

    const times = (count) => (count === 1 ? "once" : `${count.toLocaleString("en")} times`);
    const tell = (at) => {
      const told = story(at), hit = hits(at);
      about.replaceChildren(el("p", {}, told.join(" ")));
      if (hit.length) {
        about.append(el("p", {}, el("strong", {}, `Hit ${times(hit.length)}. `), `First: ${hit[0].sentence || `${hit[0].kind}, at ${moment(hit[0].at)}.`}`));
        if (hit[0].sentence) about.append(el("button", { class: "button", type: "button", onclick: () => jump(record.problems.indexOf(hit[0])) }, "Show it in the timeline"));
      }
      frame.setAttribute("aria-valuenow", at);
      frame.setAttribute("aria-valuetext", `${told.join(" ")}${hit.length ? ` Hit ${times(hit.length)}.` : ""}`);
    };
    const go = (at, scroll = true) => {
      state.at = at;
      if (scroll) {
        const y = (above(state.begins, at) - 1) * ROW;
        if (y < frame.scrollTop) frame.scrollTop = y;
        if (y + ROW > frame.scrollTop + frame.clientHeight) frame.scrollTop = y + ROW - frame.clientHeight;
      }
      tell(at);
      want();
    };
    /* The byte so many bytes or rows further on, over gaps. */
    const beside = (by) => {
      const at = state.at + by;
      let row = above(state.begins, state.at) - 1;
      const now = state.rows[row];
      if (at >= now.start && at < now.start + now.count) return at;
      row += Math.sign(by);
      while (state.rows[row] && state.rows[row].gap) row += Math.sign(by);
      if (!state.rows[row]) return state.at;
      const { start, count } = state.rows[row];
      if (Math.abs(by) === 1) return by > 0 ? start : start + count - 1;
      return start + Math.min(count - 1, state.at - now.start);
    };
    const nextDamaged = () => {
      const all = state.rows.filter((row) => !row.gap).flatMap((row) => Array.from({ length: row.count }, (_, i) => row.start + i));
      const here = all.indexOf(state.at);
      const found = [...all.slice(here + 1), ...all.slice(0, here + 1)].find(isDamaged);
      if (found !== undefined) go(found);
    };
    const edge = (last) => {
      const rows = state.rows.filter((row) => !row.gap);
      const row = rows[last ? rows.length - 1 : 0];
      return row.start + (last ? row.count - 1 : 0);
    };
    frame.addEventListener("keydown", (event) => {
      const to = {
        ArrowRight: () => beside(1), ArrowLeft: () => beside(-1), ArrowDown: () => beside(state.per), ArrowUp: () => beside(-state.per),
        Home: () => edge(false), End: () => edge(true),
      }[event.key];
      if (event.altKey || event.ctrlKey || event.metaKey || !to || !state.rows.length) return;
      event.preventDefault();
      go(to());
    });
    const under = (event) => {
      const box = canvas.getBoundingClientRect();
      const row = state.rows[Math.floor((event.clientY - box.top + frame.scrollTop) / ROW)];
      const at = row && !row.gap ? Math.floor((event.clientX - box.left - LABEL) / state.cell) : -1;
      if (at >= 0 && at < row.count && row.start + at !== state.at) go(row.start + at, false);
    };
    frame.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") under(event); });
    frame.addEventListener("pointerdown", under);
    frame.addEventListener("scroll", want);
    new ResizeObserver(want).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", want);

    return { frame, about, go, nextDamaged, some: hurt.length > 0, start: () => { layout(); if (state.rows.length) go(firstHurt()); } };

    function firstHurt() {
      const first = record.problems[part.first];
      const start = first && first.end > first.start ? first.start : state.at;
      return state.rows.some((row) => !row.gap && row.start <= start && start < row.start + row.count) ? start : state.at;
    }
  };

  return { make };
})();
