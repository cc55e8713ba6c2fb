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

let shown = '';
new MutationObserver(() => {
  const fresh = document.querySelectorAll('.js-plotly-plot:not([data-mt-heard])');
  fresh.forEach(listen);
  const chosen = document.querySelector('.mt-day[aria-pressed=true]');
  const day = chosen ? chosen.dataset.value : '';
  if (day && (day !== shown || fresh.length)) markAll(day);
  shown = day;
  showScore();
}).observe(document.body, { childList: true, subtree: true });
