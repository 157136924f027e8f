document.addEventListener("click", (event) => {
  const header = event.target.closest("table.sortable thead tr:last-child th");
  if (!header) return;
  const table = header.closest("table");
  const column = header.cellIndex;
  const ascending = header.getAttribute("aria-sort") === "descending" || (!header.hasAttribute("aria-sort") && !header.classList.contains("number"));
  const value = (row) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return text === "" || text === "–" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  };
  const compare = (a, b) =>
    a === null || b === null ? (a === null) - (b === null)
    : (ascending ? 1 : -1) * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const body = table.tBodies[0];
  body.append(...[...body.rows].map((row) => [value(row), row]).sort((a, b) => compare(a[0], b[0])).map((pair) => pair[1]));
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  table.dataset.sorted = "";
});
