// Recordings are read here, in the visitor's browser: of all runs of all files that are open only the
// one that is looked at is sent.
const MOST_LISTED = 300;
const AT_ONCE = 2000;
let recording = null;

const panelOf = () => document.getElementById('mt-recording');
const limit = (name) => Number(panelOf().dataset[name]);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
function say(text, bad = false) {
  panelOf().open = true;
  const place = panelOf().querySelector('[role=status]');
  place.textContent = text;
  place.classList.toggle('bad', bad);
}

// One line of a recording; returns what is wrong with it, if anything. Whether a step is one that
// the environment understands is the server's to say.
function addLine(runs, text, line) {
  if (!text.trim()) return '';
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    // Numbers as Python writes them.
    try { event = JSON.parse(text.replace(/-?\b(NaN|Infinity)\b/g, 'null')); } catch { return 'not JSON.'; }
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return 'not a JSON object.';
  if (event.event === 'start') {
    const { task_id: task, seed, split, index } = event.reset || {};
    const episode = task || (split ? `${split} ${index}` : seed === undefined ? 'the default task' : `seed ${seed}`);
    runs.push({ episode, player: String(event.player), score: '', line, lines: [], size: line, moves: 0 });
  }
  const run = runs.at(-1);
  if (!run) return 'not a line of a recorded run.';
  if (event.event === 'step') run.moves += 1;
  if (event.event === 'end') run.score = Number(event.score).toFixed(2);
  // Of a run that is too long, what fits is shown.
  run.size += text.length + 1;
  if (run.moves <= limit('moves') && run.size <= limit('runBytes')) run.lines.push(text);
  return '';
}

async function runsIn(file, goesOn) {
  if (file.size > limit('fileBytes')) {
    return { runs: [], broken: `${file.name} has ${megabytes(file.size)}; allowed: ${megabytes(limit('fileBytes'))}.` };
  }
  const [runs, lines] = [[], (await file.text()).split('\n')];
  let broken = '';
  for (let at = 0; at < lines.length && !broken && goesOn(); at += 1) {
    const problem = addLine(runs, lines[at], at + 1);
    if (problem) broken = `${file.name}, line ${at + 1}: ${problem}`;
    if (at % AT_ONCE === AT_ONCE - 1) await new Promise((done) => { setTimeout(done); });  // the page goes on answering
  }
  return { runs, broken };
}

async function openRecordings(files, number = 1) {
  const mine = { runs: [], broken: '' };
  recording = mine;
  panelOf().querySelector('.mt-runs').hidden = true;
  for (const file of files) {
    say(`Reading ${file.name}, ${megabytes(file.size)} …`);
    const { runs, broken } = await runsIn(file, () => recording === mine);
    if (recording !== mine) return false;  // others were opened
    mine.runs.push(...runs);
    mine.broken ||= broken;
  }
  mine.runs.forEach((run, at) => { run.number = at + 1; });
  if (!mine.runs.length) {
    say(mine.broken || 'There is no run in it.', true);
    return false;
  }
  panelOf().querySelector('.mt-runs').hidden = mine.runs.length === 1;
  choose(number);
  return true;
}

function choose(number) {
  const { runs, broken } = recording;
  const run = runs[number - 1] || runs[0];
  recording.run = run;
  const cut = run.lines.length <= run.moves ? ` Of its ${run.moves.toLocaleString('en')} steps the first ${run.lines.length - 1} are shown.` : '';
  const said = `Run ${run.number} of ${runs.length.toLocaleString('en')}.${cut}`;
  say(broken ? `${said} ${broken} What stands before it is shown.` : said, Boolean(broken));
  listRuns();
  // Empty lines take the place of those before, so that the server counts lines as the file does.
  trigger('open_run', { value: '\n'.repeat(run.line - 1) + run.lines.join('\n') });
}
function chooseRun(number) {
  if (!recording?.runs[number - 1]) return;
  choose(number);
  if (asked.get('run')) write({ number }, 'replaceState');
}

