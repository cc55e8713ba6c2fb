// Added to the page's own script: clicks on services of the graph choose one, charts are fitted to
// their places, and the score is scrolled to when it appears.
EVENTS.push('pick_service');

// Gradio draws charts of a hidden tab with no width; they are fitted once they have one.
const fitting = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    if (contentRect.width && window.Plotly) window.Plotly.Plots.resize(target);
  }
});

function prepare(chart) {
  if (chart.dataset.fwReady || !chart.on) return;
  chart.dataset.fwReady = 'yes';
  fitting.observe(chart);
  if (!chart.closest('#mt-graph')) return;
  chart.on('plotly_click', ({ points: [point] }) => {
    if (point.customdata) trigger('pick_service', { value: String(point.customdata) });
  });
}

let scored = null;
new MutationObserver(() => {
  document.querySelectorAll('.js-plotly-plot:not([data-fw-ready])').forEach(prepare);
  const score = document.querySelector('#fw-score .mt-outcome');
  if (score && !scored && score.offsetParent) score.scrollIntoView();
  scored = score;
}).observe(document.body, { childList: true, subtree: true });
