// Runs once, in the page's header component: `trigger` is Gradio's. Passes clicks on buttons inside
// HTML to Python as events of that component; their names are listed in EVENTS, because Gradio
// offers an event only where its name is quoted here.
const EVENTS = ['pick_frame'];

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-mt]');
  if (!button) return;
  const { mt, value } = button.dataset;
  if (mt === 'theme') document.body.classList.toggle('dark');
  else if (EVENTS.includes(mt)) trigger(mt, { value });
});

// What is scrolled to must not end up below the status line, which stays at the top.
const room = new ResizeObserver(([{ target }]) => {
  document.documentElement.style.scrollPaddingTop = `${target.offsetHeight + 12}px`;
});
let status = null;
new MutationObserver(() => {
  const found = document.getElementById('mt-status');
  if (!found || found === status) return;
  status = found;
  room.observe(found);
}).observe(document.body, { childList: true, subtree: true });
