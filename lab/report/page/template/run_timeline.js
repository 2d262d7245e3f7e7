/* The timeline: one lane a worker, drawn on a canvas. A frame draws no more than fits its pixels, however many holds
   there are: what is narrower than a pixel is merged, as high as its share of the time. */
const RunTimeline = (() => {
  const { el } = Lab;
  const HEAD = 22, FOOT = 24, NARROWEST_NS = 50, COLUMN = 2;  // pixels, ns, pixels

  const make = (record, { chosen, viewed }) => {
    const { above, moment, span, locked, nameOf, valueOf, STORE } = RunRecord;
    const canvas = el("canvas", { class: "timeline", "data-shapes": 0 });
    const frame = el("div", {
      class: "timeline-frame", tabindex: 0, role: "application", "aria-roledescription": "timeline",
      "aria-label": "Who waited and who held when, one lane a worker. Plus and minus zoom, left and right move, 0 shows all, n and p go to the next and previous damage.",
    }, canvas);
    const under = el("p", { class: "hint under" }, "");
    const strip = el("canvas", { class: "overview", "aria-hidden": "true" });
    const view = { from: record.from, to: record.to, event: null };
    const paint = { shapes: 0, wanted: false };
    const total = record.to - record.from;
    const TOUCHED = record.holds.length ? 40 : 20, LANE = TOUCHED + 22;  // where loads begin in a lane, and its height

    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    let palette = null;
    const colours = () => {
      palette = palette || {
        ink: colour("--ink"), paper: colour("--paper"), soft: colour("--soft"), line: colour("--line"), quiet: colour("--quiet"),
        bad: colour("--bad"), accent: colour("--accent"),
        workers: Array.from({ length: 8 }, (_, i) => [colour(`--worker-${i}`), colour(`--on-worker-${i}`)]),
      };
      return palette;
    };

    const sized = (target, width, height) => {
      const ratio = window.devicePixelRatio || 1;
      if (target.width !== Math.round(width * ratio) || target.height !== Math.round(height * ratio)) {
        target.width = Math.round(width * ratio);
        target.height = Math.round(height * ratio);
        target.style.height = `${height}px`;
      }
      const pen = target.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      return pen;
    };

    /* What is to be drawn of a track: [left, right, share of the time, number or null where several are merged]. */
    const merged = (track, from, to, width) => {
      const found = [], per = (to - from) / width, x = (time) => (time - from) / per;
      let i = above(track.ends, from);
      while (i < track.begins.length && track.begins[i] < to) {
        const left = Math.max(-2, x(track.begins[i])), right = Math.min(width + 2, x(track.ends[i]));
        if (right - left >= COLUMN) {
          found.push([left, right, 1, track.numbers[i]]);
          i += 1;
          continue;
        }
        const pixel = COLUMN * Math.floor(left / COLUMN);
        const next = Math.max(i + 1, above(track.begins, from + (pixel + COLUMN) * per));
        const share = Math.ceil(8 * Math.min(1, (track.busy[next] - track.busy[i]) / (COLUMN * per))) / 8;
        const last = found[found.length - 1];
        const number = next === i + 1 ? track.numbers[i] : null;
        if (last && number === null && last[3] === null && last[1] === pixel && last[2] === share) last[1] = pixel + COLUMN;
        else found.push(number === null ? [pixel, pixel + COLUMN, share, null] : [left, right, 1, number]);
        i = next;
      }
      return found;
    };

    const box = (pen, left, top, width, height) => {
      pen.fillRect(left, top, width, height);
      paint.shapes += 1;
    };
    const words = (pen, say, left, top, room) => {
      if (room < 24) return;
      const text = say();
      if (pen.measureText(text).width > room) return;
      pen.fillText(text, left, top);
      paint.shapes += 1;
    };

    const lane = (pen, each, top, width) => {
      const [mine, on] = colours().workers[each.colour];
      const { from, to } = view;
      pen.fillStyle = colours().line;
      box(pen, 0, top + LANE - 1, width, 1);
      pen.strokeStyle = mine;
      each.waits.forEach((track) => merged(track, from, to, width).forEach(([left, right]) => {
        pen.fillStyle = mine;
        box(pen, left, top + 27, Math.max(1, right - left), 2);
        if (right - left < 6) return;
        pen.lineWidth = 1;
        pen.beginPath();
        for (let at = Math.max(0, left) + 3; at < Math.min(width, right); at += 6) {
          pen.moveTo(at, top + 31);
          pen.lineTo(at + 3, top + 24);
        }
        pen.stroke();
        paint.shapes += 1;
      }));
      each.holds.forEach((track, depth) => merged(track, from, to, width).forEach(([left, right, share, number]) => {
        const full = depth ? 12 : 18, high = Math.max(3, full * share);
        pen.fillStyle = mine;
        box(pen, left, top + 18 + (18 - high) / 2, Math.max(1, right - left), high);
        if (depth && right - left > 5) {
          pen.strokeStyle = colours().paper;
          pen.strokeRect(left + 0.5, top + 21.5, Math.max(0, right - left - 1), 11);
          paint.shapes += 1;
        }
        if (number !== null && right - left > 60 && !depth) {
          pen.fillStyle = on;
          const hold = record.holds[number];
          words(pen, () => `${hold.write ? "write" : "read"} ${hold.length ? nameOf(record.part, hold.start, hold.length) : "whole file"}`, Math.max(0, left) + 5, top + 31, Math.min(width, right) - Math.max(0, left) - 8);
        }
      }));
      [[each.loads, 0], [each.stores, 1]].forEach(([track, isStore]) => merged(track, from, to, width).forEach(([left, right, , number]) => {
        const y = top + TOUCHED + (isStore ? 10 : 0), wide = Math.max(isStore ? 2 : 1.5, right - left);
        if (isStore || wide < 5) {
          pen.fillStyle = mine;
          box(pen, left, y, wide, 8);
        } else {
          pen.strokeStyle = mine;
          pen.lineWidth = 1;
          pen.strokeRect(left + 0.5, y + 0.5, wide - 1, 7);
          paint.shapes += 1;
        }
        if (number === null) return;
        const access = record.accesses[number], next = track.begins[above(track.begins, access.begun)];
        const end = Math.min(width, next === undefined ? width : ((next - from) / (to - from)) * width);
        pen.fillStyle = colours().ink;
        words(pen, () => `${isStore ? "store" : "load"} ${valueOf(record.part, access.start, access.length, access.bytes)}`, right + 3, y + 8, end - right - 6);
      }));
      pen.fillStyle = mine;
      pen.font = FONT_BOLD;
      const label = pen.measureText(each.name).width;
      pen.fillStyle = colours().paper;
      box(pen, 0, top + 2, label + 8, 14);
      pen.fillStyle = mine;
      words(pen, () => each.name, 4, top + 13, width);
      pen.font = FONT;
    };

    const axis = (pen, width, height) => {
      const wanted = ((view.to - view.from) / width) * 110;
      const power = 10 ** Math.floor(Math.log10(wanted));
      const step = power * [1, 2, 5, 10].find((each) => each * power >= wanted);
      pen.fillStyle = colours().quiet;
      for (let at = Math.ceil(view.from / step) * step; at < view.to; at += step) {
        const x = ((at - view.from) / (view.to - view.from)) * width;
        box(pen, x, height - FOOT, 1, 5);
        const text = step >= 1e6 ? `${Number((at / 1e6).toFixed(3))} ms` : step >= 10 ? `${Number((at / 1e3).toFixed(3))} us` : `${Number(at.toFixed(1))} ns`;
        words(pen, () => text, x + 3, height - 7, width - x - 4);
      }
    };

    const triangle = (pen, x, size) => {
      pen.beginPath();
      pen.moveTo(x - size, HEAD - 2 * size - 1);
      pen.lineTo(x + size, HEAD - 2 * size - 1);
      pen.lineTo(x, HEAD - 1);
      pen.fill();
      paint.shapes += 1;
    };
    const events = (pen, width, height) => {
      const x = (time) => ((time - view.from) / (view.to - view.from)) * width;
      pen.fillStyle = colours().bad;
      let last = -99;
      for (const each of record.marks) {
        const at = x(each.at);
        if (at < 0 || at > width || at - last < 5) continue;
        triangle(pen, at, 4);
        last = at;
      }
      const now = record.problems[view.event];
      if (!now) return;
      pen.fillStyle = colours().bad;
      const at = x(now.at);
      triangle(pen, at, 7);
      pen.globalAlpha = 0.5;
      box(pen, at - 0.5, HEAD, 1, height - HEAD - FOOT);
      pen.globalAlpha = 1;
      now.shown.forEach((number, order) => numbered(pen, record.accesses[number], order + 1, x));
    };
    const numbered = (pen, access, order, x) => {
      const row = record.lanes.findIndex((each) => each.worker === access.worker);
      if (row < 0) return;
      const top = HEAD + row * LANE + TOUCHED + (access.kind === STORE ? 10 : 0);
      const left = x(access.begun), right = Math.max(left + 3, x(access.ended));
      pen.strokeStyle = colours().bad;
      pen.lineWidth = 2;
      pen.strokeRect(left - 2, top - 2, right - left + 4, 12);
      pen.fillStyle = colours().bad;
      pen.beginPath();
      pen.arc(left - 10, top + 4, 7.5, 0, 7);
      pen.fill();
      pen.fillStyle = colours().paper;
      pen.textAlign = "center";
      pen.font = FONT_BOLD;
      pen.fillText(String(order), left - 10, top + 8);
      pen.font = FONT;
      pen.textAlign = "left";
      paint.shapes += 3;
    };

    const FONT = "11px system-ui, sans-serif", FONT_BOLD = "600 11px system-ui, sans-serif";
    const draw = () => {
      paint.wanted = false;
      const width = frame.clientWidth, height = HEAD + record.lanes.length * LANE + FOOT;
      if (!width) return;
      const pen = sized(canvas, width, height);
      paint.shapes = 0;
      pen.font = FONT;
      record.lanes.forEach((each, row) => lane(pen, each, HEAD + row * LANE, width));
      axis(pen, width, height);
      events(pen, width, height);
      canvas.dataset.shapes = paint.shapes;
      canvas.dataset.from = Math.round(view.from);
      canvas.dataset.to = Math.round(view.to);
      overview();
    };
    const overview = () => {
      const width = strip.clientWidth, high = 34;
      const pen = sized(strip, width, high);
      const x = (time) => ((time - record.from) / total) * width;
      record.lanes.forEach((each, row) => {
        const top = 6 + (row * (high - 8)) / record.lanes.length, tall = Math.max(1, (high - 8) / record.lanes.length - 1);
        pen.fillStyle = colours().workers[each.colour][0];
        const tracks = each.holds.length ? each.holds.slice(0, 1) : [each.stores];
        tracks.forEach((track) => merged(track, record.from, record.to, width).forEach(([left, right]) => pen.fillRect(left, top, Math.max(1, right - left), tall)));
      });
      pen.fillStyle = colours().bad;
      let last = -9;
      for (const each of record.marks) {
        if (x(each.at) - last < 2) continue;
        last = x(each.at);
        pen.fillRect(last - 1, 0, 2, 5);
      }
      const left = x(view.from), right = Math.max(left + 3, x(view.to));
      pen.strokeStyle = colours().accent;
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, 1, right - left - 2, high - 2);
    };
    const want = () => {
      if (!paint.wanted) requestAnimationFrame(draw);
      paint.wanted = true;
    };

    const show = (from, to) => {
      const wide = Math.min(total, Math.max(NARROWEST_NS, to - from));
      view.from = Math.min(record.to - wide, Math.max(record.from, from + (to - from - wide) / 2));
      view.to = view.from + wide;
      want();
      viewed(view);
    };
    const zoom = (factor, place = 0.5) => {
      const wide = view.to - view.from, at = view.from + wide * place, now = wide * factor;
      show(at - now * place, at + now * (1 - place));
    };
    const move = (part) => {
      const by = (view.to - view.from) * part;
      const from = Math.min(record.to - (view.to - view.from), Math.max(record.from, view.from + by));
      show(from, from + (view.to - view.from));
    };
    const all = () => show(record.from, record.to);

    /* Zoom to what went wrong, with some room on both sides. */
    const jump = (number) => {
      const now = record.problems[number];
      if (!now) return;
      view.event = number;
      const room = Math.max(1500, 0.35 * (now.until - now.since));
      show(now.since - room, now.until + room);
      chosen(number);
    };

    const keys = {
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: all, ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2),
      n: () => jump(view.event === null ? record.part.first : Math.min(record.problems.length - 1, view.event + 1)),
      p: () => jump(Math.max(0, (view.event || 0) - 1)), Home: () => move(-1e9), End: () => move(1e9),
    };
    frame.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== frame) return;
      event.preventDefault();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / frame.clientWidth);
      else zoom(Math.exp(Math.sign(event.deltaY) * Math.min(0.4, Math.abs(event.deltaY) / 300)), place(event));
    }, { passive: false });

    const place = (event) => (event.clientX - canvas.getBoundingClientRect().left) / frame.clientWidth;
    const fingers = new Map();
    frame.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event.clientX);
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    const lift = (event) => fingers.delete(event.pointerId);
    frame.addEventListener("pointerup", lift);
    frame.addEventListener("pointercancel", lift);
    frame.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return tell(event);
      const before = [...fingers.values()];
      fingers.set(event.pointerId, event.clientX);
      const after = [...fingers.values()];
      if (after.length === 1) return move((before[0] - after[0]) / frame.clientWidth);
      const apart = (pair) => Math.max(20, Math.abs(pair[0] - pair[1]));
      return zoom(apart(before) / apart(after), (after[0] + after[1]) / 2 / frame.clientWidth);
    });

    /* What is under the pointer, in a sentence. */
    const tell = (event) => {
      const time = view.from + place(event) * (view.to - view.from);
      const each = record.lanes[Math.floor((event.clientY - canvas.getBoundingClientRect().top - HEAD) / LANE)];
      under.textContent = each ? `${each.name} at ${moment(time)}: ${doing(each, time)}` : `${moment(time)}`;
    };
    const doing = (each, time) => {
      const slack = ((view.to - view.from) / frame.clientWidth) * 3;
      const at = (track) => {
        const i = above(track.begins, time + slack) - 1;
        return i >= 0 && track.ends[i] >= time - slack ? track.numbers[i] : null;
      };
      const told = [];
      for (const number of each.waits.map(at).filter((found) => found !== null)) {
        const hold = record.holds[number];
        if (hold.granted === null || hold.granted > time) told.push(`waits for ${locked(record.part, hold)} since ${moment(hold.requested)}`);
      }
      for (const number of each.holds.map(at).filter((found) => found !== null)) {
        const hold = record.holds[number];
        told.push(`holds ${locked(record.part, hold)}${hold.released === null ? ", never unlocked" : ` for ${span(hold.released - hold.granted)}`}, after a wait of ${span(hold.granted - hold.requested)}`);
      }
      for (const number of [at(each.loads), at(each.stores)].filter((found) => found !== null)) told.push(access(record.accesses[number]));
      return told.join("; ") || "between two accesses";
    };
    const access = (each) => `${nameOf(record.part, each.start, each.length)} ${each.kind === STORE ? "=" : "->"} ${valueOf(record.part, each.start, each.length, each.bytes)}${each.round === null ? "" : ` (round ${each.round + 1})`}`;

    const slide = (event) => {
      if (event.buttons !== 1) return;
      const at = record.from + ((event.clientX - strip.getBoundingClientRect().left) / strip.clientWidth) * total;
      const wide = view.to - view.from;
      show(at - wide / 2, at + wide / 2);
    };
    strip.addEventListener("pointerdown", slide);
    strip.addEventListener("pointermove", slide);

    new ResizeObserver(want).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      palette = null;
      want();
    });
    return { frame, strip, under, view, zoom, move, all, jump, want };
  };

  return { make };
})();
