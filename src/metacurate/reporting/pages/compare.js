// Tables of entries are sorted by the heading that is pressed; once more turns the order round.
"use strict";

const valueOf = (cell) => {
  const value = cell.dataset.value;
  return value === undefined ? cell.textContent.trim() : Number(value);
};

const compareCells = (one, other) => {
  const [a, b] = [valueOf(one), valueOf(other)];
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
};

const sortBy = (table, heading) => {
  const place = heading.cellIndex;
  const body = table.tBodies[0];
  const numeric = body.rows[0]?.cells[place].dataset.value !== undefined;
  const before = heading.getAttribute("aria-sort");
  const after = before === null ? (numeric ? "descending" : "ascending")
    : before === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.rows[0].cells) {
    other.removeAttribute("aria-sort");
  }
  heading.setAttribute("aria-sort", after);
  const sign = after === "ascending" ? 1 : -1;
  const rows = [...body.rows].sort((a, b) => sign * compareCells(a.cells[place], b.cells[place]));
  body.append(...rows);
};

for (const heading of document.querySelectorAll("table.sortable span.sort")) {
  const button = document.createElement("button"); // without scripts, it would do nothing
  button.type = "button";
  button.className = "sort";
  button.textContent = heading.textContent;
  heading.replaceWith(button);
  button.addEventListener("click", () => sortBy(button.closest("table"), button.closest("th")));
}
