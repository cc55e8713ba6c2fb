// Recordings are read here, in the visitor's browser: of a file with many runs only the one that is
// looked at is sent. A file is read piece by piece, so the page goes on answering meanwhile.
const PIECE = 1 << 18;
const MOST_LISTED = 300;
const NEWLINE = 10;
let recording = null;

const panelOf = () => document.getElementById('mt-recording');
const limit = (name) => Number(panelOf().dataset[name]);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
function say(told, bad = false) {
  const place = panelOf().querySelector('[role=status]');
  place.textContent = told;
  place.classList.toggle('bad', bad);
}
function progress(done, of, doing) {
  const bar = panelOf().querySelector('progress');
  bar.hidden = done >= of;
  bar.value = of ? done / of : 0;
  if (done < of) say(`${doing} ${megabytes(done)} of ${megabytes(of)} …`);
}

// One line of a recording; returns what is wrong with it, if anything. Whether a step is one that
// the environment understands is the server's to say.
function addLine(runs, told, line, from, to) {
  if (!told.trim()) return '';
  let event;
  try {
    event = JSON.parse(told);
  } catch {
    // Numbers as Python writes them.
    try { event = JSON.parse(told.replace(/-?\b(NaN|Infinity)\b/g, 'null')); } catch { return 'not JSON.'; }
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return 'not a JSON object.';
  if (event.event === 'start') {
    const { task_id: task, seed } = event.reset || {};
    const episode = task || (seed === undefined ? 'the default task' : `seed ${seed}`);
    const number = runs.length + 1;
    const label = `${number}. ${event.player}: ${episode}`;
    runs.push({ number, label, score: '', line, from, to, moves: 0, shown: 0, whole: true });
    return '';
  }
  const run = runs.at(-1);
  if (!run) return 'not a line of a recorded run.';
  if (event.event === 'step') run.moves += 1;
  if (event.event === 'end') run.score = ` · score ${event.score}`;
  // Of a run that is too long, what fits is shown.
  const room = limit('runBytes') - run.line;
  run.whole = run.whole && run.moves <= limit('moves') && to - run.from <= room;
  if (run.whole) [run.to, run.shown] = [to, run.moves];
  return '';
}

async function runsIn(file, goesOn) {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const runs = [];
  let rest = new Uint8Array();
  let [line, broken] = [0, ''];
  const take = (bytes, from) => {
    line += 1;
    let problem = 'not text in UTF-8.';
    try { problem = addLine(runs, decoder.decode(bytes), line, from, from + bytes.length + 1); } catch { /* told */ }
    if (problem) broken = `Line ${line}: ${problem}`;
  };
  for (let at = 0, start = 0; at < file.size && !broken && goesOn(at); at += PIECE) {
    const piece = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
    const bytes = new Uint8Array(rest.length + piece.length);
    bytes.set(rest);
    bytes.set(piece, rest.length);
    let from = 0;
    for (let to = bytes.indexOf(NEWLINE); to >= 0 && !broken; to = bytes.indexOf(NEWLINE, from)) {
      take(bytes.subarray(from, to), start + from);
      from = to + 1;
    }
    rest = bytes.slice(from);
    start += from;
    const most = limit('runBytes');
    if (rest.length > most) broken = `Line ${line + 1}: longer than ${megabytes(most)}.`;
    else if (at + PIECE >= file.size && rest.length && !broken) take(rest, start);
  }
  return { runs, broken };
}

async function openRecording(file, number = 1) {
  const { size } = file;
  recording = null;
  panelOf().querySelector('.mt-runs').hidden = true;
  if (size > limit('fileBytes')) {
    say(`${file.name} has ${megabytes(size)}; allowed: ${megabytes(limit('fileBytes'))}.`, true);
    return false;
  }
  const mine = { file };
  recording = mine;
  const { runs, broken } = await runsIn(file, (at) => {
    if (recording === mine) progress(at, size, 'Reading');
    return recording === mine;  // until another file is opened
  });
  if (recording !== mine) return false;
  progress(size, size);
  Object.assign(mine, { runs, broken });
  if (!runs.length) {
    say(broken || 'The file holds no run.', true);
    return false;
  }
  panelOf().querySelector('.mt-runs').hidden = runs.length === 1;
  choose(runs[number - 1] || runs[0]);
  listRuns();
  return true;
}

function choose(run) {
  const { file, runs, broken } = recording;
  recording.run = run;
  const cut = run.whole ? '' : `Of its ${run.moves.toLocaleString('en')} steps the first ${run.shown} are shown. `;
  const told = `Run ${run.number} of ${runs.length.toLocaleString('en')}, ${megabytes(file.size)}. ${cut}`;
  say(broken ? `${told}${broken} What stands before it is shown.` : told, Boolean(broken));
  // Empty lines take the place of those before, so that the server counts lines as the file does.
  const mine = recording;
  new Blob(['\n'.repeat(run.line - 1), file.slice(run.from, run.to)]).text().then((text) => {
    if (recording === mine && mine.run === run) trigger('open_run', { value: text });
  });
}

function listRuns() {
  const panel = panelOf();
  const wanted = panel.querySelector('[type=search]').value.trim().toLowerCase();
  const { runs, run } = recording;
  const fitting = runs.filter((each) => each.label.toLowerCase().includes(wanted));
  const listed = fitting.slice(0, MOST_LISTED);
  const options = listed.map((each) => new Option(each.label + each.score, each.number));
  const more = fitting.length - listed.length;
  const told = more > 0 ? `${more.toLocaleString('en')} more: search for them` : '';
  if (!listed.includes(run)) options.unshift(new Option(`${listed.length} runs to choose from`, ''));
  if (told) options.push(Object.assign(new Option(told, ''), { disabled: true }));
  panel.querySelector('select').replaceChildren(...options);
  panel.querySelector('select').value = listed.includes(run) ? run.number : '';
}

document.addEventListener('change', ({ target }) => {
  if (target.id === 'mt-upload' && target.files.length) {
    write({ run: '', number: '' }, 'replaceState');
    openRecording(target.files[0]);
    target.value = '';  // so that the same file can be opened again
  }
  if (!target.closest('.mt-runs select') || !target.value) return;
  choose(recording.runs[target.value - 1]);
  if (asked.get('run')) write({ number: target.value }, 'replaceState');
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
  const most = limit('fileBytes');
  const whole = Number(answer.headers.get('content-length')) || most;
  const reader = answer.body.getReader();
  const parts = [];
  let got = 0;
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    parts.push(new Blob([value]));  // held by the browser, which may put it on disk
    got += value.length;
    if (got > most || whole > most) {
      reader.cancel();
      throw new Error(`${from} has more than ${megabytes(most)}, the most that is read.`);
    }
    progress(Math.min(got, whole - 1), whole, 'Fetching');
  }
  return new File(parts, from.split('/').pop());
}
async function openRun(from, number, step) {
  openTab('watch');
  await found(panelOf);
  const [here, before] = [`${from} ${number}`, document.querySelector('#mt-scene [data-step]')];
  // After a reload the visitor goes on where they were.
  if (before && remembered('sessionStorage', 'mt-run') === here) return;
  try {
    if (!await openRecording(await fetched(from), number)) return;
    remember('sessionStorage', 'mt-run', here);
    if (!step || before) return;
    await found(() => document.querySelector('#mt-scene [data-step]'));
    trigger('pick_frame', { value: step });
  } catch (problem) {
    progress(0, 0);
    say(problem.message, true);
  }
}