// A line for each episode, a column for each player.
function listRuns() {
  const panel = panelOf();
  const wanted = panel.querySelector('[type=search]').value.trim().toLowerCase();
  const fitting = recording.runs.filter((each) => `${each.player} ${each.episode}`.toLowerCase().includes(wanted));
  const players = [...new Set(fitting.map((each) => each.player))];
  const episodes = [...new Set(fitting.map((each) => each.episode))];
  const table = document.createElement('table');
  const row = (tag, name) => {
    const line = (tag === 'thead' ? table.createTHead() : table.tBodies[0] || table.createTBody()).insertRow();
    const head = document.createElement('th');
    head.scope = tag === 'thead' ? 'col' : 'row';
    head.textContent = name;
    line.append(head);
    return line;
  };
  const top = row('thead', 'episode');
  players.forEach((each) => { top.append(Object.assign(document.createElement('th'), { scope: 'col', textContent: each })); });
  episodes.slice(0, MOST_LISTED).forEach((episode) => {
    const line = row('tbody', episode);
    players.forEach((player) => {
      const cell = line.insertCell();
      fitting.filter((each) => each.player === player && each.episode === episode).forEach((run) => {
        const open = Object.assign(document.createElement('button'), { type: 'button', className: 'mt-btn link', textContent: run.score || 'unfinished' });
        Object.assign(open.dataset, { mt: 'open_number', value: run.number });
        open.setAttribute('aria-label', `${player}, ${episode}: ${run.score || 'unfinished'}`);
        if (run === recording.run) open.setAttribute('aria-current', 'true');
        cell.append(open);
      });
    });
  });
  if (episodes.length > MOST_LISTED) row('tbody', `${episodes.length - MOST_LISTED} more: search for them`);
  table.className = 'mt-table';
  panel.querySelector('table').replaceWith(table);
}

document.addEventListener('change', ({ target }) => {
  if (!target.matches('.mt-upload') || !target.files.length) return;
  write({ run: '', number: '' }, 'replaceState');
  openRecordings([...target.files].filter((each) => each.name.endsWith('.jsonl')));
  target.value = '';  // so that the same file can be opened again
});
document.addEventListener('input', ({ target }) => { if (target.closest('.mt-runs [type=search]')) listRuns(); });

// One at an address is fetched by the browser, as the visitor could.
async function found(look) {
  for (let tries = 0; tries < 200; tries += 1) {
    const each = look();
    if (each) return each;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  throw new Error('the page did not open in time');
}
async function fetched(from) {
  let answer;
  try {
    answer = await fetch(from, { credentials: 'omit', referrerPolicy: 'no-referrer' });
  } catch (problem) {
    throw new Error(`${from} was not read: ${problem.message}. Its server must be there and allow it (CORS).`);
  }
  if (!answer.ok) throw new Error(`${from} answered ${answer.status}.`);
  if (Number(answer.headers.get('content-length')) > limit('fileBytes')) {
    throw new Error(`${from} has more than ${megabytes(limit('fileBytes'))}, the most that is read.`);
  }
  return new File([await answer.blob()], from.split('/').pop());
}
async function openRun(from, number, step) {
  openTab('watch');
  await found(panelOf);
  const [here, before] = [`${from} ${number}`, document.querySelector('#mt-scene [data-step]')];
  // After a reload the visitor goes on where they were.
  if (before && remembered('sessionStorage', 'mt-run') === here) return;
  try {
    say(`Fetching ${from} …`);
    if (!await openRecordings([await fetched(from)], number)) return;
    remember('sessionStorage', 'mt-run', here);
    if (!step || before) return;
    await found(() => document.querySelector('#mt-scene [data-step]'));
    trigger('pick_frame', { value: step });
  } catch (problem) {
    say(problem.message, true);
  }
}
