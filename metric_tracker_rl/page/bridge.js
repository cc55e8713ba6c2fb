// Added to the page's own script: clicks on charts select a day, and the mark of the selected day
// moves in the large charts without asking the server. In a drill-down episode days are dragged over.
EVENTS.push('pick_row', 'drop_row', 'edit_report', 'edit_custom');
const MARKED = '#mt-counts, #mt-rates, #mt-heat';

function band(chart, day) {
  const rows = chart.data[0].customdata;
  if (Array.isArray(rows[0])) {
    const at = rows.findIndex((row) => row[0] === day);
    return { y0: at - 0.5, y1: at + 0.5 };
  }
  const noonBefore = new Date(Date.parse(`${day}T00:00Z`) - 12 * 3600 * 1000).toISOString();
  return { x0: `${noonBefore.slice(0, 10)} 12:00`, x1: `${day} 12:00` };
}

function mark(chart, day) {
  const shapes = (chart.layout && chart.layout.shapes) || [];
  const at = shapes.findIndex((shape) => shape.name === 'selected-day');
  if (at < 0 || !day) return;
  const moved = Object.entries(band(chart, day)).filter(([side, to]) => shapes[at][side] !== to);
  const change = Object.fromEntries(moved.map(([side, to]) => [`shapes[${at}].${side}`, to]));
  if (moved.length) window.Plotly.relayout(chart, change);
}

function markAll(day) {
  document.querySelectorAll(MARKED).forEach((place) => {
    place.querySelectorAll('.js-plotly-plot').forEach((chart) => mark(chart, day));
  });
  markMap(day);
}

function pick(day) {
  markAll(day);
  trigger('pick_day', { value: day });
}

document.addEventListener('click', (event) => {
  if (event.target.closest('#mt-submit, #dd-submit')) submitted = true;
  const button = event.target.closest('[data-mt=pick_day]');
  if (button) pick(button.dataset.value);
});

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };
document.addEventListener('keydown', (event) => {
  const by = STEPS[event.key];
  if (!by || !event.target.classList.contains('mt-day')) return;
  const days = [...document.querySelectorAll('.mt-day')];
  const to = days[days.indexOf(event.target) + by];
  event.preventDefault();
  if (to) to.click();
  if (to) to.focus();
});

// The map of the episode: what the cell in hand says stands below it; a click or Enter selects its day.
const headOf = (cell) => cell.closest('table').tHead.rows[0].cells[cell.cellIndex];
function describeCell(cell) {
  const metric = cell.parentElement.cells[0].textContent;
  const told = `${headOf(cell).getAttribute('aria-label')}, ${metric}: ${cell.dataset.t || 'not told yet'}.`;
  const words = [told, cell.dataset.say].filter(Boolean).join(' ');
  cell.setAttribute('aria-label', words);
  cell.closest('.mt-hero').querySelector('.mt-say').textContent = words;
}
function hold(cell) {
  cell.closest('table').querySelectorAll('td[tabindex]').forEach((each) => each.removeAttribute('tabindex'));
  cell.tabIndex = 0;
  cell.focus();
}
function pickCell(column, day) {
  markAll(day);
  trigger('pick_cell', { value: `${day}/${column || ''}` });
}
const cellOf = ({ target }) => target.closest('.mt-map tbody td');
document.addEventListener('mouseover', (event) => { if (cellOf(event)) describeCell(cellOf(event)); });
document.addEventListener('focusin', (event) => { if (cellOf(event)) describeCell(cellOf(event)); });
document.addEventListener('click', (event) => {
  const cell = cellOf(event);
  if (cell) {
    hold(cell);
    if (cell.closest('#mt-map')) pickCell(cell.parentElement.dataset.column, headOf(cell).dataset.day);
  }
  const plot = event.target.closest('#mt-multiples .plot');
  if (!plot) return;
  const days = [...document.querySelectorAll('#mt-map thead [data-day]')];
  const { left, width } = plot.getBoundingClientRect();
  const day = days[Math.min(Math.floor(((event.clientX - left) / width) * days.length), days.length - 1)];
  pickCell(plot.parentElement.dataset.column, day.dataset.day);
});
const WAYS = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  Home: [0, -999], End: [0, 999], PageUp: [-999, 0], PageDown: [999, 0],
};
document.addEventListener('keydown', (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  if (event.key === 'Enter' || event.key === ' ') cell.click();
  const way = WAYS[event.key];
  if (way) {
    const rows = [...cell.closest('tbody').rows];
    const within = (at, least, end) => Math.max(least, Math.min(end - 1, at));
    const row = rows[within(rows.indexOf(cell.parentElement) + way[0], 0, rows.length)];
    hold(row.cells[within(cell.cellIndex + way[1], 1, row.cells.length)]);
  }
  if (way || event.key === 'Enter' || event.key === ' ') event.preventDefault();
});
function markMap(day) {
  const heads = [...document.querySelectorAll('#mt-map thead [data-day]')];
  const at = heads.findIndex((head) => head.dataset.day === day);
  document.querySelectorAll('#mt-map .on').forEach((each) => each.classList.remove('on'));
  if (at < 0) return;
  document.querySelectorAll('#mt-map .mt-map tr').forEach((row) => row.cells[at + 1].classList.add('on'));
  const panels = document.querySelector('#mt-multiples .mt-small');
  if (panels) panels.style.setProperty('--day', `${(100 * (at + 0.5)) / heads.length}%`);
}

