"use strict";
(() => {
  document.getElementById("no-scripts").remove();
  for (const id of ["chooser", "legend-of-chosen"]) document.getElementById(id).hidden = false;
  const { plots, unmatched } = JSON.parse(document.getElementById("data").textContent);
  const byName = Object.fromEntries(plots.map((plot) => [plot.name, plot]));
  const views = {};
  const NARROW = 500; // pixels

  // Colours of texts and lines follow the page's, in the dark and on paper too.
  const config = (width) => ({
    background: null,
    font: "system-ui, sans-serif",
    aria: false,
    view: { stroke: null },
    axis: {
      labelColor: "currentColor",
      titleColor: "currentColor",
      domainColor: "currentColor",
      tickColor: "currentColor",
      gridColor: "currentColor",
      gridOpacity: 0.15,
      titleFontWeight: 500,
      labelFontSize: 11,
      titleFontSize: 12,
    },
    axisY: { labelLimit: width < NARROW ? 110 : 220 },
    legend: {
      labelColor: "currentColor",
      titleColor: "currentColor",
      labelFontSize: 12,
      symbolOpacity: 1,
      labelLimit: width < NARROW ? width - 60 : 260,
      columns: width < NARROW ? 1 : 3,
    },
  });

  const recordsOf = (plot) =>
    plot.rows.map((row) => Object.fromEntries(plot.fields.map((field, i) => [field, row[i]])));

  const number = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 6 });
  const whole = new Intl.NumberFormat("en-US");
  const percent = new Intl.NumberFormat("en-US", {
    style: "percent",
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
  const shown = (value) => (Number.isInteger(value) ? whole : number).format(value);

  // A spreadsheet would take a text that begins so for a formula, and run it.
  const guarded = (value) =>
    typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
  const quoted = (value) => `"${guarded(value).replaceAll('"', '""')}"`;

  const download = (plot) => {
    const lines = [plot.headings, ...plot.rows.map((row) => row.slice(0, plot.headings.length))];
    const content = lines.map((line) => line.map(quoted).join(",")).join("\r\n");
    const address = URL.createObjectURL(new Blob([content], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${plot.name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  };

  const offerDownload = (plot) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Download as CSV";
    button.addEventListener("click", () => download(plot));
    document.querySelector(`#plot-${plot.name} details.data > summary`).after(button);
  };

  const draw = async (plot) => {
    const place = document.querySelector(`#plot-${plot.name} .plot`);
    const specification = { ...plot.specification, datasets: { [plot.name]: recordsOf(plot) } };
    const { view } = await vegaEmbed(place, specification, {
      actions: false,
      ast: true, // the page's policy allows no code that is made of strings
      config: config(place.clientWidth),
      defaultStyle: false,
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    });
    views[plot.name] = view;
  };

  const answers = recordsOf(byName.thresholds);
  const curve = recordsOf(byName.cumulative);
  const slider = document.getElementById("threshold");
  const typed = document.getElementById("typed");
  const own = Number(slider.getAttribute("value"));

  // Cumulative sums of min(count, t): the pool's up to the tail's end, t for each entry after.
  const curveAt = (answer) => {
    const tail = Math.max(0, answer.tail_entries - unmatched);
    return curve.map(({ entries, pool }) => ({
      entries,
      matches: entries <= tail ? pool : answer.tail_matches + answer.thresholds * (entries - tail),
    }));
  };

  const show = async (place) => {
    const answer = answers[place];
    slider.setAttribute("aria-valuetext", `t = ${shown(answer.thresholds)}`);
    for (const field of document.querySelectorAll("#answer [data-field]")) {
      const value = answer[field.dataset.field];
      field.textContent = field.dataset.field.endsWith("share") ? percent.format(value) : shown(value);
    }
    const changed = [];
    if (views.thresholds) changed.push(views.thresholds.data("chosen", [answer]).runAsync());
    if (views.cumulative) changed.push(views.cumulative.data("chosen", curveAt(answer)).runAsync());
    await Promise.all(changed);
  };

  const choose = (place) => {
    slider.value = place;
    typed.value = shown(answers[place].thresholds);
    typed.setAttribute("aria-invalid", "false");
    return show(place);
  };

  slider.value = own; // browsers keep what was chosen before a page is loaded again
  slider.addEventListener("input", () => choose(Number(slider.value)));
  document.getElementById("own").addEventListener("click", () => choose(own));
  document.getElementById("chooser").addEventListener("submit", (event) => event.preventDefault());
  typed.addEventListener("change", () => {
    const wanted = Number(typed.value.replaceAll(",", ""));
    if (!(wanted > 0)) {
      typed.setAttribute("aria-invalid", "true");
      return;
    }
    const far = answers.map(({ thresholds }) => Math.abs(thresholds - wanted));
    choose(far.indexOf(Math.min(...far)));
  });

  const drawOrTell = (plot) =>
    draw(plot).catch((error) => {
      document.querySelector(`#plot-${plot.name} .plot`).textContent = `It can't be drawn: ${error.message}`;
      throw error; // the console tells where it came from
    });

  plots.forEach(offerDownload);
  Promise.all(plots.map(drawOrTell))
    .then(() => choose(Number(slider.value)))
    .then(() => document.body.setAttribute("data-drawn", String(plots.length)));
})();
