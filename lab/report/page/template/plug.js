/* Section 5: the reader cuts the power after a step and chooses what is on the disk then; what recovery finds the lab
   has worked out for every choice (lab/exploring/crash/plug.py). */
Lab.section("plug", (root, plugs) => {
  const { el, say, link, roving } = Lab;
  root.append(el("p", null, "When the power fails, what was stored and not synced may be on the disk or not, each part for itself. Click the step after which you pull the plug, choose what is on the disk, and see what the program finds when it starts again."));
  if (!plugs) {
    root.append(el("p", { class: "hint" }, "This page was made without what crashes leave."));
    return;
  }

  const words = (name) => name.replaceAll("_", " ");
  const base = (plug) => plug.scenario.split(":")[0];
  const mistake = (plug) => plug.scenario.split(":")[1];
  const after = (step) => (step ? `after step ${step}` : "at first");
  /* The contents of a part: the text, and the step after which it was so. The last is that of the memory. */
  const contents = (plug, [, ...pairs]) => pairs.filter((_, at) => at % 2 === 0).map((text, at) => ({ text: plug.texts[text], since: pairs[2 * at + 1] }));
  const breaks = (plug, found) => plug.found[found].wrong >= 0;
  const left = (plug, number) => plug.left[plug.moments[number]];
  const broken = (plug, number) => left(plug, number).found.filter((found) => breaks(plug, found)).length;

  let plug = plugs.find((each) => each.scenario === link.get("plug")) || plugs.find((each) => mistake(each)) || plugs[0];
  let cut = 0;
  let chosen = [];
  let marked = false;

  const moment = () => left(plug, cut);
  const sizes = () => moment().parts.map((part) => (part.length - 1) / 2);
  const index = () => chosen.reduce((sum, choice, part) => sum * sizes()[part] + choice, 0);
  const choiceOf = (number) => sizes().reduceRight((found, size) => [[found[1] % size, ...found[0]], Math.floor(found[1] / size)], [[], number])[0];
  const newest = () => sizes().map((size) => size - 1);

  const about = el("p", { class: "summary" });
  const steps = el("ol", { class: "moments", start: "0", "aria-label": "Moments at which the power may fail" });
  const disk = el("div", { class: "disk", role: "group", "aria-label": "What is on the disk" });
  const result = el("div", { class: "found" });
  const hint = el("p", { class: "hint" });

  /* `byReader` is false for what the page does by itself: that is not spoken, and not in the address. */
  const choose = (wanted, byReader = true) => {
    chosen = wanted;
    for (const input of disk.querySelectorAll("input")) input.checked = chosen[Number(input.dataset.part)] === Number(input.value);
    const { wrong, ...found } = plug.found[moment().found[index()]];
    const [reasons, again] = [found.reasons, found.steps].map((places) => places.map((place) => plug.texts[place]));
    const title = wrong >= 0 ? `Broken: ${plug.texts[wrong]}.` : "The program finds the file whole, or can repair it.";
    result.replaceChildren(...[
      el("p", { class: `verdict ${wrong >= 0 ? "bad" : "good"}` }, el("strong", null, title)),
      reasons.length ? el("ul", null, reasons.map((reason) => el("li", null, `${reason}.`))) : null,
      el("p", { class: "hint" }, again.length ? "What the program does when it starts again:" : "The program has nothing to do when it starts again."),
      el("ol", { class: "mono again" }, again.map((step) => el("li", null, step))),
    ].filter(Boolean));
    if (!byReader) return;
    link.set("plug", plug.scenario);
    link.set("cut", cut);
    link.set("disk", chosen.join("."));
    say([title, ...reasons].join(" "));
  };

  const part = (row, number) => el("fieldset", null,
    el("legend", null, plug.texts[row[0]]),
    contents(plug, row).map(({ text, since }, at, all) => el("label", { class: at === all.length - 1 ? "new" : "old" },
      el("input", { type: "radio", name: `plug-part-${number}`, value: at, "data-part": number, onchange: () => choose(chosen.map((each, other) => (other === number ? at : each))) }),
      el("span", null, el("span", { class: "mono" }, text || "as it was"), " ", el("span", { class: "hint" }, `${at === all.length - 1 ? "new" : "old"}, ${after(since)}`)))));

  const button = (text, to) => el("button", { type: "button", class: "button", onclick: () => choose(to()) }, text);
  const toNew = button("All new", newest);
  const toOld = button("All old", () => sizes().map(() => 0));
  const breaking = () => moment().found.findIndex((found) => breaks(plug, found));
  const toBroken = button("One that breaks", () => choiceOf(breaking()));
  const marker = el("button", { type: "button", class: "button", "aria-pressed": "false", onclick: () => {
    marked = !marked;
    marker.setAttribute("aria-pressed", String(marked));
    steps.classList.toggle("marked", marked);
  } }, "Mark where it can break");

  const fails = (number, wanted = [], byReader = true) => {
    cut = number;
    [...steps.children].forEach((row, at) => {
      row.firstChild.setAttribute("aria-pressed", String(at === cut));
      row.classList.toggle("lost", at > cut);
    });
    const rows = moment().parts;
    disk.replaceChildren(...(rows.length ? rows.map(part) : [el("p", { class: "hint" }, "All that was stored is on the disk: nothing is to be chosen.")]));
    const bad = broken(plug, cut);
    const all = moment().found.length;
    hint.textContent = all > 1 ? `${all} different files may be left here; ${bad ? `${bad} of them break${bad === 1 ? "s" : ""}` : "none of them breaks"}.` : "";
    toBroken.disabled = !bad;
    toNew.disabled = toOld.disabled = all < 2;
    const fits = wanted.length === rows.length && wanted.every((choice, at) => choice >= 0 && choice < sizes()[at]);
    choose(fits ? wanted : newest(), byReader);
  };

  const stops = roving(steps, () => [...steps.querySelectorAll("button")]);
  const show = (at, wanted, byReader) => {
    about.textContent = mistake(plug) ? `${plug.summary} ${plug.why}` : plug.summary;
    steps.replaceChildren(...plug.moments.map((_, number) => el("li", { class: broken(plug, number) ? "breaks" : "" },
      el("button", { type: "button", onclick: () => fails(number) },
        el("span", { class: "mono" }, number ? plug.texts[plug.steps[number - 1]] : "before the first step"),
        broken(plug, number) ? el("span", { class: "mark" }, " can break") : null))));
    fails(Math.min(Math.max(0, at), plug.moments.length - 1), wanted, byReader);
    [...steps.querySelectorAll("button")].forEach((each, number) => { each.tabIndex = number === cut ? 0 : -1; });
    stops();
  };

  /* The first moment at which it can break, else the first at which something is to be chosen. */
  const interesting = () => {
    const first = plug.moments.findIndex((_, number) => broken(plug, number));
    return first < 0 ? Math.max(0, plug.moments.findIndex((_, number) => left(plug, number).found.length > 1)) : first;
  };
  const picker = el("select", { id: "plug-scenario", onchange: () => {
    plug = plugs.find((each) => each.scenario === picker.value);
    show(interesting(), [], true);
  } }, [...new Set(plugs.map(base))].map((name) => el("optgroup", { label: words(name) },
    plugs.filter((each) => base(each) === name).map((each) => el("option", { value: each.scenario, selected: each === plug },
      mistake(each) ? `${words(name)}, wrong: ${words(mistake(each))}` : `${words(name)}, right`)))));

  root.append(
    el("div", { class: "row" }, el("label", { for: "plug-scenario" }, "Scenario"), picker, marker),
    el("div", { class: "board plug" },
      about,
      el("div", { class: "columns" },
        el("div", null, el("h3", null, "The power fails after"), steps),
        el("div", null, el("h3", null, "On the disk"), el("div", { class: "row" }, toNew, toOld, toBroken), hint, disk),
        el("div", null, el("h3", null, "What is found"), result))),
    el("p", { class: "hint" }, "One worker alone. Each part reaches the disk for itself, at any moment until it is synced; some filesystems write more of them together. ",
      el("code", null, "lab explore NAME --crash kill,power"), " tries several workers, kills, and crashes of the recovery, too."),
  );
  const number = Number.parseInt(link.get("cut") || "", 10);
  show(Number.isInteger(number) ? number : interesting(), (link.get("disk") || "").split(".").map((each) => Number.parseInt(each, 10)), false);
});
