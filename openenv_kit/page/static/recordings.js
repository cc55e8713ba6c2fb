// Reads recordings in the visitor's browser. Only the selected run is sent to the server.
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

// Parses one line of a recording and returns an error message, or an empty string if the line is
// valid. The server checks whether the environment accepts the actions.
function addLine(runs, text, line) {
  if (!text.trim()) return '';
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    // Python writes NaN and Infinity, which are not valid JSON.
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
  // A run that is too long is truncated.
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
    if (at % AT_ONCE === AT_ONCE - 1) await new Promise((done) => { setTimeout(done); });  // keeps the page responsive
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
    if (recording !== mine) return false;  // the visitor has opened other files
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
  // Empty lines replace the preceding lines, so that the server reports the file's line numbers.
  trigger('open_run', { value: '\n'.repeat(run.line - 1) + run.lines.join('\n') });
}
function chooseRun(number) {
  if (!recording?.runs[number - 1]) return;
  choose(number);
  if (asked.get('run')) write({ number }, 'replaceState');
}

// Shows the runs in a table with a row for each episode and a column for each player.
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
  target.value = '';  // allows the same file to be opened again
});
document.addEventListener('input', ({ target }) => { if (target.closest('.mt-runs [type=search]')) listRuns(); });

// Recordings at a URL are fetched by the browser, not by the server.
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
  // After a reload, the run is already open.
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
