// Reads recordings in the visitor's browser. Only the rollout that is opened is sent to the server.
import { sha256 } from './sha256.js';

const MAX_FILE_BYTES = 256_000_000;
const LINES_PER_TURN = 2000;
const ID_LENGTH = 16;
const EPISODE_LENGTH = 12;
const SPACES = /^[ \t\r]+|[ \t\r]+$/g;
const encoder = new TextEncoder();

// Returns the rollouts in files, each with its lines, and messages about lines that cannot be read.
export async function readFiles(files, report) {
  const [rollouts, problems] = [[], []];
  for (const file of files) {
    report(`Reading ${file.name} …`);
    if (file.size > MAX_FILE_BYTES) {
      problems.push(`${file.name} has ${megabytes(file.size)} MB; allowed: ${megabytes(MAX_FILE_BYTES)}.`);
      continue;
    }
    try {
      const found = await splitRollouts(await textOf(file), file.name);
      rollouts.push(...found.rollouts);
      problems.push(...found.problems);
    } catch (problem) {
      problems.push(`${file.name} cannot be read: ${problem.message}`);
    }
  }
  return { rollouts, problems };
}

const megabytes = (bytes) => Math.ceil(bytes / 1e6);

async function textOf(file) {
  if (!file.name.endsWith('.gz')) return file.text();
  const stream = file.stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

async function splitRollouts(text, name) {
  const [rollouts, problems] = [[], []];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at].replace(SPACES, '');
    if (line) {
      const { event, reason } = parseEvent(line);
      if (event.event === 'start') rollouts.push({ start: event, end: null, steps: 0, lines: [] });
      const rollout = rollouts.at(-1);
      if (reason || !rollout) problems.push(`${name}, line ${at + 1}: ${reason || 'it belongs to no rollout'}.`);
      if (rollout) {
        rollout.lines.push(line);
        if (event.event === 'step') rollout.steps += 1;
        if (event.event === 'end') rollout.end = event;
      }
    }
    if (at % LINES_PER_TURN === LINES_PER_TURN - 1) await new Promise((done) => { setTimeout(done); });  // keeps the page responsive
  }
  const summaries = [];
  for (const rollout of rollouts) {
    if (rollout.start.private) problems.push(`${name}: a recording is private, so it is not shown.`);
    else summaries.push(await summarize(rollout, name));
  }
  return { rollouts: summaries, problems };
}

function parseEvent(line) {
  let event;
  try {
    event = JSON.parse(line);
  } catch {
    // Python writes NaN and Infinity, which are not valid JSON.
    try { event = JSON.parse(line.replace(/-?\b(NaN|Infinity)\b/g, 'null')); } catch { event = null; }
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return { event: {}, reason: 'it is not a JSON object' };
  if (!['start', 'step', 'end'].includes(event.event)) return { event: {}, reason: 'it is not a line of a recording' };
  if (event.event === 'start' && typeof event.reset !== 'object') return { event: {}, reason: 'its reset is missing' };
  return { event, reason: '' };
}

async function summarize({ start, end, steps, lines }, name) {
  const reset = start.reset || {};
  const digest = await sha256(encoder.encode(lines.map((line) => `${line}\n`).join('')));
  const episode = { ...reset };
  delete episode.episode_id;
  const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null);
  return {
    id: digest.slice(0, ID_LENGTH),
    player: String(start.player ?? ''),
    environment: String(start.environment ?? ''),
    task: taskName(reset),
    level: String(reset.difficulty ?? ''),
    episode: (await sha256(encoder.encode(canonicalJson(episode)))).slice(0, EPISODE_LENGTH),
    score: number(end?.score),
    steps,
    errors: number(end?.errors),
    tokens: number(end?.tokens),
    outcome: end ? String(end.outcome ?? '') : 'running',
    source: name,
    lines,
  };
}

function taskName({ task_id: task, split, index, seed }) {
  if (task) return String(task);
  if (split !== undefined) return `${split}-${index ?? 0}`;
  return seed === undefined || seed === null ? 'custom' : `seed ${seed}`;
}

// The same text as `canonical_json` in Python: sorted keys, no spaces, only ASCII characters.
export function canonicalJson(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    return `{${Object.keys(value).sort().map((key) => `${canonicalJson(key)}:${canonicalJson(value[key])}`).join(',')}}`;
  }
  return JSON.stringify(value).replace(/[^\x00-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

// Returns the text of a rollout to send. If it is too long, tool results are left out, because a
// replay computes them again, and then the last steps.
export function textToSend(lines, maxCharacters) {
  const whole = lines.join('\n');
  if (whole.length <= maxCharacters) return whole;
  let length = 0;
  return lines.map(withoutToolResults)
    .filter((line) => { length += line.length + 1; return length <= maxCharacters; })
    .join('\n');
}

// Only the messages are written anew, because numbers such as 1.0 would become 1 in the action.
function withoutToolResults(line) {
  const { event } = parseEvent(line);
  const start = line.slice(0, line.indexOf(',"messages":['));
  if (event.event !== 'step' || !Array.isArray(event.messages) || parseEvent(`${start}}`).reason) return line;
  const messages = event.messages.map((m) => (m?.role === 'tool' ? { ...m, content: '' } : m));
  return `${start},"messages":${JSON.stringify(messages)}}`;
}
