// Script of the page's header component. It sends clicks on HTML buttons to Python as events of
// that component, with the function `trigger` that Gradio provides. EVENTS must list every event
// name, because Gradio only supports events whose quoted name occurs in this script.
const EVENTS = ['next_episode', 'another_episode', 'home', 'pick', 'ask', 'add_row', 'edit_rows',
  'submit', 'yes', 'no', 'run', 'choose_tool', 'start', 'read_data',
  'make_opening_calls', 'suggest', 'stop_guide', 'show_step', 'draft', 'apply_report', 'preview',
  'save_play', 'play_product', 'investigate_table'];
// A browser sends a request again if its connection ends before the first byte of the response. The
// number lets the server recognize an event that it has already handled.
const triggerOfGradio = trigger;
let eventNumber = 0;
trigger = (name, fields) => {
  eventNumber += 1;
  triggerOfGradio(name, { ...fields, number: eventNumber });
};
// Events that are handled in the browser.
const HERE = {
  theme: () => remember('localStorage', 'mt-theme', document.body.classList.toggle('dark') ? 'dark' : 'light'),
  pick: (place) => pickPlace(place),
  go: (place) => goTo(place),
  open_tab: (name) => openTab(name),
};

// A new row changes the suggestion above the button. Its height is kept until another button is
// clicked, so that the next "Report this" does not move under the pointer.
const KEEPS_PLACE = ['draft', 'add_row'];
function keepPlaceOf(button) {
  const guide = document.getElementById('mt-guide');
  if (!guide) return;
  const isKept = KEEPS_PLACE.includes(button.dataset.mt);
  const status = document.getElementById('mt-status');
  document.body.style.setProperty('--mt-status-height', `${status.offsetHeight}px`);
  guide.style.minHeight = isKept && guide.offsetHeight ? `${guide.offsetHeight}px` : '';
}

// Calls a function after every change of the page.
function whenever(look) {
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-mt]');
  if (!button || button.getAttribute('aria-disabled')) return;
  const { mt, value } = button.dataset;
  if (button.tagName === 'A') {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;  // the link opens in a new tab
    event.preventDefault();
  }
  if (['next_episode', 'another_episode', 'home', 'yes', 'play_product', 'investigate_table'].includes(mt)) openTab('play');
  if (['another_episode', 'home', 'play_product', 'investigate_table'].includes(mt)) scrollTo(0, 0);
  keepPlaceOf(button);
  if (mt === 'submit' || mt === 'yes') ended = false;
  if (HERE[mt]) HERE[mt](value);
  else if (EVENTS.includes(mt)) trigger(mt, { value });
});

function goTo(place) {
  const found = document.querySelector(place);
  if (found.tagName === 'DETAILS') found.open = true;
  found.querySelector('td[tabindex], button, input').focus();
}

// Forms: the values are sent as text, by field name. Enter in a field submits the form.
function send(form) {
  const values = {};
  form.querySelectorAll('[data-arg]').forEach((field) => {
    values[field.dataset.arg] = field.value;
  });
  const event = form.querySelector('[data-send]').dataset.send;
  if (event === 'start') openTab('play');
  trigger(event, { value: JSON.stringify([form.dataset.form, values]) });
}
document.addEventListener('click', ({ target }) => { if (target.closest('[data-send]')) send(target.closest('.mt-form')); });
document.addEventListener('keydown', (event) => {
  const form = event.key === 'Enter' && event.target.matches('.mt-form input') && event.target.closest('.mt-form');
  if (form) send(form);
});
document.addEventListener('change', ({ target }) => {
  if (target.dataset.choose) trigger(target.dataset.choose, { value: target.value });
});

// A reply replaces parts of the page. If the focused element is replaced, its replacement gets the
// focus and the text that was typed in the meantime.
let held = null;
function tell({ dataset, value }) {
  const { edit, at, field } = dataset;
  if (!EVENTS.includes(edit) || dataset.sent === value) return;
  dataset.sent = value;
  trigger(edit, { value: JSON.stringify([Number(at), field, value]) });
}
document.addEventListener('change', ({ target }) => tell(target));
document.addEventListener('focusout', ({ target }) => {
  // Browsers fire no change event for text that was restored in a replaced table.
  if (target.tagName === 'INPUT' && target.value !== target.defaultValue) tell(target);
});
document.addEventListener('focusin', ({ target }) => {
  const cell = target.closest('.mt-map tbody td');
  held = target.dataset.key || cell || target.dataset.mt ? target : null;
});
document.addEventListener('pointerdown', ({ target }) => { if (!held?.contains(target)) held = null; });
function likeHeld() {
  const { key, mt } = held.dataset;
  if (key) return document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (held.cellIndex) return document.querySelector('#mt-picture td[tabindex]');
  // A button of the status line may have been replaced by another one.
  return document.querySelector(`[data-mt="${mt}"]`) || document.querySelector('.mt-status .mt-btn');
}
whenever(() => {
  if (!held || held.isConnected || document.activeElement !== document.body) return;
  const fresh = likeHeld();
  if (!fresh) return;
  if (fresh.tagName === 'INPUT') fresh.value = held.value;
  fresh.focus({ preventScroll: true });  // it replaces an element in the same place
});
// A confirmation is a modal dialog. Escape answers it like its first button.
let question = null;
whenever(() => {
  const now = document.querySelector('dialog.mt-question');
  if (now && now !== question) {
    now.addEventListener('cancel', (event) => {
      event.preventDefault();
      trigger('no', { value: '' });
    });
    now.showModal();
    now.querySelector('button').focus();
  }
  question = now;
});

