// Part of the script of the header component; see `bridge.js`.

// Grid: the description of the focused cell is shown below it. A click or Enter selects a cell.
const cellOf = ({ target }) => target.closest('.mt-map tbody td');
const headOf = (cell) => cell.closest('table').tHead.rows[0].cells[cell.cellIndex];
const rowOf = (cell) => cell.parentElement.cells[0].textContent;
function describeCell(cell) {
  const known = `${headOf(cell).getAttribute('aria-label')}, ${rowOf(cell)}: ${cell.dataset.t || 'not asked yet'}.`;
  const words = [known, cell.dataset.say].filter(Boolean).join(' ');
  cell.setAttribute('aria-label', words);
  cell.closest('.mt-hero').querySelector('.mt-say').textContent = words;
}
function hold(cell) {
  cell.closest('table').querySelectorAll('td[tabindex]').forEach((each) => each.removeAttribute('tabindex'));
  cell.tabIndex = 0;
  cell.focus();
}
function pickPlace(place) {
  document.querySelectorAll('#mt-picture .at').forEach((each) => each.classList.remove('at'));
  const [row, column] = [place.slice(0, place.lastIndexOf('/')), place.slice(place.lastIndexOf('/') + 1)];
  const head = document.querySelector(`#mt-picture [data-col="${CSS.escape(column)}"]`);
  const line = document.querySelector(`#mt-picture [data-row="${CSS.escape(row)}"]`);
  if (head && line) line.cells[head.cellIndex].classList.add('at');
  document.querySelectorAll(`#mt-picture [data-value="${CSS.escape(place)}"]`).forEach((each) => each.classList.add('at'));
  trigger('pick', { value: place });
}
['mouseover', 'focusin'].forEach((kind) => document.addEventListener(kind, (event) => { if (cellOf(event)) describeCell(cellOf(event)); }));
document.addEventListener('click', (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  hold(cell);
  if (cell.closest('#mt-picture')) pickPlace(`${cell.parentElement.dataset.row}/${headOf(cell).dataset.col}`);
});
const WAYS = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  Home: [0, -999], End: [0, 999], PageUp: [-999, 0], PageDown: [999, 0],
};
document.addEventListener('keydown', (event) => {
  const cell = cellOf(event);
  if (event.key === 'Escape' && !cell) {
    // Escape moves the focus from the suggested calls back to the selected cell.
    const back = document.querySelector('#mt-picture td[tabindex], #mt-picture .at');
    if (event.target.closest('#mt-ask, #mt-evidence') && back) back.focus();
    return;
  }
  if (!cell) return;
  if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    const first = document.querySelector('#mt-ask [data-mt=ask]');
    if (cell.classList.contains('at') && first) first.focus();
    else cell.click();
  }
  const way = WAYS[event.key];
  if (!way) return;
  event.preventDefault();
  const rows = [...cell.closest('tbody').rows];
  const within = (at, least, end) => Math.max(least, Math.min(end - 1, at));
  const row = rows[within(rows.indexOf(cell.parentElement) + way[0], 0, rows.length)];
  hold(row.cells[within(cell.cellIndex + way[1], 1, row.cells.length)]);
});