// Gradio draws charts of a hidden tab with no width; they are fitted once they have one.
const fit = new ResizeObserver((entries) => {
  for (const entry of entries) {
    if (entry.contentRect.width && window.Plotly) window.Plotly.Plots.resize(entry.target);
  }
});

function listen(chart) {
  if (chart.dataset.mtHeard || !chart.on) return;
  chart.dataset.mtHeard = 'yes';
  fit.observe(chart);
  chart.on('plotly_click', (event) => {
    const date = event.points[0].customdata;
    if (typeof date === 'string' && chart.closest('.mt-watch') === null) pick(date);
  });
  if (chart.closest('#mt-cut')) listenForDays(chart);
}

// Days whose middle, which is where they are drawn, lies inside what was dragged over; of a point that
// stands for a week, the whole week. With a finger one scrolls the page instead.
const DAY = 24 * 3600 * 1000;
function listenForDays(chart) {
  const days = () => chart.data[0].x.map((date) => Date.parse(date));
  const choose = (first, last) => {
    const [one, two] = days();
    const ends = [first, two ? last + two - one - DAY : last];
    const dates = ends.map((at) => new Date(at).toISOString().slice(0, 10));
    trigger('pick_days', { value: dates.join('/') });
  };
  const scroll = () => {
    if (chart.layout.dragmode) window.Plotly.relayout(chart, { dragmode: false });
  };
  if (window.matchMedia('(pointer: coarse)').matches) {
    scroll();
    chart.on('plotly_afterplot', scroll);
  }
  chart.on('plotly_click', ({ points: [point] }) => {
    const day = Date.parse(point.x);
    if (days().includes(day)) choose(day, day);
  });
  chart.on('plotly_selected', (event) => {
    if (!event || !event.range || !event.range.x) return;
    const [from, to] = event.range.x.map((each) => Date.parse(`${each.replace(' ', 'T')}Z`));
    const chosen = days().filter((day) => day >= from && day <= to);
    if (chosen.length) choose(chosen[0], chosen[chosen.length - 1]);
  });
}

let submitted = false;
function showScore() {
  const scores = document.querySelectorAll('#mt-score .mt-outcome, #dd-score .mt-outcome');
  const score = [...scores].find((each) => each.offsetParent);
  if (!submitted || !score) return;
  submitted = false;
  score.scrollIntoView();
}

let shown = '', mapped = null;
new MutationObserver(() => {
  const fresh = document.querySelectorAll('.js-plotly-plot:not([data-mt-heard])');
  fresh.forEach(listen);
  const chosen = document.querySelector('.mt-day[aria-pressed=true]');
  const day = chosen ? chosen.dataset.value : '';
  const map = document.querySelector('#mt-map .mt-map');
  if (day && (day !== shown || fresh.length || map !== mapped)) markAll(day);
  [shown, mapped] = [day, map];
  showScore();
}).observe(document.body, { childList: true, subtree: true });