// A folded element that the visitor has opened or closed stays so when it is replaced.
const folds = new Map();
document.addEventListener('toggle', ({ target }) => {
  if (target.dataset?.keep && target.isConnected) folds.set(target.dataset.keep, target.open);
}, true);
whenever(() => {
  document.querySelectorAll('details[data-keep]').forEach((each) => {
    if (each.seen) return;
    each.seen = true;
    if (folds.has(each.dataset.keep)) each.open = folds.get(each.dataset.keep) || each.open;
  });
});
// A menu closes when something else is clicked, and with Escape.
document.addEventListener('click', ({ target }) => {
  document.querySelectorAll('.mt-menu[open]').forEach((menu) => {
    if (!menu.contains(target)) menu.open = false;
  });
});
document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' && event.target.closest('.mt-menu[open]');
  if (!menu) return;
  menu.open = false;
  menu.querySelector('summary').focus();
});

// Filters the elements that a search field names, by their text.
function filter(field) {
  const words = field.value.trim().toLowerCase();
  document.querySelectorAll(field.dataset.filter).forEach((each) => {
    each.hidden = !each.dataset.text.includes(words);
  });
  document.querySelectorAll('.mt-toolgroups section').forEach((each) => {
    each.hidden = !each.querySelector('li:not([hidden])');
  });
}
document.addEventListener('input', ({ target }) => { if (target.dataset.filter) filter(target); });
document.addEventListener('change', ({ target }) => {
  if (EVENTS.includes(target.dataset.switch)) trigger(target.dataset.switch, { value: target.checked ? 'yes' : 'no' });
});
// Each named task has a seed of its own: the seed of the running episode belongs to its task.
document.addEventListener('change', ({ target }) => {
  if (target.matches('.mt-start > .mt-form [data-arg=task]')) {
    target.closest('.mt-form').querySelector('[data-arg=seed]').value = '';
  }
});
let filtered = null;
whenever(() => {
  const field = document.querySelector('[data-filter]');
  if (field && field !== filtered && field.value) filter(field);
  filtered = field;
});

// The list of steps shows the selected one. Only the list is scrolled, not the page, and the first
// line that is visible is a whole step.
let selectedStep = null;
whenever(() => {
  const now = document.querySelector('.mt-evidence ol > .now');
  if (!now || now === selectedStep) return;
  selectedStep = now;
  const list = now.parentElement;
  const topOf = (step) => step.offsetTop - list.firstElementChild.offsetTop;
  const end = topOf(now) + now.offsetHeight;
  list.style.maxHeight = '';
  if (topOf(now) >= list.scrollTop && end <= list.scrollTop + list.clientHeight) return;
  const first = [...list.children].find((step) => end - topOf(step) <= list.clientHeight) || now;
  // A list that ends with the selected step cannot be scrolled further, so it is made lower.
  if (!now.nextElementSibling) list.style.maxHeight = `${end - topOf(first)}px`;
  list.scrollTop = topOf(first);
});

// Says where a saved rollout is. The line disappears with the next change of the status line.
document.addEventListener('mt-file-saved', ({ detail }) => {
  const status = document.querySelector('.mt-status');
  if (!status) return;
  status.querySelector('.mt-filenote')?.remove();
  const line = Object.assign(document.createElement('p'), { className: 'mt-filenote', textContent: `Saved as ${detail} in your downloads. To open it, choose “Open files” on the tab ` });
  const button = Object.assign(document.createElement('button'), { type: 'button', className: 'mt-btn link', textContent: 'Runs' });
  Object.assign(button.dataset, { mt: 'open_tab', value: 'runs' });
  line.append(button, '.');
  status.append(line);
  document.getElementById('mt-announcement').textContent = line.textContent;
});

// Screen readers hear each step.
let progress = '';
whenever(() => {
  const budget = document.querySelector('.mt-budget');
  const text = budget ? budget.textContent.trim() : '';
  if (text === progress) return;
  progress = text;
  document.getElementById('mt-announcement').textContent = text;
});

// Arrow keys switch between tabs, as is usual for tabs. Gradio supports only Enter.
const ENDS = { Home: 0, End: -1 };
document.addEventListener('keydown', (event) => {
  const tab = event.target.closest('[role=tab]');
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!tab || !(by || event.key in ENDS)) return;
  const all = [...tab.closest('[role=tablist]').querySelectorAll('[role=tab]:not([disabled])')];
  const to = by ? all[(all.indexOf(tab) + by + all.length) % all.length] : all.at(ENDS[event.key]);
  event.preventDefault();
  to.focus();
  to.click();
});
