// Charts: shows the values of a day on hover and focus, and selects a day in all charts at once.
// A selection never calls a tool: it only tells the server which day the visitor looks at.
const chartOf = (target) => target.closest('.mt-chart');
const valuesOf = (chart) => JSON.parse(chart.dataset.values);
const datesOf = (chart) => JSON.parse(chart.dataset.dates || '[]');
const shortDate = (iso) => new Date(`${iso}T12:00`).toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' });
const leftOf = (index, count) => `${(100 * (index + 0.5)) / count}%`;
let selectedDay = '';

function indexAt(plot, clientX, count) {
  const box = plot.getBoundingClientRect();
  return Math.max(0, Math.min(count - 1, Math.floor((count * (clientX - box.left)) / box.width)));
}
function valueText(chart, index) {
  const date = datesOf(chart)[index];
  return date ? `${valuesOf(chart)[index]} · ${shortDate(date)}` : valuesOf(chart)[index];
}
// Shows the value at an index in a chart's caption; null restores that of the selected day.
function showValue(chart, index) {
  const hover = chart.querySelector('.hover');
  const caption = chart.querySelector('figcaption span');
  hover.hidden = index === null;
  if (index !== null) {
    hover.style.left = leftOf(index, valuesOf(chart).length);
    caption.textContent = valueText(chart, index);
    return;
  }
  const at = datesOf(chart).indexOf(selectedDay);
  caption.textContent = at < 0 ? '' : valuesOf(chart)[at];
}
function selectDay(chart, index) {
  const date = datesOf(chart)[index];
  if (!date) return;
  selectedDay = date;
  document.querySelectorAll('#mt-picture .mt-chart').forEach((each) => {
    const cursor = each.querySelector('.cursor');
    cursor.hidden = false;
    cursor.style.left = leftOf(index, datesOf(each).length);
    showValue(each, null);
  });
  trigger('pick', { value: `${chart.dataset.series}/${date}` });
}
const isSelectable = (chart) => Boolean(chart.dataset.dates) && Boolean(chart.closest('#mt-picture'));
document.addEventListener('pointermove', ({ target, clientX }) => {
  const plot = target.closest?.('.mt-chart .plot');
  document.querySelectorAll('.mt-chart .hover:not([hidden])').forEach((each) => {
    if (!plot || !plot.contains(each)) showValue(chartOf(each), null);
  });
  if (plot) showValue(chartOf(plot), indexAt(plot, clientX, valuesOf(chartOf(plot)).length));
});
document.addEventListener('click', ({ target, clientX }) => {
  const plot = target.closest('.mt-chart .plot');
  if (!plot || !isSelectable(chartOf(plot))) return;
  plot.focus({ preventScroll: true });
  selectDay(chartOf(plot), indexAt(plot, clientX, valuesOf(chartOf(plot)).length));
});
document.addEventListener('focusin', ({ target }) => {
  if (!target.matches('.mt-chart .plot')) return;
  const chart = chartOf(target);
  if (!isSelectable(chart)) showValue(chart, Number(chart.dataset.at || 0));
});
document.addEventListener('focusout', ({ target }) => {
  if (target.matches('.mt-chart .plot')) showValue(chartOf(target), null);
});
const DAY_KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -999, End: 999 };
document.addEventListener('keydown', (event) => {
  const plot = event.target.closest('.mt-chart .plot');
  const by = DAY_KEYS[event.key];
  if (!plot || !by) return;
  event.preventDefault();
  const chart = chartOf(plot);
  const count = valuesOf(chart).length;
  const within = (index) => Math.max(0, Math.min(count - 1, index));
  if (isSelectable(chart)) {
    const at = datesOf(chart).indexOf(selectedDay);
    selectDay(chart, within((at < 0 ? (by < 0 ? count : -1) : at) + by));
  } else {
    chart.dataset.at = within(Number(chart.dataset.at || 0) + by);
    showValue(chart, Number(chart.dataset.at));
  }
});
// The server decides which day is selected after a step.
whenever(() => {
  const saved = document.querySelector('.mt-saved');
  if (!saved) return;
  const { place } = saved.dataset;
  const date = place.slice(place.lastIndexOf('/') + 1);
  if (date && date !== selectedDay && saved !== whenever.saved) {
    whenever.saved = saved;
    selectedDay = date;
  }
});
