// Runs once, in the page's header component: `element`, `trigger` and `props` are Gradio's.
// Passes clicks on buttons inside tables, and on charts, to Python as events of that component.
const EVENTS = ['pick_day', 'pick_row', 'pick_frame'];

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-mt]');
  if (!button) return;
  if (button.dataset.mt === 'theme') {
    document.body.classList.toggle('dark');
  } else if (EVENTS.includes(button.dataset.mt)) {
    trigger(button.dataset.mt, { value: button.dataset.value });
  }
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
    if (date && chart.closest('.mt-watch') === null) trigger('pick_day', { value: String(date) });
  });
}

new MutationObserver(() => {
  document.querySelectorAll('.js-plotly-plot').forEach(listen);
}).observe(document.body, { childList: true, subtree: true });
