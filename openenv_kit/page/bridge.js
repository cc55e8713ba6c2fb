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

// A cell of a table that is filled in was changed. The answer brings the table anew, so the cell that
// had the keyboard gets it back, with what was typed since.
let held = null;
document.addEventListener('change', ({ target }) => {
  const { edit, at, field } = target.dataset;
  if (!EVENTS.includes(edit)) return;
  trigger(edit, { value: JSON.stringify([Number(at), field, target.value]) });
});
document.addEventListener('focusin', ({ target }) => { held = target.dataset.key ? target : null; });
document.addEventListener('pointerdown', ({ target }) => { if (target !== held) held = null; });
new MutationObserver(() => {
  if (!held || held.isConnected || document.activeElement !== document.body) return;
  const fresh = document.querySelector(`[data-key="${held.dataset.key}"]`);
  if (!fresh) return;
  if (fresh.tagName === 'INPUT') fresh.value = held.value;
  fresh.focus();
}).observe(document.body, { childList: true, subtree: true });

// Programs name this server by the address that the visitor came by.
document.addEventListener('toggle', ({ target }) => {
  const own = location.origin + location.pathname.replace(/\/web\/.*/, '');
  target.querySelectorAll('[data-origin]').forEach((each) => {
    each.textContent = each.textContent.replaceAll(each.dataset.origin, own);
    each.dataset.origin = own;
  });
}, true);

// A watched play by keyboard: only where nothing is being typed. The search hides steps of the list.
const inSight = (each) => each.checkVisibility();
function searched() {
  const box = document.getElementById('mt-search');
  const wanted = box ? box.value.trim().toLowerCase() : '';
  document.querySelectorAll('.mt-frames li').forEach((line) => {
    line.hidden = !line.dataset.text.includes(wanted);
  });
}
function walk(by) {
  const lines = [...document.querySelectorAll('.mt-frames li')];
  const now = lines.findIndex((line) => line.classList.contains('now'));
  const way = by > 0 ? lines.slice(now + 1) : lines.slice(0, Math.max(now, 0)).reverse();
  const next = way.find((line) => !line.hidden);
  if (next) next.querySelector('button').click();
  else if (by > 0) document.getElementById('mt-step').click();
}
const KEYS = {
  j: () => walk(1),
  k: () => walk(-1),
  e: () => document.getElementById('mt-error').click(),
  '/': () => document.getElementById('mt-search').focus(),
};
document.addEventListener('keydown', (event) => {
  const list = document.getElementById('mt-frames');
  const typing = event.target.closest('input, textarea, select, [contenteditable]');
  const key = KEYS[event.key];
  if (!key || typing || event.ctrlKey || event.metaKey || event.altKey || !list || !inSight(list)) return;
  event.preventDefault();
  key();
});
document.addEventListener('input', ({ target }) => { if (target.id === 'mt-search') searched(); });
let drawn = null;
new MutationObserver(() => {
  const list = document.querySelector('.mt-frames');
  if (!list || list === drawn) return;
  drawn = list;
  searched();
  // Only the list is scrolled, not the page.
  const now = list.querySelector('.now');
  if (now) list.scrollTop = now.offsetTop - list.clientHeight / 2;
}).observe(document.body, { childList: true, subtree: true });

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
