"use strict";
// Sort a table by a column; text by its letters, numbers by size, what is missing last.
function sort(table, header) {
  const column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentNode.cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.cells[column];
    if (!cell) return null;
    const text = cell.dataset.value ?? cell.textContent.trim().replace("−", "-");
    const number = cell.dataset.value !== undefined ? Number(text) : parseFloat(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [value(row), row]);
  const order = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  rows.sort(([a], [b]) =>
    a === null || b === null ? (a === null) - (b === null) : down ? order(b, a) : order(a, b));
  body.append(...rows.map(([, row]) => row));
}
for (const table of document.querySelectorAll("table.sortable"))
  for (const button of table.tHead.querySelectorAll("button"))
    button.addEventListener("click", () => sort(table, button.closest("th")));
// What is folded away would be missing on paper.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
